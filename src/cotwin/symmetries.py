"""What leaves an equation as it is: moves of the grid after which a state's future is the same, moved likewise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout


@dataclass(frozen=True)
class Symmetries:
    """Moves of the grid, static fields included, that commute with a stepper; none unless it says so.

    shifts: axes along which any number of points is one.
    mirrors: axes that may be turned round, each with the channels that then change their sign.
    swaps: pairs of axes that may change places, each with the channels that then change their sign. Components of
        vectors change places with the axes. A mirror and a swap together are a rotation by 90°.
    """

    shifts: frozenset[int] = frozenset()
    mirrors: Mapping[int, frozenset[int]] = field(default_factory=dict)
    swaps: Mapping[tuple[int, int], frozenset[int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.shifts or self.mirrors or self.swaps)


@dataclass(frozen=True)
class Move:
    """One of them: first the swaps, then the mirrors, then the shifts, by so many points along each axis."""

    swaps: tuple[tuple[int, int], ...] = ()
    mirrors: tuple[int, ...] = ()
    shifts: tuple[int, ...] = ()


def drawn(symmetries: Symmetries, layout: Layout, generator: torch.Generator) -> Move:
    """A random move: of each pair of axes and of each axis whether, each with one half; of each shift how far."""

    def heads(count: int) -> list[bool]:
        flips: list[bool] = (torch.rand(count, generator=generator) < 0.5).tolist()
        return flips

    swaps = tuple(pair for pair, one in zip(symmetries.swaps, heads(len(symmetries.swaps)), strict=True) if one)
    mirrors = tuple(axis for axis, one in zip(symmetries.mirrors, heads(len(symmetries.mirrors)), strict=True) if one)
    far = torch.rand(layout.dims, generator=generator).tolist()
    shifts = tuple(int(part * layout.grid[axis]) if axis in symmetries.shifts else 0 for axis, part in enumerate(far))
    return Move(swaps, mirrors, shifts)


def moved(
    states: Float[Tensor, "*L C *S"], move: Move, symmetries: Symmetries, layout: Layout
) -> Float[Tensor, "*L C *S"]:
    """States, or anything that has their channels and grid, after a move."""
    channel = -layout.dims - 1
    for pair in move.swaps:
        states = states.transpose(pair[0] - layout.dims, pair[1] - layout.dims)
        states = states.index_select(channel, torch.tensor(_swapped(layout, pair), device=states.device))
        states = states * _signs(symmetries.swaps[pair], states, layout)
    for axis in move.mirrors:
        states = states.flip(axis - layout.dims) * _signs(symmetries.mirrors[axis], states, layout)
    for axis, shift in enumerate(move.shifts):
        if shift:
            states = states.roll(shift, axis - layout.dims)
    return states


def _swapped(layout: Layout, pair: tuple[int, int]) -> list[int]:
    """Of each channel which stands there afterwards: components of vectors change places with their axes."""
    order: list[int] = []
    for one in layout.fields:
        own = list(range(len(order), len(order) + one.components))
        if one.components == layout.dims:
            own[pair[0]], own[pair[1]] = own[pair[1]], own[pair[0]]
        order += own
    return order


def _signs(odd: frozenset[int], states: Tensor, layout: Layout) -> Tensor:
    signs = [-1.0 if channel in odd else 1.0 for channel in range(layout.channels)]
    return states.new_tensor(signs).view(-1, *(1,) * layout.dims)
