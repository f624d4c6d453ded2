"""Refined: interpolation, equality with the fine solution, and the Burgers solution that others computed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from physics_cases import F64, box, scalar, smooth

from cotwin.layout import Field, Layout
from cotwin.parameters import Known
from cotwin.physics.heat import Heat
from cotwin.physics.refined import Refined, interpolate
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.stepper import rollout

U = [Field("u")]
RAISSI = Path(__file__).parents[3] / "shared" / "data" / "raissi_burgers.npz"


@pytest.mark.parametrize("points", [8, 9])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_interpolation_is_exact_for_resolved_modes_and_keeps_the_points(points: int, factor: int) -> None:
    coarse, fine = (torch.arange(n, dtype=F64) * (2 * math.pi / n) for n in (points, factor * points))

    def wave(x: torch.Tensor) -> torch.Tensor:
        return (1.0 + torch.cos(3 * x + 0.3) + torch.sin(x))[None, None]

    assert torch.allclose(interpolate(wave(coarse), factor), wave(fine), atol=1e-13)
    noise = torch.randn(2, 3, points, points + 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    lifted = interpolate(noise, factor)
    assert lifted.shape == (2, 3, factor * points, factor * (points + 1))
    assert torch.allclose(lifted[..., ::factor, ::factor], noise, atol=1e-13)


@pytest.mark.parametrize("points", [24, 25])
def test_the_highest_mode_becomes_a_cosine(points: int) -> None:
    """Mirror symmetry about a point survives, also where the highest mode's phase is unknown."""
    even = torch.cos(torch.arange(points, dtype=F64) * (2 * math.pi / points) * (points // 2))[None, None]
    lifted = interpolate(even, 4)
    assert torch.allclose(lifted, lifted.flip(-1).roll(1, -1), atol=1e-13)
    assert float(lifted.abs().max()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("grid", [(15,), (16,), (9, 10)])
def test_it_is_the_fine_solution_at_the_coarse_points(grid: tuple[int, ...]) -> None:
    layout = box([Field("u", components=len(grid))], grid)
    fine = layout.refined(3)
    inner = SpectralBurgers(fine, scalar(0.01))
    states = rollout(Refined(inner, layout, 3), smooth(layout), 8)
    exact = rollout(inner, smooth(fine), 8)  # the same functions, drawn on the fine grid
    coarse = exact[..., ::3] if len(grid) == 1 else exact[..., ::3, ::3]
    assert torch.allclose(states, coarse, atol=1e-6)


def test_it_takes_any_stepper_on_the_finer_grid() -> None:
    layout = box(U, (10,))
    fine = layout.refined(2)
    heat = Heat(fine, scalar(0.1))
    expected = rollout(heat, interpolate(smooth(layout), 2), 3)[:, 1:, :, ::2]
    assert torch.allclose(rollout(Refined(heat, layout, 2), smooth(layout), 3)[:, 1:], expected)


def test_what_does_not_fit_is_refused() -> None:
    layout, walls = box(U, (10,)), box(U, (10,), "neumann")
    with pytest.raises(ValueError, match=r"build it on layout.refined\(3\)"):
        Refined(SpectralBurgers(layout.refined(2), scalar(0.1)), layout, 3)
    with pytest.raises(ValueError, match="periodic"):
        Refined(Heat(walls.refined(2), scalar(0.1)), walls, 2)


@pytest.mark.skipif(not RAISSI.exists(), reason="the data of Raissi et al. (2019) are not here")
def test_it_reproduces_the_shock_of_raissi_and_others() -> None:
    with np.load(RAISSI) as file:
        exact = torch.tensor(file["u"][:, :-1], dtype=F64)
    layout = Layout.box(U, grid=(255,), extent=[(-1.0, 1.0)], boundary="periodic", dt=0.01)
    start = -torch.sin(math.pi * torch.tensor(layout.points(0), dtype=F64))[None, None]
    viscosity = Known(torch.tensor(0.01 / math.pi, dtype=F64))
    for dtype in (torch.float32, torch.float64):
        stepper = Refined(SpectralBurgers(layout.refined(4), viscosity), layout, 4)
        found = rollout(stepper, start.to(dtype), 99)[0, :, 0].double()
        assert float((found - exact).norm() / exact.norm()) < 1e-4
