"""Shock-capturing laws: smooth solutions, shocks, waves between walls, balances."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from physics_cases import F64, UV, WATER, U, box, known, smooth
from scipy.optimize import brentq
from torch import Tensor

from cotwin.layout import Boundary, Field, Layout
from cotwin.parameters import Known
from cotwin.physics.inviscid_burgers import InviscidBurgers
from cotwin.physics.shallow_water import LinearShallowWater, ShallowWater
from cotwin.stepper import DivergenceError, rollout


def circle(points: int, dt: float = 0.05) -> tuple[Layout, Tensor]:
    layout = Layout.box(list(U), grid=(points,), extent=[(0, 2 * math.pi)], boundary="periodic", dt=dt)
    return layout, torch.tensor(layout.points(0), dtype=F64)


def test_before_the_shock_each_value_travels_with_itself() -> None:
    """u = 1 + sin(x − u t)/2, exact until t = 2."""
    errors = []
    for points in (64, 128, 256):
        layout, x = circle(points)
        end = rollout(InviscidBurgers(layout, 1.6), (1 + 0.5 * torch.sin(x))[None, None], 20)[0, -1, 0]
        exact = [brentq(lambda u, x=float(x): u - 1 - 0.5 * math.sin(x - u), 0.4, 1.6, xtol=1e-13) for x in x]
        errors.append(float((end - torch.tensor(exact, dtype=F64)).abs().mean()))
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.35)


def test_a_shock_moves_with_the_mean_of_its_sides() -> None:
    """From 1.5 down to 0.5: speed 1, over a few cells; the rarefaction behind it spreads between them."""
    layout, x = circle(400)
    start = torch.where(((x > 1) & (x < 3)), 1.5, 0.5).to(F64)
    end = rollout(InviscidBurgers(layout, 2.0), start[None, None], 20)[0, -1, 0]
    jump = x[1:][end.diff().argmin()]
    assert float(jump) == pytest.approx(4.0, abs=0.03)
    inside = (x > 1 + 0.5 + 0.1) & (x < 1 + 1.5 - 0.1)
    assert torch.allclose(end[inside], x[inside] - 1, atol=0.02), "the fan u = (x − 1)/t"
    assert end.max() <= 1.5 + 1e-3
    assert end.min() >= 0.5 - 1e-3
    assert float(end.mean()) == pytest.approx(float(start.mean()), abs=1e-13)


def test_a_potential_without_motion_is_felt_as_its_slope() -> None:
    layout, x = circle(128, dt=1e-3)
    states = rollout(
        InviscidBurgers(layout, 1.0, known(0.3 * torch.cos(2 * x) + 5.0)), torch.zeros(1, 1, 128, dtype=F64), 1
    )
    assert torch.allclose(states[0, 1, 0] / 1e-3, 0.6 * torch.sin(2 * x), atol=1e-3)
    assert abs(float(states[0, 1, 0].mean())) < 1e-16


def test_the_constant_of_the_potential_has_no_effect_and_no_gradient() -> None:
    layout, x = circle(32)
    start = torch.sin(x)[None, None]
    potential = (0.3 * torch.cos(x)).requires_grad_()
    model = InviscidBurgers(layout, 2.0, Known(potential))
    model.potential.value = potential
    end = rollout(model, start, 5)
    (gradient,) = torch.autograd.grad(end.square().sum(), potential)
    assert abs(float(gradient.sum())) < 1e-10 * float(gradient.abs().sum())
    assert torch.allclose(
        rollout(InviscidBurgers(layout, 2.0, known(potential.detach() + 7)), start, 5), end, atol=1e-13
    )


def test_in_the_plane_a_wave_along_an_axis_is_that_on_the_line() -> None:
    plane = box(list(UV), (24, 6), dt=0.05)
    layout = Layout.box(list(U), grid=(24,), extent=[(-1.0, 1.0)], boundary="periodic", dt=0.05)
    start = smooth(layout)
    along = rollout(InviscidBurgers(layout, 3.0, substeps=12), start, 4)
    flat = torch.cat([start, torch.zeros_like(start)], dim=1)[..., None].expand(-1, -1, -1, 6)
    states = rollout(InviscidBurgers(plane, 3.0, substeps=12), flat, 4)
    assert torch.allclose(states[:, :, :1], along[..., None].expand(-1, -1, -1, -1, 6), atol=1e-13)
    assert states[:, :, 1].abs().max() < 1e-15


def test_a_start_without_rotation_stays_so() -> None:
    """Of u = ∇ψ, ψ = −cos x − cos(x + y)/2, the discrete curl is of the order of the scheme's error."""
    curls = []
    for points in (32, 64):
        layout = Layout.box(list(UV), grid=(points,) * 2, extent=[(0, 2 * math.pi)] * 2, boundary="periodic", dt=0.05)
        x, y = (torch.tensor(layout.points(axis), dtype=F64) for axis in range(2))
        oblique = 0.5 * torch.sin(x[:, None] + y)
        start = torch.stack([torch.sin(x)[:, None] + oblique, oblique])[None]
        u, v = rollout(InviscidBurgers(layout, 2.0), start, 6)[0, -1]
        curl = (v.roll(-1, 0) - v.roll(1, 0) - u.roll(-1, 1) + u.roll(1, 1)) / (2 * layout.spacing[0])
        curls.append(float(curl.abs().mean()))
    assert curls[1] < 0.35 * curls[0]


def basin(points: int, boundary: Boundary, dims: int = 1, dt: float = 0.1) -> tuple[Layout, Tensor]:
    fields = [Field("height"), Field("velocity", components=dims)]
    layout = Layout.box(fields, grid=(points,) * dims, extent=[(0, 1.0)] * dims, boundary=boundary, dt=dt)
    return layout, torch.tensor(layout.points(0), dtype=F64)


def test_linear_waves_are_those_of_dalembert() -> None:
    """Travelling around: η = f(x − c t), u = √(g/H) f."""
    gravity, depth = 2.0, 0.5
    errors = []
    for points in (64, 128, 256):
        layout, x = basin(points, "periodic")

        def wave(t: float, x: Tensor = x) -> Tensor:
            shape = torch.exp(torch.sin(2 * math.pi * (x - math.sqrt(gravity * depth) * t)))
            return torch.stack([shape, math.sqrt(gravity / depth) * shape])[None]

        model = LinearShallowWater(layout, known(gravity), known(depth), max_speed=1.1)
        errors.append(float((rollout(model, wave(0), 6)[:, -1] - wave(0.6)).abs().mean()))
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.35)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_standing_wave_swings_between_walls(axis: int) -> None:
    """η = cos(πx) cos(πct); with drag μ it dies at μ/2 and swings slower."""
    drag = 0.8
    layout, x = basin(64, "neumann", dims=2, dt=0.1)
    mode = torch.cos(math.pi * x)
    mode = mode[:, None].expand(64, 64) if axis == 0 else mode[None, :].expand(64, 64)
    start = torch.stack([mode, torch.zeros_like(mode), torch.zeros_like(mode)])[None]
    model = LinearShallowWater(layout, known(1.0), known(1.0), 1.0, known(drag))
    heights = rollout(model, start, 12)[0, :, 0]
    t = 0.1 * torch.arange(13, dtype=F64)
    omega = math.sqrt(math.pi**2 - drag**2 / 4)
    swing = torch.exp(-drag * t / 2) * (torch.cos(omega * t) + drag / (2 * omega) * torch.sin(omega * t))
    assert torch.allclose(heights, swing[:, None, None] * mode, atol=0.01)
    assert torch.allclose(heights.mean(dim=(1, 2)), torch.zeros(13, dtype=F64), atol=1e-14), "no water is lost"


def test_small_waves_of_the_nonlinear_equations_are_linear() -> None:
    layout, x = basin(64, "neumann")
    ripple = 1e-5 * torch.cos(math.pi * x)
    linear = rollout(
        LinearShallowWater(layout, known(1.0), known(2.0), 1.6), torch.stack([ripple, 0 * ripple])[None], 5
    )
    nonlinear = rollout(ShallowWater(layout, known(1.0), 1.6), torch.stack([2 + ripple, 0 * ripple])[None], 5)
    assert torch.allclose(nonlinear[:, :, 0] - 2, linear[:, :, 0], atol=2e-8)
    assert torch.allclose(nonlinear[:, :, 1], linear[:, :, 1], atol=2e-8)


def test_a_dam_breaks_as_stoker_says() -> None:
    """Depth 1 beside 0.25: a bore of a depth and a speed that follow from its balances, and a rarefaction."""
    gravity, high, low = 1.0, 1.0, 0.25

    def mismatch(depth: float) -> float:
        bore = (depth - low) * math.sqrt(gravity * (depth + low) / (2 * depth * low))
        return bore - 2 * (math.sqrt(gravity * high) - math.sqrt(gravity * depth))

    between = brentq(mismatch, low, high)
    speed = 2 * (math.sqrt(gravity * high) - math.sqrt(gravity * between))
    bore = between * speed / (between - low)
    layout, x = basin(800, "neumann", dt=0.02)
    start = torch.stack([torch.where(x < 0.5, high, low), 0 * x])[None]
    states = rollout(ShallowWater(layout, known(gravity), 2.0), start, 10)
    depth, velocity = states[0, -1]
    t = 0.2
    plateau = (x > 0.5 + (speed - math.sqrt(between)) * t + 0.03) & (x < 0.5 + bore * t - 0.03)
    assert plateau.sum() > 20
    assert torch.allclose(depth[plateau], torch.full_like(depth[plateau], between), atol=3e-3)
    assert torch.allclose(velocity[plateau], torch.full_like(depth[plateau], speed), atol=3e-3)
    fan = (x > 0.5 - t + 0.03) & (x < 0.5 + (speed - math.sqrt(between)) * t - 0.03)
    exact = (2 - (x[fan] - 0.5) / t) ** 2 / 9
    assert torch.allclose(depth[fan], exact, atol=5e-3)
    assert torch.allclose(states[0, :, 0].mean(dim=1), start[0, 0].mean().expand(11), atol=1e-13)


@pytest.mark.parametrize("dims", [1, 2])
def test_a_lake_at_rest_stays_at_rest(dims: int) -> None:
    layout, _ = basin(12, "neumann", dims)
    rest = torch.cat([torch.full((1, 1, *layout.grid), 1.3), torch.zeros(1, dims, *layout.grid)], dim=1).to(F64)
    assert torch.allclose(rollout(ShallowWater(layout, known(9.81), 5.0), rest, 3)[:, -1], rest, atol=1e-13)


def test_walls_of_the_plane_keep_the_water() -> None:
    layout = box(list(WATER), (14, 10), "neumann", dt=0.05)
    start = smooth(layout)
    start[:, :1] = 2 + 0.2 * start[:, :1]
    start[:, 1:] *= 0.3
    states = rollout(ShallowWater(layout, known(1.0), 3.0, known(0.2)), start, 10)
    volume = states[:, :, 0].mean(dim=(2, 3))
    assert torch.allclose(volume, volume[:, :1].expand_as(volume), rtol=1e-13)


def test_bad_settings_are_refused() -> None:
    layout, _ = circle(64)
    with pytest.raises(ValueError, match="largest stable substep"):
        InviscidBurgers(layout, 100.0, substeps=1)
    with pytest.raises(ValueError, match="max_speed is -1"):
        InviscidBurgers(layout, -1.0)
    with pytest.raises(ValueError, match="takes no neumann end"):
        InviscidBurgers(box(list(U), (12,), "neumann"), 1.0)
    with pytest.raises(ValueError, match=r"moves Field\('height', components=1\) and"):
        ShallowWater(layout, known(1.0), 1.0)
    with pytest.raises(ValueError, match=r"x_lower is dirichlet, and value of it is not given"):
        ShallowWater(box([Field("h"), Field("u")], (12,), "dirichlet"), known(1.0), 1.0)
    line = box([Field("h"), Field("u")], (12,))
    fields = Known(torch.ones(12, dtype=F64))
    for make in (
        lambda: LinearShallowWater(line, known(1.0), known(1.0), 1.0, fields),
        lambda: ShallowWater(line, known(1.0), 1.0, fields),
    ):
        with pytest.raises(ValueError, match=r"drag of shape \(12,\) must be a scalar"):
            make()


def test_third_order_of_the_time_stepping_is_not_the_bottleneck() -> None:
    """More substeps than stability needs change little: space is in error, not time."""
    layout, x = circle(64)
    start = (1 + 0.5 * torch.sin(x))[None, None]
    ends = [rollout(InviscidBurgers(layout, 1.6, substeps=n), start, 20)[0, -1] for n in (2, 16)]
    assert np.isclose(float((ends[0] - ends[1]).abs().max()), 0.0, atol=2e-4)


def test_waves_faster_than_expected_are_named_as_the_cause() -> None:
    layout = box([*U], (24,))
    with pytest.raises(DivergenceError, match=r"diverged at step .* max_speed, 0.5: raise it"):
        rollout(InviscidBurgers(layout, max_speed=0.5), 60 * smooth(layout), 20)
