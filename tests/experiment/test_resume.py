"""Whatever stops a run, going on with it ends with exactly the numbers of the uninterrupted run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from small import SMALL

from cotwin.experiment import resume
from cotwin.experiment.load import dump, load
from cotwin.experiment.read_settings import ConfigError
from cotwin.experiment.resume import reopen
from cotwin.experiment.train import prepare, train
from cotwin.run import Run, RunError
from cotwin.training.trainer import cosine


class PowerCutError(Exception):
    """Stops a run between two optimiser steps."""


class StopAt:
    """Takes so many optimiser steps, then stops."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def begin(self, description: str, steps: int) -> None:
        pass

    def step(self, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise PowerCutError

    def restart(self) -> None:
        pass


def finish(path: Path, overrides: list[str], *, stops: tuple[int, ...] = ()) -> None:
    """Run to the end, each stop after so many steps of its attempt."""
    experiment = load("burgers", overrides)
    for attempt, steps in enumerate((*stops, 0)):
        with Run.create(path, dump(experiment)) if attempt == 0 else reopen(path, experiment) as run:
            checkpoint = None if attempt == 0 else run.load_checkpoint()
            try:
                train(prepare(experiment), run, StopAt(steps), checkpoint)
            except PowerCutError:
                assert steps > 0


def assert_same(run: Path, undisturbed: Path) -> None:
    assert (run / "metrics.jsonl").read_text() == (undisturbed / "metrics.jsonl").read_text()
    assert json.loads((run / "result.json").read_text()) == json.loads((undisturbed / "result.json").read_text())
    for name in ("physical.safetensors", "synthetic.safetensors"):
        weights, expected = load_file(run / name), load_file(undisturbed / name)
        assert weights.keys() == expected.keys()
        assert all(weights[key].equal(expected[key]) for key in expected)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder / "run", [*SMALL, f"store.cache_dir={folder / 'cache'}"])
    return folder / "run"


# One step, the middle of a phase, its last step, a later training; then several in one run.
@pytest.mark.slow
@pytest.mark.parametrize("stops", [(1,), (5,), (6,), (13,), (20,), (2, 3, 7, 8)])
def test_a_resumed_run_ends_with_the_same_numbers(undisturbed: Path, tmp_path: Path, stops: tuple[int, ...]) -> None:
    # The resolved configuration names the cache, so both runs have the same one.
    cache = undisturbed.parent / "cache"
    finish(tmp_path / "run", [*SMALL, f"store.cache_dir={cache}"], stops=stops)
    assert_same(tmp_path / "run", undisturbed)


def test_a_warm_up_is_trained_once_and_is_the_same_for_both(undisturbed: Path) -> None:
    lines = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    assert [(line["training"], line["cycle"]) for line in lines] == [
        (training, cycle)
        for training, cycles in (("both", [-1]), ("together", [0, 1]), ("alone", [0, 1]))
        for cycle in cycles
        for _ in range(2)
    ]
    session = prepare(load("burgers", [*SMALL, f"store.cache_dir={undisturbed.parent / 'cache'}"]))
    alone = session.trainings["alone"]
    assert session.total_steps == sum(line["steps"] for line in lines)
    expected = [result.validation_error for result in alone.run(2)]
    assert [line["validation_error"] for line in lines if line["training"] != "together"] == expected


@pytest.mark.slow
def test_a_finished_run_with_more_cycles_equals_one_that_had_them_from_the_first(tmp_path: Path) -> None:
    options = [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", "synthetic.optimizer.schedule=constant"]
    finish(tmp_path / "whole", [*options, "hybrid.cycles=3"])
    finish(tmp_path / "raised", [*options, "hybrid.cycles=1"])
    experiment = load("burgers", [*options, "hybrid.cycles=3"])
    with reopen(tmp_path / "raised", experiment) as run:
        train(prepare(experiment), run, StopAt(0), run.load_checkpoint())
    assert_same(tmp_path / "raised", tmp_path / "whole")
    with pytest.raises(RunError, match=r"hybrid\.cycles is 3 in the run, and can be raised, not lowered to 2"):
        reopen(tmp_path / "raised", load("burgers", [*options, "hybrid.cycles=2"]))
    assert "cycles: 3" in (tmp_path / "raised/config.yaml").read_text()


def test_raising_the_cycles_goes_on_along_the_longer_schedule(tmp_path: Path) -> None:
    options = [*SMALL, f"store.cache_dir={tmp_path / 'cache'}"]
    finish(tmp_path / "run", [*options, "hybrid.cycles=1"])
    experiment = load("burgers", [*options, "hybrid.cycles=4"])
    session = prepare(experiment)
    trainer = session.trainings["together"].learners["synthetic"].trainer
    rates: list[float] = []

    class Watching(StopAt):
        def step(self, loss: float) -> None:
            rates.append(trainer.descent.optimizers[0].param_groups[0]["lr"])
            super().step(loss)

    with reopen(tmp_path / "run", experiment) as run, pytest.raises(PowerCutError):
        train(session, run, Watching(1), run.load_checkpoint())
    # Seven steps were taken of 4 + 4 · 3.
    assert rates == pytest.approx([experiment.synthetic.optimizer.lr * cosine(16)(7)])


def test_a_seed_fixes_everything(undisturbed: Path, tmp_path: Path) -> None:
    finish(tmp_path / "same", [*SMALL, f"store.cache_dir={tmp_path / 'cache'}"])
    assert_same(tmp_path / "same", undisturbed)
    finish(tmp_path / "other", [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", "seed=1"])
    assert (tmp_path / "other/metrics.jsonl").read_text() != (undisturbed / "metrics.jsonl").read_text()


def test_memory_and_cache_train_the_same_models(undisturbed: Path, tmp_path: Path) -> None:
    finish(tmp_path / "run", [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", "store.placement=cache"])
    assert (tmp_path / "run/result.json").read_text() == (undisturbed / "result.json").read_text()
    assert '"placement": "cache"' in (tmp_path / "run/metrics.jsonl").read_text()
    assert not list((tmp_path / "cache/generated").glob("*/data.npy")), "generated sets go when their phase ends"


def newest_checkpoint(run: Path) -> int:
    return max((int(path.stem) for path in run.glob("checkpoints/*.pt")), default=-1)


def test_interrupt_tells_how_to_go_on(tmp_path: Path) -> None:
    overrides = [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", "hybrid.cycles=500"]
    command = [sys.executable, "-m", "cotwin", "train", "burgers", *overrides, "--run-dir", str(tmp_path / "run")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Where the tests run in the background of a script, an interrupt is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # Not for one checkpoint's file: two phases later it is gone again.
    while newest_checkpoint(tmp_path / "run") < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in output
    assert Run.reopen(tmp_path / "run").load_checkpoint()


def test_a_run_goes_on_with_its_own_settings_alone(undisturbed: Path) -> None:
    same = [*SMALL, f"store.cache_dir={undisturbed.parent / 'cache'}"]
    reopen(undisturbed, load("burgers", [*same, "store.placement=memory", "estimation.points=3"])).close()
    with pytest.raises(RunError) as refused:
        reopen(undisturbed, load("burgers", [*same, "seed=3", "hybrid.alpha={kind: linear, first: 0, last: 1}"]))
    assert "seed is 0 in the run, 3 was asked for" in str(refused.value)
    assert "hybrid.alpha.first is None in the run, 0.0 was asked for" in str(refused.value)
    assert "cycles" not in str(refused.value)
    (undisturbed / "config.yaml").write_text("name: [")
    with pytest.raises(ConfigError, match=r"config\.yaml is not readable YAML"):
        reopen(undisturbed, load("burgers", same))
    (undisturbed / "config.yaml").write_text(dump(load("burgers", same)))
    reopen(undisturbed, load("burgers", same)).close()  # the refusals let go of the directory


def write_waves(path: Path, size: float) -> None:
    x, t = np.linspace(0, 2 * np.pi, 32, endpoint=False), 0.05 * np.arange(9)
    u = np.stack([size * np.exp(-0.1 * t)[:, None] * np.sin(x - 0.3 * n) for n in range(4)])
    np.savez(path, x=x, t=t, u=u, boundary="periodic")


def test_a_run_does_not_go_on_with_other_data(tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    options = [*(word for word in SMALL if not word.startswith("data.")), f"data={{kind: file, path: {file}}}"]
    options += [f"store.cache_dir={tmp_path / 'cache'}"]
    write_waves(file, 1.0)
    experiment = load("burgers", options)
    with Run.create(tmp_path / "run", dump(experiment)) as run, pytest.raises(PowerCutError):
        train(prepare(experiment), run, StopAt(8), None)
    write_waves(file, 3.0)
    with (
        reopen(tmp_path / "run", experiment) as run,
        pytest.raises(RunError, match=r"mine\.npz is not what the run was"),
    ):
        train(prepare(experiment), run, StopAt(0), run.load_checkpoint())
    write_waves(file, 1.0)
    with reopen(tmp_path / "run", experiment) as run:
        train(prepare(experiment), run, StopAt(0), run.load_checkpoint())


def test_other_code_is_warned_of(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = load("burgers", [*SMALL, f"store.cache_dir={undisturbed.parent / 'cache'}"])
    for version, warned in ((resume.code_version(), False), ("another", True)):
        monkeypatch.setattr(resume, "code_version", lambda version=version: version)
        with reopen(undisturbed, experiment) as run:
            train(prepare(experiment), run, StopAt(0), run.load_checkpoint())
        assert ("another version of Cotwin" in caplog.text) is warned


def test_a_checkpoint_that_does_not_fit_is_refused(undisturbed: Path) -> None:
    experiment = load("burgers", [*SMALL, f"store.cache_dir={undisturbed.parent / 'cache'}"])
    with reopen(undisturbed, experiment) as run:
        checkpoint = run.load_checkpoint()
        del checkpoint["trainings"]["alone"]["trainers"]
        with pytest.raises(RunError, match="another version of Cotwin wrote it"):
            train(prepare(experiment), run, StopAt(0), checkpoint)
