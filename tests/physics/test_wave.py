"""The wave equation: d'Alembert, standing and damped waves, energy, reciprocity of time."""

from __future__ import annotations

import math

import pytest
import torch
from physics_cases import F64, field, known, scalar, smooth
from torch import Tensor

from cotwin.layout import Ends, Field, Layout
from cotwin.parameters import Known
from cotwin.physics.ends import plain_ends
from cotwin.physics.finite_volume import diffusion, face_diffusivities
from cotwin.physics.wave import Wave
from cotwin.stepper import DivergenceError, rollout

UV = [Field("u"), Field("v")]


def line(points: int, boundary: Ends, dt: float = 0.02) -> tuple[Layout, Tensor]:
    layout = Layout.box(UV, grid=(points,), extent=[(0.0, 1.0)], boundary=(boundary,), dt=dt)
    return layout, torch.tensor(layout.points(0), dtype=F64)


def test_a_pulse_parts_into_two_that_run_apart() -> None:
    """d'Alembert: u = (g(x − ct) + g(x + ct))/2 from rest, to second order in space and time together."""
    errors = []
    for points in (64, 128):
        layout, x = line(points, "periodic")

        def pulse(x: Tensor) -> Tensor:
            return torch.exp(4 * (torch.cos(2 * math.pi * x) - 1))

        start = torch.stack([pulse(x), torch.zeros_like(x)])[None]
        end = rollout(Wave(layout, known(0.8), substeps=points // 32), start, 20)[0, -1, 0]
        errors.append(float((end - (pulse(x - 0.32) + pulse(x + 0.32)) / 2).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.8)
    assert errors[1] < 2e-3


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", ("dirichlet", "neumann")])
def test_standing_waves_swing_and_die_as_the_equation_says(boundary: Ends) -> None:
    """u = e^{−γt/2} (cos ωt + (γ/2ω) sin ωt) φ(x), ω² = c²k² − γ²/4, of each kind of end; the discrete k²."""
    points, c, gamma = 32, 0.7, 0.9
    layout, x = line(points, boundary)
    k = 1.5 * math.pi if isinstance(boundary, tuple) else 2 * math.pi
    mode = torch.cos(k * x) if boundary == "neumann" else torch.sin(k * x)
    omega = math.sqrt(c**2 * (2 - 2 * math.cos(k / points)) * points**2 - gamma**2 / 4)
    start = torch.stack([mode, torch.zeros_like(mode)])[None]
    errors = []
    for substeps in (2, 4):
        states = rollout(Wave(layout, known(c), known(gamma), substeps=substeps), start, 50)[0, :, 0]
        t = 0.02 * torch.arange(51, dtype=F64)
        swing = (omega * t).cos() + gamma / (2 * omega) * (omega * t).sin()
        errors.append(float((states - ((-gamma * t / 2).exp() * swing)[:, None] * mode).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.1)
    assert errors[1] < 1e-3


def test_without_damping_the_energy_is_kept_to_the_square_of_the_step() -> None:
    layout = Layout.box(UV, grid=(10, 12), extent=[(0, 1.0), (0, 1.2)], boundary=("dirichlet", "neumann"), dt=0.1)
    speed = field(layout, 0.6)
    start = smooth(layout)
    faces = face_diffusivities(speed() ** 2, layout, 1.0)
    worst = []
    for substeps in (2, 4):
        u, v = rollout(Wave(layout, speed, substeps=substeps), start, 300).detach().chunk(2, dim=2)
        strain = -(u * diffusion(u.flatten(0, 1), faces, plain_ends(layout.boundary)).view_as(u))
        energy = (v**2 + strain).sum(dim=(2, 3, 4)).detach()
        change = energy / energy[:, :1] - 1
        worst.append(float(change.abs().max()))
        early, late = (change[:, part].abs().amax(dim=1) for part in (slice(0, 100), slice(200, 300)))
        assert bool((late < 1.5 * early).all()), "it drifts"
    assert worst[0] / worst[1] == pytest.approx(4, abs=0.5)


def test_waves_run_back_as_they_came() -> None:
    layout, _ = line(24, "dirichlet")
    model, start = Wave(layout, field(layout, 0.9)), smooth(layout)
    back = start.new_tensor([1.0, -1.0]).view(2, 1)
    assert torch.allclose(
        rollout(model, rollout(model, start, 30)[:, -1] * back, 30)[:, -1] * back, start, atol=1e-12
    )


def test_a_steady_force_is_answered_by_the_steady_displacement() -> None:
    """−c² ∂²u = f, u = f sin(πx)/(c²k²), about which the damped wave comes to rest."""
    layout, x = line(32, "dirichlet", dt=0.5)
    force = torch.sin(math.pi * x)
    model = Wave(layout, known(1.0), known(4.0), source=Known(force))
    end = rollout(model, torch.zeros(1, 2, 32, dtype=F64), 60)[0, -1]
    rate = (2 - 2 * math.cos(math.pi / 32)) * 32**2
    assert torch.allclose(end, torch.stack([force / rate, torch.zeros_like(force)]), rtol=0, atol=1e-9)


def test_too_few_substeps_are_refused_with_the_number() -> None:
    layout, _ = line(64, "periodic", dt=0.5)
    with pytest.raises(DivergenceError, match="needs 36 substeps per dt to be stable, and may take 3: the fastest"):
        Wave(layout, scalar(1.0), substeps=3)(smooth(layout))
