"""PhiFlowBurgers against the Cole-Hopf solution, a torch reference, PhiFlow's operators and its own gradient."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

pytest.importorskip("phi")

from phi.physics.advect import finite_difference as advection
from phi.physics.diffuse import finite_difference as diffusion
from phiml.math import wrap

from cotwin.layout import Field, Layout
from cotwin.parameters import CoarseField, Known, Positive
from cotwin.physics.phiflow import PhiFlowBurgers, from_fields, phiflow_context, to_fields
from cotwin.physics.phiflow.burgers import tendency
from cotwin.stepper import DivergenceError, rollout

DOUBLE = torch.float64


def square(grid: tuple[int, ...], dt: float, extra: tuple[Field, ...] = ()) -> Layout:
    extent = [(0.0, 1.0), (0.0, 1.5), (0.0, 0.7)][: len(grid)]
    velocity = Field("velocity", len(grid))
    return Layout.box([*extra, velocity], grid=grid, extent=extent, boundary="periodic", dt=dt)


def random_state(layout: Layout, size: int = 3, dtype: torch.dtype = DOUBLE) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return 0.3 * torch.randn(size, *layout.state_shape, generator=generator, dtype=DOUBLE).to(dtype)


def cole_hopf(x: Tensor, t: float, viscosity: float) -> Tensor:
    """u = −2ν φ_x/φ with φ = 1 + a e^{−ν k² t} cos kx, k = 2π, which solves the heat equation."""
    k = 2 * math.pi
    decay = 0.6 * math.exp(-viscosity * k**2 * t)
    return 2 * viscosity * k * decay * torch.sin(k * x) / (1 + decay * torch.cos(k * x))


def reference_step(u: Tensor, viscosity: Tensor, layout: Layout) -> Tensor:
    """The same equation with torch.roll: centred differences, mean face viscosity, Runge-Kutta 4."""

    def rate(u: Tensor) -> Tensor:
        total = torch.zeros_like(u)
        for axis, dx in enumerate(layout.spacing):
            above, below = u.roll(-1, axis + 2), u.roll(1, axis + 2)
            nu = viscosity.expand(layout.grid)
            nu_above, nu_below = (nu + nu.roll(-1, axis)) / 2, (nu + nu.roll(1, axis)) / 2
            total += (nu_above * (above - u) - nu_below * (u - below)) / dx**2
            total -= u[:, axis : axis + 1] * (above - below) / (2 * dx)
        return total

    h = layout.dt
    k1 = rate(u)
    k2 = rate(u + h / 2 * k1)
    k3 = rate(u + h / 2 * k2)
    return u + h / 6 * (k1 + 2 * k2 + 2 * k3 + rate(u + h * k3))


def test_second_order_towards_the_cole_hopf_solution() -> None:
    viscosity, errors = 0.05, []
    for points in (16, 32, 64):
        layout = square((points, 3), dt=0.0025)
        x = torch.tensor(layout.points(0), dtype=DOUBLE)[:, None].expand(points, 3)
        state = torch.stack([cole_hopf(x, 0, viscosity), torch.zeros_like(x)])[None]
        states = rollout(PhiFlowBurgers(layout, Known(viscosity)), state, 20)
        errors.append(float((states[0, -1, 0] - cole_hopf(x, 0.05, viscosity)).abs().max()))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert errors[-1] < 1e-3
    assert all(1.8 < order < 2.3 for order in orders), (errors, orders)


@pytest.mark.parametrize("along", [0, 1])
def test_a_wave_transverse_to_its_flow_decays_at_the_discrete_rate(along: int) -> None:
    """u = cos(k x) across the x axis: (u·∇)u is zero, so each mode decays by its own eigenvalue."""
    layout = square((9, 12), dt=0.01)
    viscosity, dx = 0.03, layout.spacing[along]
    length = layout.upper[along] - layout.lower[along]
    wave = torch.cos(2 * math.pi * torch.tensor(layout.points(along), dtype=DOUBLE) / length)
    state = torch.zeros(1, 2, 9, 12, dtype=DOUBLE)
    state[:, 1 - along] = wave[:, None] if along == 0 else wave[None, :]
    rate = viscosity * (2 / dx * math.sin(math.pi * dx / length)) ** 2
    states = rollout(PhiFlowBurgers(layout, Known(viscosity)), state, 10)
    assert torch.allclose(states[:, -1], state * math.exp(-rate * 0.1), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("grid", [(12, 9), (5, 4, 6)])
def test_agrees_with_a_torch_reference_scalar_and_field(grid: tuple[int, ...]) -> None:
    layout = square(grid, dt=0.01)
    state = random_state(layout)
    nu_field = 0.02 + 0.05 * torch.rand(grid, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    for viscosity in (torch.tensor(0.04, dtype=DOUBLE), nu_field):
        stepped = PhiFlowBurgers(layout, Known(viscosity))(state)
        assert torch.allclose(stepped, reference_step(state, viscosity, layout), rtol=1e-12, atol=1e-14)


def test_differences_are_those_of_phiflow() -> None:
    layout = square((8, 6), dt=0.01)
    state = random_state(layout)
    with phiflow_context(state.dtype, state.device):
        u = to_fields(state, layout)["velocity"]
        ours = from_fields({"velocity": tendency(u, wrap(0.04))}, layout)
        theirs = from_fields({"velocity": advection(u, u) + diffusion(u, 0.04)}, layout)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("coarse", [None, (3, 4)])
def test_gradients_match_finite_differences(coarse: tuple[int, ...] | None) -> None:
    layout = square((8, 6), dt=0.02)
    initial = torch.full(coarse or (), 0.04, dtype=DOUBLE)
    unknown = Positive(initial)
    viscosity = unknown if coarse is None else CoarseField(unknown, layout)
    model = PhiFlowBurgers(layout, viscosity, substeps=2)
    state = random_state(layout, size=2).requires_grad_()

    def loss(start: Tensor) -> Tensor:
        return rollout(model, start, 3)[:, 1:].pow(3).sum()

    by_raw, by_state = torch.autograd.grad(loss(state), [unknown.raw, state])
    generator = torch.Generator().manual_seed(9)
    along_state = torch.randn(state.shape, generator=generator, dtype=DOUBLE)
    along_raw = torch.randn(unknown.raw.shape, generator=generator, dtype=DOUBLE)
    h = 1e-5
    with torch.no_grad():
        by_difference = float(loss(state + h * along_state) - loss(state - h * along_state)) / (2 * h)
        assert float((by_state * along_state).sum()) == pytest.approx(by_difference, rel=1e-5)
        unknown.raw += h * along_raw
        above = loss(state)
        unknown.raw -= 2 * h * along_raw
        by_difference = float(above - loss(state)) / (2 * h)
    assert float((by_raw * along_raw).sum()) == pytest.approx(by_difference, rel=1e-5)


def test_gradient_when_the_start_needs_none() -> None:
    """The case in which PhiFlow's jit_compile was silently wrong."""
    layout = square((8, 6), dt=0.02)
    viscosity = Positive(torch.tensor(0.04, dtype=DOUBLE))
    model = PhiFlowBurgers(layout, viscosity)
    states = [random_state(layout), random_state(layout).requires_grad_()]
    gradients = [torch.autograd.grad(rollout(model, s, 4)[:, -1].pow(3).sum(), viscosity.raw)[0] for s in states]
    assert torch.equal(*gradients)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_samples_of_a_batch_do_not_touch_each_other(dtype: torch.dtype) -> None:
    layout = square((8, 6), dt=0.02)
    model = PhiFlowBurgers(layout, Known(0.04))
    state = random_state(layout, size=3, dtype=dtype)
    together = rollout(model, state, 3)
    alone = torch.cat([rollout(model, sample[None], 3) for sample in state])
    assert together.dtype == dtype
    assert torch.allclose(together, alone, rtol=0, atol=10 * torch.finfo(dtype).eps)


def test_rollouts_compose_and_forward_is_one_step() -> None:
    layout = square((8, 6), dt=0.02, extra=(Field("depth", static=True),))
    model = PhiFlowBurgers(layout, Known(0.04))
    state = random_state(layout)
    whole = rollout(model, state, 5)
    first = rollout(model, state, 2)
    assert torch.equal(whole[:, 0], state)
    assert torch.equal(whole[:, 2:], rollout(model, first[:, -1], 3))
    assert torch.equal(whole[:, 1], model(state))
    assert torch.equal(whole[:, :, 0], state[:, :1].expand(-1, 6, -1, -1))


def test_a_float32_parameter_serves_float64_states() -> None:
    layout = square((8, 6), dt=0.02)
    state = random_state(layout)
    exact = torch.tensor(0.04, dtype=torch.float32).double()
    assert torch.allclose(
        PhiFlowBurgers(layout, Known(exact.float()))(state), PhiFlowBurgers(layout, Known(exact))(state), rtol=1e-14
    )


def test_unfit_layouts_are_refused() -> None:
    in_one = Layout.box([Field("u")], grid=(8,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    with pytest.raises(ValueError, match="native Burgers"):
        PhiFlowBurgers(in_one, Known(0.1))
    walls = Layout.box([Field("u", 2)], grid=(8, 6), extent=[(0, 1), (0, 1)], boundary="neumann", dt=0.1)
    with pytest.raises(ValueError, match="periodic axes"):
        PhiFlowBurgers(walls, Known(0.1))


@pytest.mark.slow
def test_a_step_beyond_stability_is_named_with_the_largest_stable_one() -> None:
    layout = square((16, 16), dt=0.5)
    start = random_state(layout)
    with pytest.raises(DivergenceError, match=r"stable.*use at least \d+ substeps per dt") as caught:
        rollout(PhiFlowBurgers(layout, Known(0.5)), start, 20)
    needed = int(str(caught.value).split("use at least ")[1].split()[0])
    assert rollout(PhiFlowBurgers(layout, Known(0.5), substeps=needed), start, 2).isfinite().all()
