"""Navier-Stokes as vorticity: exact solutions, invariants, order."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from physics_cases import F64, known, smooth
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.physics.navier_stokes import NavierStokes
from cotwin.stepper import rollout


def square(points: int = 32, dt: float = 0.05, height: float = 2 * math.pi) -> tuple[Layout, Tensor, Tensor]:
    layout = Layout.box(
        [Field("vorticity")],
        grid=(points, points),
        extent=[(0, 2 * math.pi), (0, height)],
        boundary="periodic",
        dt=dt,
    )
    x, y = (torch.tensor(layout.points(axis), dtype=F64) for axis in range(2))
    return layout, x[:, None], y[None, :]


@pytest.mark.parametrize("drag", [None, 0.3])
def test_taylor_green_vortices_decay_in_place(drag: float | None) -> None:
    viscosity, k = 0.05, 2
    layout, x, y = square()
    start = 2 * k * torch.cos(k * x) * torch.cos(k * y)
    stepper = NavierStokes(layout, known(viscosity), None if drag is None else known(drag))
    states = rollout(stepper, start[None, None], 20)[0, :, 0]
    decay = torch.exp(-(2 * viscosity * k**2 + (drag or 0.0)) * 0.05 * torch.arange(21, dtype=F64))
    assert torch.allclose(states, decay[:, None, None] * start, rtol=0, atol=1e-13)


def test_a_parallel_stream_decays_in_place() -> None:
    layout, _, y = square()
    start = torch.cos(y).expand(layout.grid)
    states = rollout(NavierStokes(layout, known(0.1)), start[None, None], 10)[0, :, 0]
    decay = torch.exp(-0.1 * 0.05 * torch.arange(11, dtype=F64))
    assert torch.allclose(states, decay[:, None, None] * start, rtol=0, atol=1e-14)


def test_the_advection_is_that_of_its_velocity() -> None:
    """∂ω/∂t = −u·∇ω at one instant, the derivatives by hand."""
    layout, x, y = square(24, height=3.0)
    k = 2 * math.pi / 3.0
    # ψ = sin x cos 2ky + cos 2x sin ky
    u = -2 * k * torch.sin(x) * torch.sin(2 * k * y) + k * torch.cos(2 * x) * torch.cos(k * y)
    v = -torch.cos(x) * torch.cos(2 * k * y) + 2 * torch.sin(2 * x) * torch.sin(k * y)
    a, b = 1 + 4 * k**2, 4 + k**2
    vorticity = a * torch.sin(x) * torch.cos(2 * k * y) + b * torch.cos(2 * x) * torch.sin(k * y)
    along_x = a * torch.cos(x) * torch.cos(2 * k * y) - 2 * b * torch.sin(2 * x) * torch.sin(k * y)
    along_y = -2 * k * a * torch.sin(x) * torch.sin(2 * k * y) + k * b * torch.cos(2 * x) * torch.cos(k * y)
    stepper = NavierStokes(layout, known(0.1))
    state = vorticity[None, None]
    assert torch.allclose(stepper.velocity(state)[0], torch.stack([u, v]), rtol=0, atol=1e-12)
    rate = stepper.to_grid(stepper.nonlinearity(state)(stepper.to_spectrum(state)))[0, 0]
    assert torch.allclose(rate, -u * along_x - v * along_y, rtol=0, atol=1e-11)


def test_kolmogorov_flow_rests_where_force_and_friction_balance() -> None:
    viscosity, drag, amplitude, periods, height = 0.5, 0.2, 0.8, 2, 3.0
    layout, _, y = square(24, dt=0.5, height=height)
    k = 2 * math.pi * periods / height
    rest = (-amplitude * k / (viscosity * k**2 + drag) * torch.cos(k * y)).expand(layout.grid)
    stepper = NavierStokes(layout, known(viscosity), known(drag), known(amplitude), known(float(periods)))
    assert torch.allclose(rollout(stepper, rest[None, None], 4)[0, -1, 0], rest, rtol=0, atol=1e-13)
    from_nothing = rollout(stepper, torch.zeros(1, 1, *layout.grid, dtype=F64), 20)[0, -1, 0]
    assert torch.allclose(from_nothing, rest, rtol=1e-4, atol=1e-4)
    # The velocity is along the force: u = A sin(k y)/(ν k² + μ).
    u, v = stepper.velocity(rest[None, None])[0]
    assert torch.allclose(u, (amplitude / (viscosity * k**2 + drag) * torch.sin(k * y)).expand_as(u), atol=1e-12)
    assert v.abs().max() < 1e-12


def test_without_friction_energy_and_enstrophy_stay() -> None:
    layout, _, _ = square(32, dt=0.02)
    start = smooth(layout, modes=3)
    stepper = NavierStokes(layout, known(1e-12), substeps=4)
    states = rollout(stepper, start, 20)
    assert (states[:, -1] - start).norm() > 0.1 * start.norm(), "it moves"
    enstrophy = states.square().mean(dim=(2, 3, 4))
    assert torch.allclose(enstrophy, enstrophy[:, :1].expand_as(enstrophy), rtol=1e-5)
    energy = torch.stack([stepper.velocity(states[:, t]).square().mean(dim=(1, 2, 3)) for t in (0, -1)])
    assert torch.allclose(energy[1], energy[0], rtol=1e-5)


def test_second_order_in_time() -> None:
    layout, _, _ = square(24, dt=0.4)
    start = 2 * smooth(layout, modes=3)

    def solve(substeps: int) -> Tensor:
        stepper = NavierStokes(layout, known(0.02), known(0.1), known(0.5), known(3.0), substeps)
        return rollout(stepper, start, 1)[:, -1]

    exact = solve(512)
    errors = np.array([float((solve(n) - exact).norm()) for n in (8, 16, 32)])
    assert np.log2(errors[:-1] / errors[1:]) == pytest.approx(2, abs=0.2)


def test_a_force_is_an_amplitude_and_a_wavenumber() -> None:
    layout, _, _ = square()
    with pytest.raises(ValueError, match="both or neither"):
        NavierStokes(layout, known(0.1), forcing=known(1.0))
