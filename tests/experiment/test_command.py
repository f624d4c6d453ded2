"""The command line, as a person uses it: what it writes, what it refuses, what it says."""

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from small import SMALL
from typer.testing import CliRunner, Result

import cotwin as public
from cotwin.cli import app
from cotwin.cli.train import _Bars


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cotwin(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "300"})


def refusal(*words: str) -> str:
    """What the command says when it refuses."""
    result = cotwin(*words)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def test_train_writes_a_run_and_ends_with_its_figures(folder: Path) -> None:
    result = cotwin("train", "burgers", *SMALL, "physical.viscosity.unit=m²/s", "hybrid.cycles=2")
    assert result.exit_code == 0, result.output
    for name in ("config.yaml", "metrics.jsonl", "result.json", "rollout.png", "physical.safetensors"):
        assert (folder / "runs/small" / name).stat().st_size > 0
    for words in (
        "viscosity [m²/s]",
        "simulator",
        "surrogate",
        "NRMSE decides",
        "alone",
        "together",
    ):
        assert words in result.output
    assert "One seed is no verdict" in result.output
    assert "Predict: cotwin predict runs/small --initial FILE --steps N --out FILE\n" in result.output
    assert re.search(r"Go on: (?!.*cycles.*cycles).* --resume hybrid\.cycles=4\n", result.output)
    assert "\x1b[" not in result.output, "no progress bar where the output is no terminal"

    again = refusal("train", "burgers", *SMALL)
    assert "--resume" in again
    assert "--overwrite" in again
    (folder / "runs/small/my notes.txt").write_text("mine")
    assert cotwin("train", "burgers", *SMALL, "--overwrite").exit_code == 0
    assert (folder / "runs/small/my notes.txt").read_text() == "mine"
    assert "other directory" in refusal("train", "burgers", *SMALL, "--resume", "seed=3")


@pytest.mark.slow
def test_a_truncated_checkpoint_offers_the_one_before_it(folder: Path) -> None:
    assert cotwin("train", "burgers", *SMALL).exit_code == 0
    result = (folder / "runs/small/result.json").read_text()
    newest = max((folder / "runs/small/checkpoints").glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:-100])
    message = refusal("train", "burgers", *SMALL, "--resume")
    assert "damaged" in message
    before = int(newest.stem) - 1
    assert f"--checkpoint {before}" in message
    assert cotwin("train", "burgers", *SMALL, "--resume", "--checkpoint", str(before)).exit_code == 0
    assert (folder / "runs/small/result.json").read_text() == result


def test_a_cache_directory_of_somebody_else_is_refused(folder: Path) -> None:
    (folder / "precious").mkdir()
    (folder / "precious/thesis.tex").write_text("mine")
    assert "precious" in refusal("train", "burgers", *SMALL, "store.cache_dir=precious")
    assert (folder / "precious/thesis.tex").read_text() == "mine"
    assert not (folder / "runs").exists()


def test_a_simulator_that_keeps_diverging_stops_with_its_values_and_keeps_the_checkpoint(folder: Path) -> None:
    # One substep of an explicit step over an interval a hundred times too long.
    message = refusal(
        "train", "burgers", *SMALL, "data.dt=2.0", "physical.substeps=1", "physical.viscosity.initial=0.006"
    )
    assert "viscosity = " in message
    assert "substeps" in message
    assert list((folder / "runs/small/checkpoints").glob("*.pt"))


def test_config_validate_checks_settings_against_the_data(folder: Path) -> None:
    assert "valid" in cotwin("config", "validate", "burgers", *SMALL).output
    assert "the training trajectories have 11" in refusal(
        "config", "validate", "burgers", *SMALL, "physical.window=11"
    )
    assert "did you mean" in refusal("config", "validate", "burgers", "hybrid.cycle=1")
    assert "[physical, physical]" in refusal(
        "config", "validate", "burgers", "hybrid.order=[physical,physical]"
    ).replace("'", "")
    assert "axes" in refusal("config", "validate", "burgers", *SMALL, "physical.viscosity.grid=[4,4]")


def file_settings(path: Path, *overrides: str) -> list[str]:
    kept = [word for word in SMALL if not word.startswith("data.")]
    data = f"data={{kind: file, path: {path}, boundary: periodic, validation: 1, test: 1}}"
    return ["train", "burgers", *kept, data, *overrides]


def waves(count: int) -> np.ndarray:
    x, t = np.linspace(0, 2 * np.pi, 32, endpoint=False), 0.05 * np.arange(9)
    return np.stack([np.exp(-0.1 * t)[:, None] * np.sin(x - 0.3 * n) for n in range(count)])


def save(path: Path, u: np.ndarray) -> Path:
    np.savez(path, x=np.linspace(0, 2 * np.pi, 32, endpoint=False), t=0.05 * np.arange(9), u=u)
    return path


def test_a_file_of_ones_own_trains(folder: Path) -> None:
    result = cotwin(*file_settings(save(folder / "mine.npz", waves(4))))
    assert result.exit_code == 0, result.output
    assert "the first 2 train, the next 1 validate, the last 1 test" in result.output


def test_bad_data_are_named(folder: Path) -> None:
    broken = waves(4)
    broken[1, 3, 7] = np.nan
    message = refusal(*file_settings(save(folder / "nan.npz", broken)))
    assert all(word in message for word in ("trajectory 1", "time step 3", "'u'"))
    missing = refusal(*file_settings(save(folder / "u.npz", waves(4)), "data.fields=[pressure]"))
    assert "pressure" in missing
    assert "single trajectory" in refusal(*file_settings(save(folder / "one.npz", waves(1))))
    assert "nowhere.npz" in refusal(*file_settings(folder / "nowhere.npz"))
    (folder / "cut.npz").write_bytes((folder / "u.npz").read_bytes()[:200])
    assert "cut.npz" in refusal(*file_settings(folder / "cut.npz"))


def test_data_inspect_says_what_is_in_a_file(folder: Path) -> None:
    broken = waves(2)
    broken[1, 3, 7] = np.nan
    output = cotwin("data", "inspect", str(save(folder / "mine.npz", broken))).output
    for words in ("2 trajectories", "32 points", "0.05", "not finite", "missing: mask"):
        assert words in output


@pytest.mark.parametrize("shape", [(32,), (16, 12), (8, 6, 5)])
def test_data_inspect_draws_each_field(folder: Path, shape: tuple[int, ...]) -> None:
    u = np.random.default_rng(0).normal(size=(2, 6, *shape))
    u[0, 1, 2] = np.nan
    axes = {name: np.arange(size) / size for name, size in zip("xyz", shape, strict=False)}
    np.savez(folder / "mine.npz", t=np.arange(6), u=u, k=np.ones(shape), **axes)
    output = cotwin("data", "inspect", str(folder / "mine.npz"), "--plot", str(folder / "mine.png")).output
    assert "drawn into" in output
    assert (folder / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_config_show_prints_what_train_would_use() -> None:
    assert "cycles: 7" in cotwin("config", "show", "burgers", "hybrid.cycles=7").output
    assert "burgers_shock" in cotwin("config", "list").output


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["config", "list"], ["train", "--help"]])
def test_what_computes_nothing_does_not_wait_for_torch(words: list[str]) -> None:
    script = f"import sys; sys.argv[1:] = {words}; from cotwin.cli import app; app()"
    checked = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {script}"
    output = subprocess.run([sys.executable, "-c", checked], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "False"


def test_every_public_name_is_where_the_stub_says() -> None:
    assert all(getattr(public, name) is not None for name in public.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Wibble'"):
        _ = public.Wibble
    assert cotwin("--version").output.strip() == public.__version__


def test_config_explain_tells_one_part() -> None:
    overview = cotwin("config", "explain").output.splitlines()
    assert len(overview) < 20
    assert any(line.startswith("synthetic: fno, resnet, unet") for line in overview)
    assert cotwin("config", "explain", "hybrid.cycles").output == "hybrid.cycles: int >= 1, <= 1000 (default 6)\n"
    heat = cotwin("config", "explain", "heat").output.splitlines()
    assert heat[0].startswith("physical.model=heat: ")
    assert "  physical.diffusivity.initial: float (required)" in heat
    assert all(line.startswith("  physical.") for line in heat[1:])
    adam = cotwin("config", "explain", "adam").output
    assert "physical.optimizer.lr" in adam
    assert "synthetic.optimizer.lr" in adam
    assert "optimizer.history" not in adam
    physical = cotwin("config", "explain", "physical").output
    assert len(physical.splitlines()) < 70
    assert "physical.model=gray_scott: " in physical
    assert "physical.feed" not in physical
    assert cotwin("config", "explain", "physical.heat").output.splitlines() == heat
    feed = cotwin("config", "explain", "physical.feed.initial").output.splitlines()
    assert [line.partition(":")[0] for line in feed if line.startswith("physical.model=")] == [
        "physical.model=gray_scott",
        "physical.model=spectral_gray_scott",
    ]
    assert "did you mean heat" in refusal("config", "explain", "hate")


@pytest.mark.parametrize(
    ("count", "setting", "instead"),
    [
        (4, "held_out_fraction=0.5", r"holds 4 trajectories, .*data\.validation says"),
        (1, "validation=2", r"holds a single trajectory, .*data\.held_out_fraction says"),
        (1, "test=1", r"holds a single trajectory, .*data\.held_out_fraction says"),
    ],
)
def test_what_says_nothing_of_a_file_is_refused(folder: Path, count: int, setting: str, instead: str) -> None:
    words = file_settings(save(folder / "mine.npz", waves(count)), "data.test=0", f"data.{setting}")
    assert re.search(rf"data\.{setting.partition('=')[0]} is of no effect: .*{instead}", refusal(*words))


def test_a_phase_that_begins_anew_is_shown_once() -> None:
    with _Bars(Console(file=StringIO(), force_terminal=True), steps=20, done=5) as bars:
        for taken, begin in ((4, lambda: bars.begin("one", 4)), (3, lambda: bars.begin("two", 4)), (4, bars.restart)):
            begin()
            for _ in range(taken):
                bars.step(1.0)
        assert [task.completed for task in bars._progress.tasks] == [5 + 4 + 4, 4]
