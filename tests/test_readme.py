"""What the README shows works."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from small import SMALL
from typer.testing import CliRunner

import cotwin
from cotwin.cli import app
from cotwin.experiment.load import load
from cotwin.experiment.train import prepare

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_script_runs_and_finds_the_viscosity(capsys: pytest.CaptureFixture[str]) -> None:
    _, script = blocks("python")
    scope: dict[str, object] = {}
    exec(compile(script, "README.md", "exec"), scope)
    estimated = scope["estimates"](scope["simulator"].trainer.best())["viscosity"]  # type: ignore[operator, attr-defined]
    assert float(estimated) == pytest.approx(0.1, rel=0.05)
    assert capsys.readouterr().out.count("PhaseResult") == 6


def test_the_shortest_configuration_is_a_whole_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data, model and unknowns: all else has defaults, with which the simulator finds its viscosity."""
    (text,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    x, times = np.linspace(0, 2 * np.pi, 24, endpoint=False), np.arange(12) * 0.1
    decay = np.exp(-0.1 * times)[:, None]
    u = np.stack([size * decay * np.sin(x) for size in (0.02, 0.01, 0.03)])  # so small that it only diffuses
    xr.Dataset({"u": (("trajectory", "time", "x"), u)}, {"time": times, "x": x}).to_netcdf(tmp_path / "mine.nc")
    monkeypatch.chdir(tmp_path)
    experiment = load("mine.yaml", ["hybrid.cycles=1", "synthetic.warmup_steps=2", "synthetic.steps=2"])
    assert (experiment.name, experiment.synthetic.network, experiment.hybrid.alpha.kind) == ("mine", "resnet", "auto")
    learner = prepare(experiment).trainings["together"].learners["physical"]
    learner.trainer.fit(learner.real, learner.warmup_steps)
    viscosity = cotwin.estimates(learner.trainer.best())["viscosity"]
    assert float(viscosity) == pytest.approx(0.1, rel=0.01)


def test_what_was_trained_is_used_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["train", "burgers", *SMALL, "name=burgers", "hybrid.cycles=1"], predict_words()):
        x = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        np.savez("start.npz", x=x, t=[0.0], u=np.sin(x)[None], boundary="periodic")
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    script, _ = blocks("python")
    scope = {"cotwin": cotwin, "start": torch.tensor(np.sin(x), dtype=torch.float32)[None, None]}
    exec(compile(script, "README.md", "exec"), scope)
    written = cotwin.open_trajectories("predicted.nc")
    assert torch.equal(written.states, scope["states"])  # type: ignore[arg-type]
    assert np.array_equal(scope["predicted"].u, written.states[:, :, 0])  # type: ignore[attr-defined]
    assert "viscosity" in scope["values"]  # type: ignore[operator]


def predict_words() -> list[str]:
    (line,) = (line for block in blocks("sh") for line in block.splitlines() if line.startswith("cotwin predict"))
    return shlex.split(line, comments=True)[1:]
