"""What leaves an equation as it is: moves of the grid after which a state's future is the same, moved likewise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
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
class Moves:
    """One move for each of B samples: first the swaps, then the mirrors, then the shifts.

    swaps, mirrors: which of a stepper's, in their order. shifts: by how many points along each axis.
    """

    swaps: Bool[Tensor, "B P"]
    mirrors: Bool[Tensor, "B M"]
    shifts: Int[Tensor, "B dims"]

    def rows(self, rows: Sequence[int]) -> Moves:
        """Those of some samples."""
        chosen = list(rows)
        return Moves(self.swaps[chosen], self.mirrors[chosen], self.shifts[chosen])


def drawn(symmetries: Symmetries, layout: Layout, count: int, generator: torch.Generator) -> Moves:
    """Random moves, each as likely as any other."""
    swaps, mirrors = (
        torch.rand(count, len(some), generator=generator) < 0.5 for some in (symmetries.swaps, symmetries.mirrors)
    )
    far = torch.rand(count, layout.dims, generator=generator) * torch.tensor(layout.grid)
    along = torch.tensor([axis in symmetries.shifts for axis in range(layout.dims)])
    return Moves(swaps, mirrors, far.long() * along)


def moved(
    states: Float[Tensor, "B T C *S"], moves: Moves, symmetries: Symmetries, layout: Layout
) -> Float[Tensor, "B T C *S"]:
    """Stretches of rollouts, each after its move."""
    samples = (-1, *(1,) * (states.dim() - 1))
    for (pair, odd), which in zip(symmetries.swaps.items(), moves.swaps.unbind(1), strict=True):
        if which.any():
            turned = states.transpose(pair[0] - layout.dims, pair[1] - layout.dims)
            turned = turned.index_select(2, torch.tensor(_swapped(layout, pair)))
            states = torch.where(which.view(samples), turned * _signs(odd, states, layout), states)
    for (axis, odd), which in zip(symmetries.mirrors.items(), moves.mirrors.unbind(1), strict=True):
        if which.any():
            turned = states.flip(axis - layout.dims) * _signs(odd, states, layout)
            states = torch.where(which.view(samples), turned, states)
    for axis, shift in enumerate(moves.shifts.unbind(1)):
        if shift.any():
            points, along = layout.grid[axis], list(samples)
            along[axis + 3] = points
            index = (torch.arange(points) - shift[:, None]) % points
            states = states.gather(axis + 3, index.view(along).expand_as(states))
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
