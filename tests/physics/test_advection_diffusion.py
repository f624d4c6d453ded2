"""Advection-diffusion with fields and walls, against exact solutions and the exact periodic model."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from physics_cases import F64, MIXED, U, box, known, scalar, smooth

from cotwin.layout import Layout
from cotwin.physics.advection import Advection
from cotwin.physics.advection_diffusion import AdvectionDiffusion
from cotwin.physics.heat import Heat
from cotwin.stepper import DivergenceError, rollout


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_constants_around_a_period_approach_the_exact_model(dims: int) -> None:
    velocity, errors = known([0.7, -0.4, 0.5][:dims]), []
    for points in (16, 32) if dims == 3 else (32, 64):
        layout = Layout.box(
            list(U), grid=(points,) * dims, extent=[(0, 2 * math.pi)] * dims, boundary="periodic", dt=0.2
        )
        start = smooth(layout, modes=1)
        exact = rollout(Advection(layout, velocity, known(0.1)), start, 5)[:, -1]
        found = rollout(AdvectionDiffusion(layout, velocity, known(0.1), substeps=4), start, 5)[:, -1]
        errors.append(float((found - exact).norm() / exact.norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)


def test_without_a_stream_it_is_heat() -> None:
    layout = box(list(U), (10, 12), MIXED)
    start = smooth(layout)
    still = AdvectionDiffusion(layout, known([0.0, 0.0]), scalar(0.3))
    assert torch.allclose(rollout(still, start, 3), rollout(Heat(layout, scalar(0.3)), start, 3), atol=1e-14)


def test_a_stream_against_a_wall_builds_a_layer() -> None:
    """Zero at both ends: modes e^{c x/2κ} sin(πx), decaying at c²/4κ + κπ²."""
    speed, kappa, errors = 1.0, 0.2, []
    for points in (32, 64, 128):
        layout = Layout.box(list(U), grid=(points,), extent=[(0, 1.0)], boundary="dirichlet", dt=0.05)
        x = torch.tensor(layout.points(0), dtype=F64)
        mode = (torch.exp(speed * x / (2 * kappa)) * torch.sin(math.pi * x))[None, None]
        end = rollout(AdvectionDiffusion(layout, known([speed]), known(kappa), substeps=32), mode, 6)[:, -1]
        exact = mode * math.exp(-(speed**2 / (4 * kappa) + kappa * math.pi**2) * 0.3)
        errors.append(float((end - exact).abs().max() / exact.abs().max()))
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.3)


def test_a_stream_that_no_wall_feels_keeps_all_it_carries() -> None:
    """A stream field that vanishes at both walls: nothing leaves."""
    layout = Layout.box(list(U), grid=(48,), extent=[(0, 1.0)], boundary="neumann", dt=0.05)
    x = torch.tensor(layout.points(0), dtype=F64)
    stream = torch.sin(2 * math.pi * x)
    stream[[0, -1]] = 0.0  # the wall's face has the mean of the outermost cell and its mirror image
    states = rollout(AdvectionDiffusion(layout, known(stream[None]), known(0.05)), smooth(layout), 10)
    mean = states.mean(dim=(2, 3))
    assert (states[:, -1] - states[:, 0]).abs().max() > 0.1, "it moves"
    assert torch.allclose(mean, mean[:, :1].expand_as(mean), rtol=0, atol=1e-13)


def test_a_field_is_as_good_as_the_constant_it_holds() -> None:
    layout = box(list(U), (10, 12), ("periodic", "neumann"))
    start = smooth(layout)
    constant = AdvectionDiffusion(layout, known([0.7, 0.0]), scalar(0.1))
    field = torch.stack([torch.full((10, 12), 0.7, dtype=F64), torch.zeros(10, 12, dtype=F64)])
    varying = AdvectionDiffusion(layout, known(field), scalar(0.1))
    assert torch.allclose(rollout(constant, start, 3), rollout(varying, start, 3), atol=1e-13)


def test_bad_settings_are_refused() -> None:
    layout = box(list(U), (10, 12))
    with pytest.raises(ValueError, match="one value for each of 2 axes"):
        AdvectionDiffusion(layout, known([0.1]), scalar(0.1))
    with pytest.raises(DivergenceError, match="substeps per dt"):
        rollout(AdvectionDiffusion(layout, known([1e9, 0.0]), scalar(0.1)), smooth(layout), 1)
