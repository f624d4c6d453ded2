"""Flows that something drives: a wall that moves along itself, a force along a channel."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from physics_cases import F64, known, scalar
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.parameters import Positive, Vector, Wall, Walls
from cotwin.physics.incompressible import IncompressibleFlow
from cotwin.rollouts.batched import rollout_each, rollout_with
from cotwin.stepper import rollout


def channel(points: int) -> Layout:
    """Periodic along x, between walls along y."""
    return Layout.box(
        [Field("u", 2)], grid=(4, points), extent=[(0, 1), (0, 1)], boundary=("periodic", "dirichlet"), dt=0.5
    )


def cavity() -> Layout:
    return Layout.box([Field("u", 2)], grid=(8, 8), extent=[(0, 1), (0, 1)], boundary="dirichlet", dt=0.2)


def heights(layout: Layout) -> Tensor:
    return torch.tensor(layout.points(1), dtype=F64)


def at_rest(layout: Layout) -> Tensor:
    return torch.zeros(1, *layout.state_shape, dtype=F64)


def test_between_a_wall_at_rest_and_one_that_moves_the_speed_is_linear() -> None:
    """Couette's flow, which the scheme has exactly, and before it the series from rest."""
    layout = channel(16)
    walls = Walls(y_upper=Wall(value=known(0.8)))
    states = rollout(IncompressibleFlow(layout, known(0.2), 1.0, walls=walls), at_rest(layout), 20)[0, :, 0, 0]
    y = heights(layout)
    torch.testing.assert_close(states[-1], 0.8 * y, rtol=0, atol=1e-6)
    series = sum(
        (-1) ** k * 2 / (k * math.pi) * torch.sin(k * math.pi * y) * math.exp(-0.2 * (k * math.pi) ** 2 * 0.5)
        for k in range(1, 9)
    )
    torch.testing.assert_close(states[1], 0.8 * (y + series), rtol=0, atol=2e-3)


def test_a_force_along_a_channel_makes_poiseuilles_parabola() -> None:
    errors = []
    for points in (8, 16, 32):
        layout = channel(points)
        flow = IncompressibleFlow(layout, known(0.2), 1.0, force=known([0.6, 0.0]))
        y = heights(layout)
        start = at_rest(layout)
        start[:, 0] = 0.6 / 0.4 * y * (1 - y)
        found = rollout(flow, start, 20)[0, -1, 0, 0]
        errors.append(float((found - start[0, 0, 0]).abs().max()))
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.1)


def test_a_lid_stirs_a_cavity_and_its_speed_can_be_learned() -> None:
    layout = cavity()
    lid = Walls(y_upper=Wall(value=Positive(torch.tensor(0.7, dtype=F64))))
    force = Vector(scalar(0.1), scalar(0.2))
    flow = IncompressibleFlow(layout, known(0.05), 1.5, walls=lid, force=force)
    states = rollout(flow, at_rest(layout), 5).detach()
    assert float(states[0, -1, 0, :, -1].max()) > 0.1
    assert float(states[0, -1, 0, 1:, :4].min()) < 0, "it comes back below"
    name = "walls.y_upper.value.raw"
    raw = flow.get_parameter(name).detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda one: rollout_with(flow, {name: one}, at_rest(layout), 2)[:, -1], (raw,))
    sets = torch.stack([raw.detach(), raw.detach() - 0.3])
    each = rollout_each(flow, {name: sets}, at_rest(layout), 2)
    for index, one in enumerate(sets):
        torch.testing.assert_close(each[index], rollout_with(flow, {name: one}, at_rest(layout), 2))


def test_what_a_wall_cannot_do_is_refused() -> None:
    layout = channel(8)
    for walls, slip, message in (
        (Walls(y_upper=Wall(value=known([1.0, 2.0, 3.0, 4.0]))), False, "give one number"),
        (Walls(y_upper=Wall(value=known(1.0))), True, "leave one out"),
        (Walls(y_upper=Wall(flux=known(1.0))), False, "takes value"),
    ):
        with pytest.raises(ValueError, match=message):
            IncompressibleFlow(layout, known(0.1), 1.0, slip=slip, walls=walls)
    with pytest.raises(ValueError, match="a number for each axis"):
        IncompressibleFlow(layout, known(0.1), 1.0, force=known([1.0]))
