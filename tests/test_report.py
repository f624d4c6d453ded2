"""Figures and tables of what no field is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.console import Console

from cotwin.layout import Field, Layout
from cotwin.parameters import Known, Positive
from cotwin.physics import Advection
from cotwin.report.figure import draw
from cotwin.report.numbers import span
from cotwin.report.table import render
from cotwin.training.evaluation import Comparison, Estimate, Score
from cotwin.training.held_out import HeldOut

LAYOUT = Layout.box([Field("u")], grid=(8, 8), extent=[(0, 1)] * 2, boundary="periodic", dt=0.1)


def test_a_velocity_is_listed_by_its_components_and_is_no_field_to_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate of two numbers on two axes was once drawn as a picture."""
    velocity = torch.tensor([0.6, -0.3])
    scores = [
        Score(role, training, 0.2, 0.2, 0.1, 0.1, [0.1], [0.1])
        for role in ("physical", "synthetic")
        for training in ("together", "alone")
    ]
    estimate = Estimate("velocity", "1", velocity, 0.5 * velocity, velocity, velocity)
    comparison = Comparison(scores, [estimate], start=0.3, baselines={"the last known state": 0.3})
    console = Console(width=120, record=True)
    for part in render(comparison):
        console.print(part)
    assert "(0.6, -0.3)" in console.export_text()
    model = Advection(LAYOUT, Known(velocity), Positive(0.01))
    shown = HeldOut(torch.rand(1, 2, 1, 8, 8))
    metrics = [
        {"learner": score.role, "training": score.training, "steps": 1, "validation_error": 0.1} for score in scores
    ]
    png = draw(LAYOUT, shown, {"physical": model, "synthetic": model}, comparison, metrics)
    assert png.startswith(b"\x89PNG")
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    for one in (shown, HeldOut(shown.states, clean=True)):
        draw(LAYOUT, one, {"physical": model, "synthetic": model}, comparison, metrics)
    titles = [{axis.get_title() for axis in figure.axes} for figure in drawn]
    assert titles[0] ^ titles[1] == {"measured", "truth"}
    assert "truth" in titles[1]


@given(low=st.floats(-1e12, 1e12), width=st.floats(1e-9, 1e9))
def test_ends_of_an_interval_are_told_apart(low: float, width: float) -> None:
    high = low + width
    assume(width > 1e-11 * abs(low))
    shown = [float(end) for end in span(low, high).split(" … ")]
    assert shown == pytest.approx([low, high], abs=2e-3 * width)
