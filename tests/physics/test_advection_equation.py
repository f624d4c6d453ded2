"""Advection is exact: shifts and decays."""

from __future__ import annotations

import math

import pytest
import torch
from physics_cases import F64, box, scalar, smooth

from cotwin.layout import Field
from cotwin.parameters import Known
from cotwin.physics.advection import Advection
from cotwin.stepper import rollout

U = [Field("u")]


@pytest.mark.parametrize("grid", [(24,), (25,), (12, 15), (6, 7, 8)])
def test_a_velocity_of_whole_cells_shifts_the_points(grid: tuple[int, ...]) -> None:
    """Any start will do on an odd grid; on an even one any without its highest mode."""
    layout = box(U, grid, dt=0.05)
    cells = (2, -1, 3)[: layout.dims]
    velocity = torch.tensor([n * dx / 0.05 for n, dx in zip(cells, layout.spacing, strict=True)], dtype=F64)
    odd = all(points % 2 for points in grid)
    start = torch.randn(2, *layout.state_shape, dtype=F64) if odd else smooth(layout, modes=2)
    states = rollout(Advection(layout, Known(velocity)), start, 3)
    axes = tuple(range(2, 2 + layout.dims))
    for step in range(4):
        shifted = start.roll(tuple(step * n for n in cells), axes)
        assert torch.allclose(states[:, step], shifted, rtol=0, atol=1e-12)


def test_a_wave_moves_and_decays_at_its_rates() -> None:
    layout = box(U, (16, 20), dt=0.3)
    x, y = torch.meshgrid(*(torch.tensor(layout.points(a), dtype=F64) for a in (0, 1)), indexing="ij")
    kx, ky = 3 * 2 * math.pi / 2.0, -2 * 2 * math.pi / 3.0
    stepper = Advection(layout, Known(torch.tensor([0.31, -0.77], dtype=F64)), scalar(0.01))
    found = stepper(torch.cos(kx * x + ky * y)[None, None])[0, 0]
    phase = kx * (x - 0.31 * 0.3) + ky * (y + 0.77 * 0.3)
    assert torch.allclose(found, phase.cos() * math.exp(-0.01 * (kx**2 + ky**2) * 0.3), atol=1e-13)


def test_the_highest_mode_of_an_even_grid_stays_put_but_decays() -> None:
    layout = box(U, (8,), dt=0.05)
    zigzag = torch.tensor([1.0, -1.0], dtype=F64).repeat(4)[None, None]
    found = Advection(layout, scalar(0.7), scalar(0.1))(zigzag)
    assert torch.allclose(found, zigzag * math.exp(-0.1 * (math.pi / layout.spacing[0]) ** 2 * 0.05))


def test_parameters_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="one value for each of 2 axes"):
        Advection(box(U, (8, 8)), scalar(1.0))
    with pytest.raises(ValueError, match="a field needs AdvectionDiffusion"):
        Advection(box(U, (8,)), scalar(1.0), Known(torch.ones(8)))
