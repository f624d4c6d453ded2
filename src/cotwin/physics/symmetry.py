"""What simulators declare of their symmetries and of what they conserve, with their present settings.

A coefficient that differs from place to place breaks them, and so may walls and what is given with each trajectory:
then nothing is declared. Static fields move with the state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls
from cotwin.stepper import Stepper
from cotwin.symmetries import Symmetries

Odd = Callable[[int], Iterable[int]]
"""From an axis to the moving channels that change their sign where it is turned round, counted among the moving."""


def scalars(axis: int) -> Iterable[int]:
    """None: all channels are the same from both sides."""
    return ()


def vector(first: int = 0) -> Odd:
    """The component along the axis, of a vector whose components are the moving channels from this one on."""
    return lambda axis: (first + axis,)


def shifts(stepper: Stepper) -> Symmetries:
    """Along all periodic axes, if nothing differs from place to place."""
    layout = stepper.layout
    return (
        Symmetries(frozenset(filter(layout.is_periodic, range(layout.dims)))) if _uniform(stepper) else Symmetries()
    )


def all_of(stepper: Stepper, odd: Odd = scalars, odd_swapped: Iterable[int] = ()) -> Symmetries:
    """Shifts, mirrors of axes with like ends, swaps of like axes, if nothing differs from place to place.

    odd_swapped: moving channels that change their sign in swaps.
    """
    if not _uniform(stepper):
        return Symmetries()
    layout, moving = stepper.layout, moving_channels(stepper.layout)
    like = [(layout.grid[a], layout.spacing[a], layout.boundary[a], layout.centring[a]) for a in range(layout.dims)]
    turned = frozenset(moving[channel] for channel in odd_swapped)
    return Symmetries(
        shifts(stepper).shifts,
        {
            axis: frozenset(moving[channel] for channel in odd(axis)) | _static_along(layout, axis)
            for axis in range(layout.dims)
            if len(set(layout.sides(axis))) == 1
        },
        {pair: turned for pair in combinations(range(layout.dims), 2) if like[pair[0]] == like[pair[1]]},
    )


def moving_channels(layout: Layout) -> list[int]:
    """Those of fields that change in time."""
    return [channel for channel, static in enumerate(layout.static_channels) if not static]


def closed(layout: Layout, walls: Walls | None) -> bool:
    """Whether no flux passes any end of the domain: periodic, or a neumann end at which nothing else is said."""
    return walls is None and layout.kinds <= {"periodic", "neumann"}


def _static_along(layout: Layout, axis: int) -> frozenset[int]:
    """Components along an axis of static vector fields."""
    vectors = [one for one in layout.fields if one.static and one.components == layout.dims > 1]
    return frozenset(layout.channels_of(one.name)[axis] for one in vectors)


def _uniform(stepper: Stepper) -> bool:
    if stepper.needs or any(isinstance(one, Walls) for one in stepper.children()):
        return False
    grid = stepper.layout.grid
    values = (one() for one in stepper.children() if isinstance(one, Parameter))
    return not any(tuple(value.shape[-len(grid) :]) == grid for value in values)
