"""A program without gradients, estimated from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small import SMALL
from test_command import cotwin

from cotwin.estimation import LeastSquares, NoisyStarts
from cotwin.experiment.calibrate import prepare
from cotwin.experiment.load import dump, load, validate

MODEL = """
import numpy as np
from cotwin import Layout, Parameter
from cotwin.physics import ExternalStepper

def decay(states, dt, parameters):
    wave = np.fft.rfftfreq(states.shape[-1], 1 / states.shape[-1]) * 2 * np.pi
    return np.fft.irfft(np.fft.rfft(states) * np.exp(-parameters["rate"] * dt * wave**2), states.shape[-1])

def build(layout: Layout, rate: Parameter):
    return ExternalStepper(layout, decay, {"rate": rate})
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a program in it, imported anew."""
    (tmp_path / "outside.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "outside", raising=False)
    return tmp_path


def configured(**estimation: Any) -> Any:
    base = load("burgers", [one for one in SMALL if not one.startswith("physical.viscosity")]).model_dump()
    shared = {key: base["physical"][key] for key in ("window", "optimizer", "warmup_steps", "steps")}
    base["physical"] = {"model": "outside:build", "rate": {"initial": 0.01}, **shared}
    return validate({**base, "estimation": estimation})


def test_starts_are_exact_unless_asked_and_the_note_says_what_they_cost() -> None:
    task = prepare(configured())
    asked = prepare(configured(starts="estimated"))
    assert isinstance(task.starts, torch.Tensor)
    assert isinstance(asked.starts, NoisyStarts)
    size = LeastSquares(asked.stepper, asked.starts, asked.measurements).starts.size
    said = f"{size} more rollouts from each of {len(task.starts)} starts"
    assert any(said in note and f"{size * len(task.starts) * 10:,} intervals" in note for note in task.notes)


def test_calls_are_counted_in_the_table_and_its_file(folder: Path) -> None:
    (folder / "outside.yaml").write_text(dump(configured()))
    done = cotwin("estimate", "outside.yaml")
    assert done.exit_code == 0, done.output
    effort = json.loads((folder / "runs/small-estimate/estimation.json").read_text())["effort"]
    assert f"{effort['rollouts']:,} rollouts, {effort['calls']:,} calls of the program" in done.output
    # Rollouts of ten intervals, one call for all starts of each, or parts of them.
    assert 0 < effort["calls"] <= 10 * effort["rollouts"]


def test_what_to_measure_next_of_a_program_that_rounds_begins_with_the_intervals_of_the_estimate(
    folder: Path,
) -> None:
    """Differences over steps that suit double precision see nothing of results with two digits, or far too much."""
    rounded = MODEL.replace("np.fft.irfft(", "np.round(np.fft.irfft(").replace(
        "shape[-1])\n\ndef", "shape[-1]), 2)\n\ndef"
    )
    assert rounded.count("np.round(") == rounded.count("), 2)") == 1
    (folder / "outside.py").write_text(rounded)
    (folder / "outside.yaml").write_text(dump(configured(resolution="off")))
    assert cotwin("estimate", "outside.yaml").exit_code == 0
    (found,) = json.loads((folder / "runs/small-estimate/estimation.json").read_text())["estimates"]
    done = cotwin("next", "runs/small-estimate")
    assert done.exit_code == 0, done.output
    (now,) = json.loads((folder / "runs/small-estimate/next.json").read_text())["unknowns"]
    low, high = found["independent_interval"]  # wider for noise in the starts, of which more values do not tell
    assert now["interval"] == pytest.approx([low, high], abs=0.1 * (high - low))


def test_an_ensemble_estimates_from_the_command_line(folder: Path) -> None:
    (folder / "outside.yaml").write_text(dump(configured()))
    done = cotwin("estimate", "outside.yaml", "estimation.search=ensemble_kalman", "estimation.members=12")
    assert done.exit_code == 0, done.output
    found = json.loads((folder / "runs/small-estimate/estimation.json").read_text())
    assert "by_ensemble" in found["warning_codes"]
    assert "regression on" in done.output
    by_derivatives = cotwin("estimate", "outside.yaml", "--run-dir", "other")
    assert by_derivatives.exit_code == 0, by_derivatives.output
    right = json.loads((folder / "other/estimation.json").read_text())["estimates"][0]
    (mine,) = found["estimates"]
    assert abs(mine["value"] - right["value"]) < 0.2 * right["standard_deviation"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": 5}, "members are of an ensemble"),
        ({"search": "ensemble_kalman", "profile": True}, "profile goes by derivatives"),
        ({"search": "ensemble_kalman", "starts": "estimated"}, "takes starts as exact"),
        ({"search": "ensemble_kalman", "points": 4}, "give members"),
    ],
)
def test_settings_that_do_not_go_with_the_search_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configured(**settings)
