"""What simulators say of their symmetries and of what they conserve is so, rolled out from random states."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from physics_cases import CASES, F64, Case, field, known, smooth
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.parameters import Walls
from cotwin.parameters.walls import Wall
from cotwin.physics.heat import Heat
from cotwin.stepper import Stepper, rollout
from cotwin.symmetries import Moves, Symmetries, moved

STEPS = 2


def square(case: Case) -> Stepper:
    """With axes alike, so that they may change places."""
    moving = case.moving
    layout = Layout.box(moving, grid=(9, 9), extent=[(-1, 1)] * 2, boundary="periodic", dt=0.05)
    return case.build(layout)


STEPPERS = {case.name: case.stepper(static=True) for case in CASES} | {
    f"{case.name}, square": square(case)
    for case in CASES
    if len(case.grid) == 2 and case.boundary == "periodic" and "refined" not in case.name
}
STEPPERS = {name: one.double() for name, one in STEPPERS.items() if one.symmetries or one.conserved}
each = pytest.mark.parametrize("stepper", STEPPERS.values(), ids=STEPPERS)


def start(stepper: Stepper) -> Tensor:
    """Around one: depths and densities are positive."""
    return 1.0 + 0.3 * smooth(stepper.layout)


def generators(symmetries: Symmetries, dims: int) -> list[Moves]:
    """Each of them by itself, for one sample of three."""

    def one(swap: int = -1, mirror: int = -1, shifts: tuple[int, ...] = (0,) * dims) -> Moves:
        swaps, mirrors = torch.zeros(3, len(symmetries.swaps)), torch.zeros(3, len(symmetries.mirrors))
        far = torch.zeros(3, dims, dtype=torch.long)
        swaps[1, swap : swap + 1], mirrors[1, mirror : mirror + 1], far[1] = 1, 1, torch.tensor(shifts)
        return Moves(swaps.bool(), mirrors.bool(), far)

    return [
        *(one(swap=place) for place in range(len(symmetries.swaps))),
        *(one(mirror=place) for place in range(len(symmetries.mirrors))),
        *(one(shifts=tuple(3 * (axis == along) for axis in range(dims))) for along in symmetries.shifts),
    ]


@each
def test_a_moved_start_has_the_moved_future(stepper: Stepper) -> None:
    layout, symmetries = stepper.layout, stepper.symmetries
    states = start(stepper)
    future = rollout(stepper, states, STEPS)
    for move in generators(symmetries, layout.dims):
        begun = moved(states[:, None], move, symmetries, layout)[:, 0]
        assert [torch.equal(*pair) for pair in zip(begun, states, strict=True)] == [True, False, True]
        there = rollout(stepper, begun, STEPS)
        torch.testing.assert_close(there[:, 1:], moved(future[:, 1:], move, symmetries, layout), rtol=0, atol=1e-9)


@each
def test_the_mean_of_what_is_conserved_stays(stepper: Stepper) -> None:
    sums = rollout(stepper, start(stepper), STEPS)
    for axis in reversed(range(stepper.layout.dims)):
        sums = (sums * torch.tensor(stepper.layout.widths(axis), dtype=F64)).sum(dim=-1)
    # A staggered flow is projected first.
    change = (sums[:, 1:] - sums[:, 1:2] if stepper.staggered else sums[:, 1:] - sums[:, :1]).abs()
    assert all(change[:, :, channel].max() < 1e-11 for channel in stepper.conserved)


def test_most_simulators_say_so() -> None:
    assert len(STEPPERS) >= 40
    assert {"heat 1-D, scalar", "advection 1-D", "Korteweg-de Vries 1-D"} <= set(STEPPERS)


def test_what_differs_from_place_to_place_breaks_them() -> None:
    layout = Layout.box([Field("u")], grid=(8, 8), extent=[(0, 1)] * 2, boundary="neumann", dt=0.1)
    plain = Heat(layout, known(0.1))
    assert (set(plain.symmetries.mirrors), set(plain.symmetries.swaps)) == ({0, 1}, {(0, 1)})
    assert plain.conserved == {0}
    varying = Heat(layout, field(layout, 0.1))
    assert not varying.symmetries
    assert varying.conserved == {0}
    leaking = Heat(layout, known(0.1), walls=Walls(x_lower=Wall(flux=known(0.2))))
    assert not leaking.symmetries
    assert not leaking.conserved
    nodes = Heat(replace(layout, centring=("nodes", "cells")), known(0.1))
    assert not nodes.symmetries.swaps
    assert nodes.conserved == {0}
