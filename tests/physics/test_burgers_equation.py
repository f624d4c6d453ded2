"""Both Burgers steppers against exact solutions, orders, balances and each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from physics_cases import F64, box, field, scalar, smooth
from torch import Tensor

from cotwin.layout import Boundary, Field, Layout
from cotwin.parameters import Known, Parameter
from cotwin.physics.burgers import Burgers
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.stepper import DivergenceError, Stepper, rollout

U, UV = [Field("u")], [Field("u", components=2)]
NU = 0.3


def circle(points: int, boundary: Boundary = "periodic", dims: int = 1, dt: float = 0.1) -> Layout:
    """[0, 2π) around, or [0, π] between walls, where sine series vanish at both ends alike."""
    extent = (0.0, 2 * math.pi if boundary == "periodic" else math.pi)
    return Layout.box(
        [Field("u", components=dims)], grid=(points,) * dims, extent=[extent] * dims, boundary=boundary, dt=dt
    )


def cole_hopf(layout: Layout, time: float) -> Tensor:
    """u = −2ν ∇log φ for a solution φ of the heat equation, an exact solution in any dimension."""
    decay = math.exp(-NU * time)
    places = torch.meshgrid(*(torch.tensor(layout.points(a), dtype=F64) for a in range(layout.dims)), indexing="ij")
    heights = (1.0, 0.7, 0.4)[: layout.dims]
    both = 0.5 * decay**2
    phi = (1.6, 2.5, 3.4)[layout.dims - 1] + sum(
        height * decay * x.cos() for height, x in zip(heights, places, strict=True)
    )
    slopes = [-height * decay * x.sin() for height, x in zip(heights, places, strict=True)]
    if layout.dims > 1:
        x, y = places[:2]
        phi = phi + both * x.cos() * y.cos()
        slopes[0] = slopes[0] - both * x.sin() * y.cos()
        slopes[1] = slopes[1] - both * x.cos() * y.sin()
    return torch.stack([-2 * NU * slope / phi for slope in slopes])[None]


def error(stepper: Stepper, num_steps: int) -> float:
    found = rollout(stepper, cole_hopf(stepper.layout, 0.0), num_steps)[:, -1]
    exact = cole_hopf(stepper.layout, num_steps * stepper.layout.dt)
    return float((found - exact).detach().abs().max())


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_spectral_is_exact_in_space_and_second_order_in_time(dims: int) -> None:
    layout = circle({1: 48, 2: 40, 3: 32}[dims], dims=dims, dt=0.25)
    errors = [error(SpectralBurgers(layout, scalar(NU), substeps), 4) for substeps in (8, 16, 32)]
    assert errors[0] < 2e-4
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.1)
    if dims < 3:
        assert error(SpectralBurgers(layout, scalar(NU), 2000 if dims == 1 else 500), 1) < 1e-7


@pytest.mark.parametrize(("dims", "boundary"), [(1, "periodic"), (1, "dirichlet"), (2, "periodic"), (3, "periodic")])
def test_finite_volumes_are_second_order_in_space(dims: int, boundary: Boundary) -> None:
    grids, num_steps = ((10, 20, 40), 2) if dims == 3 else ((16, 32, 64), 5)
    models = (Burgers(circle(points, boundary, dims), scalar(NU), max_speed=1.0) for points in grids)
    errors = [error(model, num_steps) for model in models]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.25)
    assert errors[-1] < 2e-3


def test_finite_volumes_are_second_order_between_walls_in_two_dimensions() -> None:
    """Against the finest of three grids that share their cell centres, each three times finer."""
    found = {}
    for points in (8, 24, 72):
        layout = circle(points, "dirichlet", dims=2, dt=0.2)
        x, y = torch.meshgrid(*(torch.tensor(layout.points(a), dtype=F64) for a in (0, 1)), indexing="ij")
        start = torch.stack([x.sin() * y.sin(), 0.5 * (2 * x).sin() * y.sin()])[None]
        every = points // 8
        found[points] = Burgers(layout, scalar(NU), 1.0)(start)[..., every // 2 :: every, every // 2 :: every]
    coarse, fine = ((found[points] - found[72]).norm() for points in (8, 24))
    # The finest grid's own error takes part: (1 − 1/81) / (1/9 − 1/81) = 10.
    assert float((coarse / fine).detach()) == pytest.approx(10, rel=0.2)


def test_finite_volumes_are_third_order_in_time() -> None:
    layout = circle(16, dt=0.5)
    states = {
        substeps: Burgers(layout, scalar(NU), 1.0, substeps)(cole_hopf(layout, 0.0)) for substeps in (8, 16, 32, 512)
    }
    errors = [float((states[n] - states[512]).detach().abs().max()) for n in (8, 16, 32)]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("dims", [1, 2])
def test_both_schemes_agree_on_a_viscosity_field_at_second_order(dims: int) -> None:
    def viscosity(layout: Layout) -> Parameter:
        waves = torch.zeros(layout.grid, dtype=F64)
        for axis in range(layout.dims):
            x = torch.tensor(layout.points(axis), dtype=F64)
            waves = waves + x.cos().view([-1] + [1] * (layout.dims - 1 - axis))
        return Known(0.2 * torch.exp(0.4 * waves))

    gaps = []
    for points in (16, 32, 64):
        layout = circle(points, dims=dims, dt=0.1)
        start = smooth(layout, count=2, modes=2)
        spectral = rollout(SpectralBurgers(layout, viscosity(layout), 30), start, 4)
        volumes = rollout(Burgers(layout, viscosity(layout), 2.0), start, 4)
        gaps.append(float((spectral - volumes).norm() / spectral.norm()))
    assert math.log2(gaps[1] / gaps[2]) == pytest.approx(2, abs=0.25)
    assert gaps[2] < 5e-3


@pytest.mark.parametrize("grid", [(24,), (12, 15)])
def test_a_constant_field_is_a_scalar(grid: tuple[int, ...]) -> None:
    """In two dimensions the two take different forms of the advection, equal by the 2/3 rule."""
    layout = box(U if len(grid) == 1 else UV, grid)
    start = smooth(layout, modes=3)
    constant = Known(torch.full(grid, 0.1, dtype=F64))
    for make in (lambda nu: SpectralBurgers(layout, nu), lambda nu: Burgers(layout, nu, 2.0)):
        assert torch.allclose(rollout(make(constant), start, 3), rollout(make(scalar(0.1)), start, 3), atol=1e-12)


def test_a_mean_velocity_carries_the_solution_along() -> None:
    """Galilean invariance, in two dimensions with different speeds along the axes."""
    layout = box(UV, (24, 30), dt=0.5)
    wind = torch.tensor([2 * dx / layout.dt for dx in layout.spacing], dtype=F64)  # two cells in dt
    start = smooth(layout)
    stepper = SpectralBurgers(layout, scalar(0.1), 100)
    carried = stepper(start + wind.view(1, 2, 1, 1)) - wind.view(1, 2, 1, 1)
    assert torch.allclose(carried, stepper(start).roll((2, 2), (2, 3)), atol=2e-4)


ONE_DIMENSIONAL: list[Callable[[Layout], Stepper]] = [
    lambda layout: SpectralBurgers(layout, field(layout, 0.05), 8),
    lambda layout: Burgers(layout, field(layout, 0.05), 3.0),
]


@pytest.mark.parametrize("make", ONE_DIMENSIONAL, ids=["spectral", "finite volumes"])
def test_the_mean_is_conserved_and_the_energy_falls(make: Callable[[Layout], Stepper]) -> None:
    layout = box(U, (64,))
    start = smooth(layout) + 0.3
    states = rollout(make(layout), start, 20)
    mean = states.mean(dim=-1)
    assert torch.allclose(mean, mean[:, :1].expand_as(mean), rtol=0, atol=1e-13)
    energy = states.square().mean(dim=(-1, -2))
    assert (energy[:, 1:] < energy[:, :-1]).all()


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
def test_the_finite_volume_flux_itself_neither_makes_nor_destroys_energy(boundary: Boundary) -> None:
    """With hardly any viscosity, what energy is lost falls with the third power of the substep."""
    layout = box(U, (32,), boundary, dt=0.1)
    start = smooth(layout)
    losses = []
    for substeps in (10, 20):
        state = Burgers(layout, scalar(1e-12), 3.0, substeps)(start)
        losses.append((1 - state.square().sum() / start.square().sum()).item())
    assert abs(losses[0]) < 1e-4
    assert math.log2(losses[0] / losses[1]) == pytest.approx(3, abs=0.3)


def test_the_number_of_substeps_does_not_depend_on_the_state_and_absurd_numbers_raise() -> None:
    layout = box(U, (32,))
    with pytest.raises(DivergenceError, match="Bounded"):
        Burgers(layout, scalar(1e6), 1.0)(smooth(layout))
    with pytest.raises(DivergenceError, match="may take 2"):
        Burgers(layout, scalar(1.0), 1.0, substeps=2)(smooth(layout))


def test_layouts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"moves Field\(.u., components=[12]\), on 1 or 2 or 3 axes"):
        Burgers(box(U, (8, 8)), scalar(0.1), 1.0)
    with pytest.raises(ValueError, match=r"moves Field\(.u., components=[12]\), on 1 or 2 or 3 axes"):
        SpectralBurgers(box([*U, Field("v")], (8, 8)), scalar(0.1))
    with pytest.raises(ValueError, match="periodic, dirichlet or outflow"):
        Burgers(box(U, (8,), "neumann"), scalar(0.1), 1.0)
    with pytest.raises(ValueError, match="CoarseField"):
        SpectralBurgers(box(U, (8,)), Known(torch.ones(4)))
    with pytest.raises(ValueError, match="max_speed"):
        Burgers(box(U, (8,)), scalar(0.1), 0.0)
