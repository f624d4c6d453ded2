"""Refined: equality with the fine solution, between walls too, and the Burgers solution that others computed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from physics_cases import F64, box, scalar, smooth

from cotwin.layout import Boundary, Field, Layout
from cotwin.parameters import Known
from cotwin.physics.heat import Heat
from cotwin.physics.incompressible import IncompressibleFlow
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.rollouts import Refined
from cotwin.rollouts.lift import lifted
from cotwin.stepper import rollout

U = [Field("u")]
RAISSI = Path(__file__).parents[3] / "shared" / "data" / "raissi_burgers.npz"


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
    expected = rollout(heat, lifted(smooth(layout), layout, 2), 3)[:, 1:, :, ::2]
    assert torch.allclose(rollout(Refined(heat, layout, 2), smooth(layout), 3)[:, 1:], expected)


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet"])
def test_between_walls_a_coarse_grid_decays_as_the_fine_one(boundary: Boundary) -> None:
    """Of a mode the mean over each cell decays as the mode does: exp(−κ k² t), here on 8 cells."""
    layout = Layout.box(U, grid=(8,), extent=[(0.0, 1.0)], boundary=boundary, dt=0.02)
    wave = torch.cos if boundary == "neumann" else torch.sin
    start = wave(2 * math.pi * torch.tensor(layout.points(0), dtype=F64))[None, None]
    exact = math.exp(-0.1 * (2 * math.pi) ** 2 * 0.1) * start
    refined = (Refined(Heat(layout.refined(n), scalar(0.1)), layout, n) for n in (1, 2, 4))
    errors = [(rollout(one, start, 5)[:, -1] - exact).abs().max().item() for one in refined]
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_fields_are_seen_on_the_grid_of_the_data() -> None:
    """Between walls as the means of their cells, along periodic axes at its points; all else as it is."""
    layout = Layout.box(U, grid=(4, 3), extent=[(0, 1), (0, 1)], boundary=("neumann", "periodic"), dt=0.1)
    stepper = Refined(Heat(layout.refined(2), scalar(0.1)), layout, 2)
    fine = torch.arange(8.0)[:, None] + 10 * torch.arange(6.0)
    seen = torch.tensor([0.5, 2.5, 4.5, 6.5])[:, None] + torch.tensor([0.0, 20.0, 40.0])
    assert torch.equal(stepper.at_data_points(fine), seen)
    assert torch.equal(stepper.at_data_points(torch.stack([fine, -fine])), torch.stack([seen, -seen]))
    assert float(stepper.at_data_points(torch.tensor(0.1))) == pytest.approx(0.1)
    assert stepper.solver_layout == layout.refined(2)


def test_what_does_not_fit_is_refused() -> None:
    layout, flow = box(U, (10,)), box([Field("u", components=2)], (10, 12))
    with pytest.raises(ValueError, match=r"build it on layout.refined\(3\)"):
        Refined(SpectralBurgers(layout.refined(2), scalar(0.1)), layout, 3)
    with pytest.raises(ValueError, match=r"cannot be made up of 2 along a periodic axis.*such as 3"):
        Refined(IncompressibleFlow(flow.refined(2), scalar(0.1), 2.0), flow, 2)


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
