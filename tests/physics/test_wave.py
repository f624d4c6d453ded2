"""The wave equation: d'Alembert, standing and damped waves, energy, reciprocity of time."""

from __future__ import annotations

import cmath
import math
from itertools import pairwise

import pytest
import torch
from physics_cases import F64, field, known, scalar, smooth
from torch import Tensor

from cotwin.layout import Centring, Ends, Field, Layout
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


@pytest.mark.parametrize("centring", ["cells", "nodes"])
def test_a_pulse_leaves_through_ends_that_let_waves_out(centring: Centring) -> None:
    """d'Alembert again, on the whole line: half a pulse leaves at each end, and less comes back on finer grids."""
    left, errors = [], []
    for points in (80, 160):
        layout = Layout.box(
            UV, grid=(points + (centring == "nodes"),), extent=[(0.0, 1.0)], boundary="outflow", dt=0.05,
            centring=centring,
        )  # fmt: skip
        x = torch.tensor(layout.points(0), dtype=F64)

        def pulse(x: Tensor) -> Tensor:
            return torch.exp(-(((x - 0.4) / 0.08) ** 2))

        start = torch.stack([pulse(x), torch.zeros_like(x)])[None]
        states = rollout(Wave(layout, known(0.8), substeps=points // 16), start, 24)[0]
        t = 0.8 * 0.05 * torch.arange(25, dtype=F64)[:, None]
        errors.append(float((states[:, 0] - (pulse(x - t) + pulse(x + t)) / 2).abs().max()))
        strain = (0.8 * states[:, 0].diff(dim=1) * points).square().sum(dim=1)
        energy = states[:, 1].square().sum(dim=1) + strain
        left.append(float(energy[-1] / energy[0]))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.8)
    assert left[0] / left[1] == pytest.approx(16, rel=0.3)
    assert left[1] < 1e-6


@pytest.mark.parametrize("centring", ["cells", "nodes"])
@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_slanted_waves_leave_as_the_condition_says(gamma: float, centring: Centring) -> None:
    """cos(kx) cos(ly) e^{st}, a wall at 0, v = −c ∂u/∂x at 1: s cos k = c k sin k, s² + γs = −c²(k² + l²)."""
    c, across = 0.8, 2 * math.pi

    def rate(k: complex) -> complex:
        return -gamma / 2 + 1j * cmath.sqrt(c**2 * (k**2 + across**2) - gamma**2 / 4)

    def miss(k: complex) -> complex:
        return rate(k) * cmath.cos(k) - c * k * cmath.sin(k)

    k = 4 + 0.5j
    for _ in range(30):
        k -= miss(k) * 1e-6 / (miss(k + 1e-6) - miss(k))
    s, errors = rate(k), []
    assert abs(miss(k)) < 1e-12
    assert s.real < -0.3, "it leaves"
    for points in (12, 24, 48):
        grid = (points + (centring == "nodes"), points)
        # Waves leave at the outermost points: of cells half a spacing before the end.
        end = 1.0 if centring == "nodes" else points / (points - 0.5)
        layout = Layout.box(
            UV, grid=grid, extent=[(0, end), (0, 1)], boundary=(("neumann", "outflow"), "periodic"), dt=0.1,
            centring=(centring, "cells"),
        )  # fmt: skip
        x, y = (torch.tensor(layout.points(axis), dtype=F64) for axis in range(2))
        mode = torch.cos(k * x.to(torch.complex128))[:, None] * torch.cos(across * y)
        exact = [torch.stack([(e := mode * cmath.exp(s * t)).real, (s * e).real]) for t in (0.0, 1.0)]
        found = rollout(Wave(layout, known(c), known(gamma), substeps=points // 4), exact[0][None], 10)[0, -1]
        errors.append(float((found - exact[1]).abs().max()))
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.3), errors


@pytest.mark.parametrize("centring", ["cells", "nodes"])
def test_no_wave_grows_where_waves_leave(centring: Centring) -> None:
    """The eigenvalues of the whole map, at the longest step, with a speed that varies up to the ends and corners."""
    boundary = (("outflow", "dirichlet"), ("outflow", "outflow"))
    layout = Layout.box(UV, grid=(7, 6), extent=[(0, 1.0), (0, 1.2)], boundary=boundary, dt=0.1, centring=centring)
    every = torch.eye(84, dtype=F64).view(84, *layout.state_shape)
    with torch.no_grad():
        after = rollout(Wave(layout, field(layout, 0.6)), every, 1)[:, 1].reshape(84, 84)
    assert float(torch.linalg.eigvals(after).abs().max()) < 1


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
