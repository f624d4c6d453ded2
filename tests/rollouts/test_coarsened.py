"""Coarsened: the coarse solution, seen on the grid of the data."""

from __future__ import annotations

import math

import pytest
import torch
from physics_cases import F64, box, scalar

from cotwin.layout import Boundary, Field, Layout
from cotwin.physics.advection import Advection
from cotwin.physics.heat import Heat
from cotwin.rollouts import Coarsened
from cotwin.stepper import rollout

U = [Field("u")]


def test_what_the_coarse_grid_resolves_is_solved_exactly_by_a_spectral_method() -> None:
    layout = box(U, (24,))
    coarse = box(U, (8,))
    x = 2 * math.pi * torch.arange(24, dtype=F64) / 24
    start = (1 + x.sin() - 0.3 * (3 * x).cos()).expand(2, 1, -1)
    speed = (scalar(0.7),)
    states = rollout(Coarsened(Advection(coarse, speed), layout, 3), start, 5)
    assert torch.allclose(states, rollout(Advection(layout, speed), start, 5), atol=1e-6)
    assert torch.equal(states[:, 0], start)


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet"])
def test_its_error_is_that_of_the_coarse_grid(boundary: Boundary) -> None:
    """Second order: a mode decays as exp(−κ k² t), here on 8, 16 and 32 cells seen on 64."""
    layout = Layout.box(U, grid=(64,), extent=[(0.0, 1.0)], boundary=boundary, dt=0.02)
    wave = torch.cos if boundary == "neumann" else torch.sin
    start = wave(2 * math.pi * torch.tensor(layout.points(0), dtype=F64))[None, None]
    exact = math.exp(-0.1 * (2 * math.pi) ** 2 * 0.1) * start
    errors = []
    for factor in (8, 4, 2):
        coarse = Layout.box(U, grid=(64 // factor,), extent=[(0.0, 1.0)], boundary=boundary, dt=0.02)
        states = rollout(Coarsened(Heat(coarse, scalar(0.1)), layout, factor), start, 5)
        errors.append(float((states[:, -1].detach() - exact).abs().max()))
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_fields_are_seen_on_the_grid_of_the_data() -> None:
    layout, coarse = box(U, (24,)), box(U, (8,))
    model = Coarsened(Heat(coarse, scalar(0.1)), layout, 3)
    wave = (2 * math.pi * torch.arange(24, dtype=F64) / 24).sin()
    assert torch.allclose(model.at_data_points(wave[::3]), wave)
    assert float(model.at_data_points(torch.tensor(0.3))) == pytest.approx(0.3)


def test_what_does_not_fit_is_refused() -> None:
    layout, coarse = box(U, (24,)), box(U, (8,))
    with pytest.raises(ValueError, match="build it on a layout 2 times coarser"):
        Coarsened(Heat(coarse, scalar(0.1)), layout, 2)
    static = box([Field("u"), Field("k", static=True)], (8,))
    with pytest.raises(ValueError, match="solve on the data's"):
        Coarsened(Heat(static, scalar(0.1)), static.refined(2), 2)
