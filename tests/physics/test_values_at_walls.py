"""What stands at walls: exact solutions with values, fluxes, exchange, inflow and outflow, and what is conserved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from physics_cases import F64, field, known, scalar, seeded
from torch import Tensor
from torch.autograd import gradcheck

from cotwin.given import Course, Given
from cotwin.layout import Boundary, Centring, Ends, Field, Layout
from cotwin.parameters import Input, Known, Positive, Real, Wall, Walls
from cotwin.physics.advection_diffusion import AdvectionDiffusion
from cotwin.physics.burgers import Burgers
from cotwin.physics.closures import Constant, Logistic, Power
from cotwin.physics.fisher import Fisher
from cotwin.physics.gray_scott import GrayScott
from cotwin.physics.heat import Heat
from cotwin.physics.inviscid_burgers import InviscidBurgers
from cotwin.physics.shallow_water import LinearShallowWater, ShallowWater
from cotwin.physics.wave import Wave
from cotwin.rollouts.batched import rollout_each, rollout_with
from cotwin.stepper import Stepper, rollout

KAPPA, SPEED = 0.3, 0.8


def line(
    points: int, ends: Ends, dt: float = 0.05, fields: tuple[str, ...] = ("u",), centring: Centring = "cells"
) -> Layout:
    every = [Field(name) for name in fields]
    return Layout.box(every, grid=(points,), extent=[(0.0, 1.0)], boundary=(ends,), dt=dt, centring=centring)


def plane(ends: Ends, grid: tuple[int, int] = (6, 5), centring: Centring = "cells") -> Layout:
    boundary: tuple[Ends, ...] = (ends, "neumann")
    return Layout.box([Field("u")], grid=grid, extent=[(0, 1), (0, 2)], boundary=boundary, dt=0.05, centring=centring)


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """By bisection; the function rises from below zero to above."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return low


@dataclass(frozen=True)
class Exact:
    """u(x, t) on [0, 1] of u_t + c u_x = κ u_xx with these ends and walls."""

    ends: tuple[Boundary, Boundary]
    walls: Walls
    solution: Callable[[Tensor, float], Tensor]
    speed: float = 0.0


def mode(shape: Callable[[Tensor], Tensor], rate: float, around: float = 0.0) -> Callable[[Tensor, float], Tensor]:
    return lambda x, t: around + shape(x) * math.exp(-rate * t)


def fed(x: Tensor, t: float) -> Tensor:
    """q = 0.5 enters at x = 0; the mean rises by q t."""
    return 0.5 * ((1 - x) ** 2 / (2 * KAPPA) + t) + torch.cos(math.pi * x) * math.exp(-KAPPA * math.pi**2 * t)


HALF = math.pi / 2
# μ tan μ = h/κ, of Robin's condition at x = 1 with no flux at 0; h = 0.7.
ROBIN = root(lambda m: m * math.tan(m) - 0.7 / KAPPA, 0.01, HALF - 0.01)
# u − v = exp(c x/2κ) sin μx with no slope at x = 1: tan μ = −2κμ/c.
TRANSPORT = root(lambda m: math.sin(m) * -SPEED / (2 * KAPPA) - m * math.cos(m), HALF, math.pi - 0.01)
# With c u − κ u_x = c v at x = 0: u − v = exp(c x/2κ) (sin μx + a cos μx), a = 2κμ/c, and no slope at x = 1.
RATIO = SPEED / (2 * KAPPA)
INFLOW = root(
    lambda m: -(RATIO * (math.sin(m) + m / RATIO * math.cos(m)) + m * (math.cos(m) - m / RATIO * math.sin(m))),
    0.1,
    HALF + 0.6,
)


def carried(mu: float, cosine: float) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.exp(RATIO * x) * (torch.sin(mu * x) + cosine * torch.cos(mu * x))


def carried_rate(mu: float) -> float:
    return SPEED * RATIO / 2 + KAPPA * mu**2


EXACT = {
    "value": Exact(
        ("dirichlet", "neumann"),
        Walls(x_lower=Wall(value=known(2.0))),
        mode(lambda x: torch.sin(HALF * x), KAPPA * HALF**2, around=2.0),
    ),
    "flux": Exact(("neumann", "neumann"), Walls(x_lower=Wall(flux=known(0.5))), fed),
    "robin": Exact(
        ("neumann", "robin"),
        Walls(x_upper=Wall(transfer=known(0.7), outside=known(-1.0))),
        mode(lambda x: torch.cos(ROBIN * x), KAPPA * ROBIN**2, around=-1.0),
    ),
    "robin below": Exact(
        ("robin", "neumann"),
        Walls(x_lower=Wall(transfer=known(0.7), outside=known(-1.0))),
        mode(lambda x: torch.cos(ROBIN * (1 - x)), KAPPA * ROBIN**2, around=-1.0),
    ),
    "inflow by value": Exact(
        ("dirichlet", "outflow"),
        Walls(x_lower=Wall(value=known(2.0))),
        mode(carried(TRANSPORT, 0.0), carried_rate(TRANSPORT), around=2.0),
        SPEED,
    ),
    "inflow by flux": Exact(
        ("robin", "outflow"),
        Walls(x_lower=Wall(transfer=known(SPEED), outside=known(2.0))),
        mode(carried(INFLOW, INFLOW / RATIO), carried_rate(INFLOW), around=2.0),
        SPEED,
    ),
}


@pytest.mark.parametrize("centring", ["cells", "nodes"])
@pytest.mark.parametrize("exact", EXACT.values(), ids=EXACT)
def test_exact_solutions_to_second_order_in_space(exact: Exact, centring: Centring) -> None:
    errors = []
    for points in (12, 24, 48):
        layout = line(points + (centring == "nodes"), exact.ends, dt=0.02, centring=centring)
        x = torch.tensor(layout.points(0), dtype=F64)
        if exact.speed:
            stepper: Stepper = AdvectionDiffusion(
                layout, known([exact.speed]), known(KAPPA), substeps=8, walls=exact.walls
            )
        else:
            stepper = Heat(layout, known(KAPPA), substeps=8, walls=exact.walls)
        found = rollout(stepper, exact.solution(x, 0.0)[None, None], 5)[0, -1, 0]
        errors.append(float((found - exact.solution(x, 0.1)).abs().max()))
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.25), errors


def test_a_step_at_the_wall_of_a_deep_slab_is_the_complementary_error_function() -> None:
    layout = line(200, ("dirichlet", "neumann"), dt=0.01)
    stepper = Heat(layout, known(0.1), substeps=8, walls=Walls(x_lower=Wall(value=known(1.0))))
    found = rollout(stepper, torch.zeros(1, 1, 200, dtype=F64), 10)[0, -1, 0]
    x = torch.tensor(layout.points(0), dtype=F64)
    torch.testing.assert_close(found, torch.erfc(x / (2 * math.sqrt(0.1 * 0.1))), rtol=0, atol=2e-4)


@pytest.mark.parametrize("centring", ["cells", "nodes"])
@pytest.mark.parametrize("carried", [False, True])
def test_the_mass_grows_by_what_enters(carried: bool, centring: Centring) -> None:
    layout = plane("neumann", centring=centring)
    along = known([0.1, 0.3, 0.5, -0.2, 0.4])
    walls = Walls(x_lower=Wall(flux=known(0.7)), x_upper=Wall(flux=along))
    start = torch.rand(2, 1, *layout.grid, generator=seeded(), dtype=F64)
    none = torch.zeros(2, *layout.grid, dtype=F64)
    none[0, 1:-1] = 1.5 * torch.rand(4, 5, generator=seeded(), dtype=F64)  # none at the walls' faces, about
    none[0, [0, -1]] = 0.0
    kappa = field(layout, 0.3)
    stepper: Stepper = (
        AdvectionDiffusion(layout, Known(none), kappa, walls=walls) if carried else Heat(layout, kappa, walls=walls)
    )
    x, y = (torch.tensor(layout.widths(axis), dtype=F64) for axis in range(2))
    mass = (rollout(stepper, start, 4) * x[:, None] * y).sum(dim=(2, 3, 4))
    entering = 0.7 * 2 + float((along() * y).sum())
    expected = mass[:, :1] + entering * 0.05 * torch.arange(5, dtype=F64)
    torch.testing.assert_close(mass, expected, rtol=0, atol=1e-13)


def test_what_stands_at_a_wall_may_differ_between_channels() -> None:
    layout = Layout.box(
        [Field("U"), Field("wind", static=True), Field("V")],
        grid=(8, 6), extent=[(0, 1), (0, 1)], boundary=("dirichlet", "neumann"), dt=0.05,
    )  # fmt: skip
    names = {"U": known(1.0), "V": known([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])}
    walls = Walls(x_lower=Wall(value=names), x_upper=Wall(value=names))
    flat = torch.zeros(1, 3, 8, 6, dtype=F64)
    both = rollout(Heat(layout, known(0.3), walls=walls), flat, 60)[0, -1]
    assert torch.equal(both[1], flat[0, 1])
    torch.testing.assert_close(both[0], torch.ones(8, 6, dtype=F64), rtol=0, atol=1e-3)
    assert (both[2].diff(dim=1) > 0.02).all(), "as the wall has it, smoothed"


@pytest.mark.parametrize("centring", ["cells", "nodes"])
def test_a_front_that_stands_between_two_values(centring: Centring) -> None:
    """u = −a tanh(a x/2ν) is a solution of Burgers' equation that stands."""
    a, nu, errors = 1.0, 0.2, []
    for points in (16, 32, 64):
        grid = (points + (centring == "nodes"),)
        layout = Layout.box(
            [Field("u")], grid=grid, extent=[(-1, 1)], boundary="dirichlet", dt=0.1, centring=centring
        )
        front = -a * torch.tanh(a * torch.tensor(layout.points(0), dtype=F64) / (2 * nu))
        end = a * math.tanh(a / (2 * nu))
        walls = Walls(x_lower=Wall(value=known(end)), x_upper=Wall(value=known(-end)))
        found = rollout(Burgers(layout, known(nu), 1.5, walls=walls), front[None, None], 5)[0, -1, 0]
        errors.append(float((found - front).abs().max()))
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.2), errors


@pytest.mark.parametrize("centring", ["cells", "nodes"])
def test_a_shock_enters_with_half_its_height_and_leaves(centring: Centring) -> None:
    layout = line(50, ("dirichlet", "outflow"), dt=0.25, centring=centring)
    stepper = InviscidBurgers(layout, 1.2, walls=Walls(x_lower=Wall(value=known(1.0))))
    states = rollout(stepper, torch.zeros(1, 1, 50, dtype=F64), 12)[0, :, 0]
    mass = states[:5] @ torch.tensor(layout.widths(0), dtype=F64)
    torch.testing.assert_close(mass, 0.125 * torch.arange(5, dtype=F64), rtol=0, atol=1.5e-2)
    torch.testing.assert_close(states[-1], torch.ones(50, dtype=F64), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("linear", "centring"), [(True, "cells"), (False, "cells"), (False, "nodes")])
def test_a_pulse_leaves_through_an_outflow_end(linear: bool, centring: Centring) -> None:
    layout = line(60, ("dirichlet", "outflow"), dt=0.1, fields=("height", "velocity"), centring=centring)
    rest, bump = 1.0, 1e-3
    walls = Walls(x_lower=Wall(value={"height": known(rest), "velocity": known(0.0)}))
    model: Stepper = (
        LinearShallowWater(layout, known(1.0), known(1.0), 1.1, walls=walls)
        if linear
        else ShallowWater(layout, known(1.0), 1.3, walls=walls)
    )
    x = torch.tensor(layout.points(0), dtype=F64)
    pulse = bump * torch.exp(-(((x - 0.5) / 0.1) ** 2))
    states = rollout(model, torch.stack([rest + pulse, pulse])[None], 15)[0]
    assert float((states[3, 0] - rest).abs().max()) > 0.5 * bump
    assert float((states[-1, 0] - rest).abs().max()) < 0.02 * bump


def heat_with(layout: Layout, walls: Walls | None) -> Stepper:
    return Heat(layout, scalar(0.3), walls=walls)


def transport_with(layout: Layout, walls: Walls | None) -> Stepper:
    return AdvectionDiffusion(layout, known([0.4, 0.0][: layout.dims]), scalar(0.3), walls=walls)


def fisher_with(layout: Layout, walls: Walls) -> Stepper:
    return Fisher(layout, Constant(scalar(0.3)), Logistic(scalar(0.8), scalar(1.3)), 3.0, walls=walls)


def unknown_walls() -> Walls:
    """With one of each kind."""
    return Walls(
        x_lower=Wall(transfer=scalar(0.6), outside=Real(torch.tensor(-0.5, dtype=F64))),
        x_upper=Wall(value=Positive(torch.tensor([0.5, 1.0, 1.5], dtype=F64))),
        y_lower=Wall(flux=Real(torch.tensor(0.3, dtype=F64))),
    )


@pytest.mark.parametrize("centring", ["cells", "nodes"])
@pytest.mark.parametrize("build", [heat_with, transport_with, fisher_with])
def test_gradients_to_what_stands_at_the_walls(build: Callable[[Layout, Walls], Stepper], centring: Centring) -> None:
    layout = plane(("robin", "dirichlet"), (4, 3), centring)
    stepper = build(layout, unknown_walls())
    start = torch.rand(1, 1, *layout.grid, generator=seeded(), dtype=F64)
    raw = {name: value.detach().clone().requires_grad_() for name, value in stepper.named_parameters()}
    assert {"walls.x_lower.transfer.raw", "walls.x_upper.value.raw", "walls.y_lower.flux.raw"} < set(raw)

    def last(*values: Tensor) -> Tensor:
        return rollout_with(stepper, dict(zip(raw, values, strict=True)), start, 1)[:, -1]

    assert gradcheck(last, tuple(raw.values()))


@pytest.mark.parametrize("build", [heat_with, transport_with, fisher_with])
@pytest.mark.parametrize("one", ["walls.x_lower.outside.raw", "walls.x_upper.value.raw"])
@pytest.mark.parametrize("centring", ["cells", "nodes"])
def test_many_sets_at_once_are_each_by_itself(
    build: Callable[[Layout, Walls], Stepper], one: str, centring: Centring
) -> None:
    layout = plane(("robin", "dirichlet"), (4, 3), centring)
    stepper = build(layout, unknown_walls())
    start = torch.rand(2, 1, *layout.grid, generator=seeded(), dtype=F64)
    sets = torch.stack([value + 0.1 * shift for shift in range(3) for value in [stepper.get_parameter(one).detach()]])
    together = rollout_each(stepper, {one: sets}, start, 2)
    for index, values in enumerate(sets):
        alone = rollout_with(stepper, {one: values}, start, 2)
        torch.testing.assert_close(together[index], alone, rtol=1e-12, atol=1e-12)


REFUSED = [
    ("periodic", Walls(x_lower=Wall(flux=known(1.0))), r"x_lower\.flux: the axis is periodic .* neumann"),
    ("neumann", Walls(x_upper=Wall(value=known(1.0))), r"x_upper\.value: .* neumann, which takes flux; .* dirichlet"),
    (
        "robin",
        Walls(x_lower=Wall(transfer=known(1.0), outside=known(0.0))),
        r"x_upper is robin, and transfer and out",
    ),
    ("outflow", Walls(x_lower=Wall(value=known(1.0))), r"outflow, which takes nothing"),
    ("neumann", Walls(y_lower=Wall(flux=known(1.0))), r"walls\.y_lower: the layout has 1 axes"),
    ("neumann", Walls(x_lower=Wall(flux=known([1.0, 2.0]))), r"shape \(2,\) is neither a scalar nor .* face, \(\)"),
    ("neumann", Walls(x_lower=Wall(flux={"v": known(1.0)})), r"is given for v; give it for each of u"),
]


@pytest.mark.parametrize(("ends", "walls", "message"), REFUSED)
def test_contradictions_are_refused_with_the_cure(ends: Boundary, walls: Walls, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Heat(line(8, ends), known(0.1), walls=walls)


def test_an_equation_refuses_ends_that_it_does_not_take() -> None:
    with pytest.raises(ValueError, match="Burgers takes no robin end, which the layout has at x_lower"):
        Burgers(line(8, ("robin", "dirichlet")), known(0.1), 1.0)
    with pytest.raises(ValueError, match=r"through the lower end along x fluid enters, at up to 0\.5"):
        AdvectionDiffusion(line(8, "outflow"), known([0.5]), known(0.1))


def gray_scott_with(layout: Layout, walls: Walls | None) -> Stepper:
    return GrayScott(layout, scalar(0.02), scalar(0.3), scalar(0.4), scalar(0.6), walls=walls)


def porous_with(layout: Layout, walls: Walls | None) -> Stepper:
    mobility = Power(scalar(0.3), scalar(1.3), scalar(2.0))
    return Fisher(layout, mobility, Logistic(scalar(0.8), scalar(1.3)), 3.0, walls=walls)


@pytest.mark.parametrize("build", [heat_with, transport_with, porous_with, gray_scott_with])
def test_walls_of_zero_are_those_that_are_not_given(build: Callable[[Layout, Walls | None], Stepper]) -> None:
    layout = plane(("dirichlet", "neumann"))
    if build is gray_scott_with:
        layout = replace(layout, fields=(Field("U"), Field("V")))
    start = torch.rand(1, *layout.state_shape, generator=seeded(), dtype=F64)
    zero = Walls(x_lower=Wall(value=known(0.0)), x_upper=Wall(flux=known(0.0)))
    with_zero, without = (rollout(build(layout, walls), start, 3) for walls in (zero, None))
    torch.testing.assert_close(with_zero, without, rtol=0, atol=1e-14)


def test_a_node_on_a_wall_starts_as_measured_and_then_has_what_stands_there() -> None:
    layout = line(9, ("dirichlet", "dirichlet"), centring="nodes")
    start = torch.rand(2, 1, 9, generator=seeded(), dtype=F64)
    states = rollout(Heat(layout, known(0.3), walls=Walls(x_upper=Wall(value=known(2.0)))), start, 3)
    assert torch.equal(states[:, 0], start)
    assert torch.equal(states[:, 1:, 0, 0], torch.zeros(2, 3, dtype=F64))
    torch.testing.assert_close(states[:, 1:, 0, -1], torch.full((2, 3), 2.0, dtype=F64), rtol=1e-14, atol=0)


def test_waves_on_nodes_stand_between_walls_that_hold_them() -> None:
    layout = line(33, ("dirichlet", "neumann"), fields=("u", "v"), centring="nodes")
    x = torch.tensor(layout.points(0), dtype=F64)
    mode = torch.sin(HALF * x)
    walls = Walls(x_lower=Wall(value=known(1.0)))
    found = rollout(Wave(layout, known(0.8), walls=walls), torch.stack([1 + mode, 0 * x])[None], 20)[0, :, 0]
    t = layout.dt * torch.arange(21, dtype=F64)
    torch.testing.assert_close(found, 1 + torch.cos(0.8 * HALF * t)[:, None] * mode, rtol=0, atol=2e-3)


@pytest.mark.parametrize("centring", ["cells", "nodes"])
@pytest.mark.parametrize("carried", [False, True])
def test_a_course_of_values_and_fluxes_is_followed_to_second_order_in_time(carried: bool, centring: Centring) -> None:
    """u = exp(c x/2κ) sin(μx + φ) exp(−λt), whatever μ and φ are, by its values and fluxes at the ends."""
    mu, phase, ratio = 1.3, 0.4, RATIO if carried else 0.0
    rate = KAPPA * (ratio**2 + mu**2)

    def exact(x: Tensor, t: Tensor) -> Tensor:
        return torch.exp(ratio * x) * torch.sin(mu * x + phase) * torch.exp(-rate * t)

    one, fine = torch.ones(1, dtype=F64), torch.linspace(0, 0.2, 2 * 32 + 1, dtype=F64)
    slope = math.exp(ratio) * (ratio * math.sin(mu + phase) + mu * math.cos(mu + phase)) * torch.exp(-rate * fine)
    courses = {"value": exact(0 * one, fine), "flux": KAPPA * slope}
    given = Given.of(1, inputs={name: Course(course[None], per_step=32) for name, course in courses.items()})
    walls = Walls(x_lower=Wall(value=Input("value", 1.0)), x_upper=Wall(flux=Input("flux", 1.0)))
    layout = line(33 if centring == "nodes" else 32, ("dirichlet", "neumann"), dt=0.1, centring=centring)
    start = exact(torch.tensor(layout.points(0), dtype=F64), 0 * one)[None, None]

    def last(substeps: int) -> Tensor:
        stepper: Stepper = (
            AdvectionDiffusion(layout, known([SPEED]), known(KAPPA), substeps=substeps, walls=walls)
            if carried
            else Heat(layout, known(KAPPA), substeps=substeps, walls=walls)
        )
        return rollout(stepper, start, 2, given)[0, -1, 0]

    counts = (2, 4, 8) if carried else (1, 2, 4)
    errors = [float((last(count) - last(4 * counts[-1])).abs().max()) for count in counts]
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.45), errors
    assert float((last(counts[-1]) - exact(torch.tensor(layout.points(0), dtype=F64), 0.2 * one)).abs().max()) < 2e-3
