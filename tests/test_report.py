"""Figures and tables of what no field is."""

from __future__ import annotations

import torch
from rich.console import Console

from cotwin.layout import Field, Layout
from cotwin.parameters import Known, Positive
from cotwin.physics import Advection
from cotwin.report.figure import draw
from cotwin.report.table import render
from cotwin.training.evaluation import Comparison, Estimate, Score
from cotwin.training.held_out import HeldOut

LAYOUT = Layout.box([Field("u")], grid=(8, 8), extent=[(0, 1)] * 2, boundary="periodic", dt=0.1)


def test_a_velocity_is_listed_by_its_components_and_is_no_field_to_draw() -> None:
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
