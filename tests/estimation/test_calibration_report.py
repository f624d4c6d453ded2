"""What the report of an estimation says and shows."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from matplotlib.figure import Figure
from rich.console import Console

from cotwin.estimation.calibration import Calibration
from cotwin.experiment.calibrate import prepare, run
from cotwin.experiment.load import load
from cotwin.report import corner, fit
from cotwin.report.calibration import render

QUICK = ["data.grid=[24]", "data.num_steps=10", "data.refine=1", "data.test=2", "estimation.points=1"]


@functools.cache
def calibration(*overrides: str) -> Calibration:
    return run(prepare(load("fisher", [*QUICK, *overrides])))


def said(found: Calibration) -> str:
    console = Console(width=300, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        for part in render(found):
            console.print(part)
    return capture.get()


def test_chi_square_is_shown_only_where_it_says_something() -> None:
    assert "χ²" not in said(calibration())
    assert "as given: density 0.005. χ² a degree of freedom" in said(calibration("estimation.noise=0.005"))


def test_a_truth_beyond_the_axis_is_pointed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    found = calibration()
    far = replace(found, truth={**found.truth, "growth": torch.tensor(100.0)})
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    for one in (found, far):
        fit.draw(one, found.fitted[0])
    texts = [[text.get_text() for axis in figure.axes for text in axis.texts] for figure in drawn]
    assert not any(text.startswith("× at") for text in texts[0])
    assert sum(text.startswith("× at") for text in texts[1]) == 1


@pytest.mark.slow
def test_intervals_by_posterior_are_said_to_know_of_less() -> None:
    """Starts taken as measured: the printed intervals are widened by their noise."""
    found = calibration("estimation.starts=exact", "estimation.posterior=400", "estimation.resolution=off")
    assert "noise_in_starts" in found.reasons
    assert "Intervals by posterior are not widened by" in said(found)
    assert "not widened by" not in said(replace(found, posterior=None, drawn={}))
    assert corner.draw(found).startswith(b"\x89PNG")
