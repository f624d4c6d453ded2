"""Courses in time at walls, as sources and as coefficients: numbers that stay, cuts in a rollout, memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cotwin import Field, Known, Layout, rollout
from cotwin.given import Course, Given
from cotwin.layout import Centring, Ends
from cotwin.parameters import Input, InTime, Parameter, Real, Wall, Walls
from cotwin.parameters.clock import TOGETHER, Clock
from cotwin.physics.advection_diffusion import AdvectionDiffusion
from cotwin.physics.burgers import Burgers
from cotwin.physics.closures import Logistic, Power
from cotwin.physics.fisher import Fisher
from cotwin.physics.gray_scott import GrayScott
from cotwin.physics.heat import Heat
from cotwin.physics.incompressible import IncompressibleFlow
from cotwin.physics.shallow_water import ShallowWater
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.physics.wave import Wave
from cotwin.rollouts import Checkpointed
from cotwin.stepper import Stepper

F64 = torch.float64
STEPS = 2


def known(value: float) -> Known:
    return Known(torch.tensor(value, dtype=F64))


def line(ends: Ends, centring: Centring = "cells", fields: tuple[str, ...] = ("u",)) -> Layout:
    every = [Field(name) for name in fields]
    return Layout.box(every, grid=(13,), extent=[(0, 1)], boundary=(ends,), dt=0.1, centring=centring)


def at_ends(kind: str, one: Parameter, other: Parameter) -> tuple[Ends, Walls]:
    lower = {
        "value": Wall(value=one), "flux": Wall(flux=one), "transfer": Wall(transfer=one, outside=other),
        "outside": Wall(transfer=known(0.7), outside=one),
    }[kind]  # fmt: skip
    ends: dict[str, Ends] = {"value": ("dirichlet", "neumann"), "flux": "neumann"}
    return ends.get(kind, ("robin", "neumann")), Walls(x_lower=lower)


def heat(kind: str, centring: Centring, one: Parameter, other: Parameter) -> Stepper:
    ends, walls = at_ends(kind, one, other)
    return Heat(line(ends, centring), known(0.3), substeps=2, source=other, walls=walls)


def transport(kind: str, centring: Centring, one: Parameter, other: Parameter) -> Stepper:
    ends, walls = at_ends(kind, one, other)
    return AdvectionDiffusion(line(ends, centring), (known(0.3),), known(0.3), source=other, walls=walls)


def fisher(kind: str, centring: Centring, one: Parameter, other: Parameter) -> Stepper:
    ends, walls = at_ends(kind, one, other)
    mobility = Power(known(0.3), known(1.3), known(2.0))
    return Fisher(line(ends, centring), mobility, Logistic(known(0.8), known(1.3)), 3.0, source=other, walls=walls)


def gray_scott(kind: str, centring: Centring, one: Parameter, other: Parameter) -> Stepper:
    ends, walls = at_ends(kind, one, other)
    layout = line(ends, centring, ("U", "V"))
    if kind == "value":
        walls = Walls(x_lower=Wall(value={"U": one, "V": known(0.2)}))
    return GrayScott(layout, known(0.1), known(0.3), known(0.4), known(0.6), walls=walls)


def wave(kind: str, centring: Centring, one: Parameter, other: Parameter) -> Stepper:
    ends, walls = at_ends(kind, one, other)
    return Wave(line(ends, centring, ("u", "v")), known(0.8), source=other, walls=walls)


def burgers(kind: str, centring: Centring, one: Parameter, other: Parameter) -> Stepper:
    walls = Walls(x_lower=Wall(value=one))
    layout = line(("dirichlet", "outflow"), centring)
    return Burgers(layout, known(0.1), 2.0, substeps=8, source=(other,), walls=walls)


def shallow_water(kind: str, centring: Centring, one: Parameter, other: Parameter) -> Stepper:
    walls = Walls(x_lower=Wall(value={"height": other, "velocity": one}))
    layout = line(("dirichlet", "outflow"), centring, ("height", "velocity"))
    return ShallowWater(layout, known(0.5), 2.0, substeps=8, walls=walls)


def spectral(kind: str, centring: Centring, one: Parameter, other: Parameter) -> Stepper:
    return SpectralBurgers(line("periodic"), known(0.1), substeps=4, source=(one,))


def channel(kind: str, centring: Centring, one: Parameter, other: Parameter) -> Stepper:
    layout = Layout.box(
        [Field("u", components=2)], grid=(6, 4), extent=[(0, 1), (0, 1)], boundary=("dirichlet", "periodic"), dt=0.1
    )
    walls = Walls(x_upper=Wall(value=one))
    return IncompressibleFlow(layout, known(0.1), 1.5, walls=walls, force=(known(0.1), other))


Make = Callable[[str, Centring, Parameter, Parameter], Stepper]
MAKERS: list[tuple[Make, str]] = [
    *((make, kind) for make in (heat, transport, fisher) for kind in ("value", "flux", "transfer", "outside")),
    *((make, kind) for make in (gray_scott, wave) for kind in ("value", "flux")),
    *((make, "") for make in (burgers, shallow_water, spectral, channel)),
]


def named(case: object) -> str:
    return getattr(case, "__name__", str(case))


def start_for(stepper: Stepper, count: int = 2) -> Tensor:
    noise = torch.rand(count, *stepper.layout.state_shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    return 0.5 + 0.1 * noise


@pytest.mark.parametrize("centring", ["cells", "nodes"])
@pytest.mark.parametrize(("make", "kind"), MAKERS, ids=named)
def test_a_course_that_stays_is_a_number(make: Make, kind: str, centring: Centring) -> None:
    told = make(kind, centring, Input("one", 0.6), Input("other", 0.4))
    level = torch.tensor([[0.6], [0.6]], dtype=F64)
    given = Given.of(2, inputs={"one": Course(level.expand(2, 7), 2), "other": Course(level.expand(2, 7) / 1.5, 2)})
    plain = make(kind, centring, known(0.6), known(0.4))
    start = start_for(told)
    torch.testing.assert_close(
        rollout(told, start, STEPS, given), rollout(plain, start, STEPS), rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("centring", ["cells", "nodes"])
@pytest.mark.parametrize(("make", "kind"), [case for case in MAKERS if case[1] in ("value", "")], ids=named)
def test_a_rollout_in_parts_is_one_rollout(make: Make, kind: str, centring: Centring) -> None:
    told = make(kind, centring, Input("one", 1.0), Input("other", 1.0))
    courses = 0.5 + 0.4 * torch.rand(2, 2, 13, generator=torch.Generator().manual_seed(2), dtype=F64)
    given = Given.of(2, inputs={"one": Course(courses[0], 3), "other": Course(courses[1], 3)})
    start = start_for(told)
    whole = rollout(told, start, 3, given)
    torch.testing.assert_close(rollout(Checkpointed(told, 2), start, 3, given), whole, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(rollout(told, whole[:, 1], 2, given.later(1)), whole[:, 1:], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("make", [heat, wave, shallow_water])
def test_a_node_has_what_stands_at_its_wall_at_each_time(make: Make) -> None:
    told = make("value", "nodes", Input("one", 1.0), Input("other", 1.0))
    course = 0.5 + 0.4 * torch.rand(2, 13, generator=torch.Generator().manual_seed(3), dtype=F64)
    given = Given.of(2, inputs={"one": Course(course, 3), "other": Course(course + 0.1, 3)})
    states = rollout(told, start_for(told), 4, given)
    channel = 1 if make is shallow_water else 0
    torch.testing.assert_close(states[:, 1:, channel, 0], course[:, 3::3], rtol=1e-13, atol=0)


@pytest.mark.parametrize("centring", ["cells", "nodes"])
def test_an_unknown_course_does_what_a_known_one_does(centring: Centring) -> None:
    values = torch.rand(5, generator=torch.Generator().manual_seed(4), dtype=F64)
    given = Given.of(2, inputs={name: Course(values.expand(2, 5)) for name in ("one", "other")})
    each = Real(values)
    unknown = heat("value", centring, InTime(each, 0.4, 0.1), InTime(each, 0.4, 0.1))
    seen = heat("value", centring, Input("one", 1.0), Input("other", 1.0))
    start = start_for(seen)
    found = rollout(unknown, start, 4, given)
    torch.testing.assert_close(found, rollout(seen, start, 4, given), rtol=1e-12, atol=1e-13)
    (gradient,) = torch.autograd.grad(found[:, -1].sum(), each.raw)
    (again,) = torch.autograd.grad(rollout(Checkpointed(unknown, 2), start, 4, given)[:, -1].sum(), each.raw)
    torch.testing.assert_close(again, gradient)
    assert (gradient != 0).all()


def test_more_substeps_than_are_prepared_at_once() -> None:
    """u' = f(t), whose integral is exact however long it goes on."""
    layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 1)], boundary="neumann", dt=0.5)
    steps = TOGETHER + 6
    course = torch.rand(2, steps + 1, generator=torch.Generator().manual_seed(5), dtype=F64)
    stepper = Heat(layout, known(0.1), substeps=2, source=Input("f", 1.0))
    states = rollout(stepper, torch.zeros(2, 1, 4, dtype=F64), steps, Given.of(2, inputs={"f": Course(course)}))
    integral = torch.cumulative_trapezoid(course, dx=0.5, dim=1)
    torch.testing.assert_close(states[:, 1:, 0, 2], integral, rtol=1e-12, atol=1e-12)


def test_nothing_of_a_rollout_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks: list[weakref.ref[Clock]] = []
    begin = Clock.__init__

    def noted(self: Clock, *arguments: object) -> None:
        clocks.append(weakref.ref(self))
        begin(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Clock, "__init__", noted)
    given = Given.of(2, inputs={name: Course(torch.rand(2, 5)) for name in ("one", "other")})
    told = heat("value", "nodes", Input("one", 1.0), Input("other", 1.0))
    gc.disable()
    try:
        rollout(told, start_for(told), 4, given)
    finally:
        gc.enable()
    assert [clock() for clock in clocks] == [None]
