"""The outermost cells of a channel at the ends of its axes, continued to the walls, gathered piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.assembling.lasting import Lasting
from cotwin.layout import Layout
from cotwin.pieces import Moments, Piece, is_finite, pieces

# Of the outermost three cells, nearest first: what lies at the wall, half a cell before them, by each order. Of the
# orders the one that speaks for the boundary counts: where the states bend, or are noisy, they differ.
VALUE_AT_WALL = ((1.0, 0.0, 0.0), (1.5, -0.5, 0.0), (1.875, -1.25, 0.375))
SLOPE_AT_WALL = ((-1.0, 1.0, 0.0), (-2.0, 3.0, -1.0))
# Nodes: the outermost lies on the wall.
VALUE_AT_NODE = ((1.0, 0.0, 0.0),) * 3
SLOPE_AT_NODE = ((-1.0, 1.0, 0.0), (-1.5, 2.0, -0.5))


def channels_at_ends(states: Tensor, mask: Tensor | None, layout: Layout, moving: Sequence[int]) -> list[Channel]:
    """What each of these channels does at the ends of every axis."""
    found = [Channel(layout) for _ in moving]
    for piece in pieces(states, before=2):
        for channel, one in zip(moving, found, strict=True):
            one.add(values_of(states, mask, piece, channel), piece.lead)
    return found


class Channel:
    """One channel at the ends of every axis of three points or more."""

    def __init__(self, layout: Layout) -> None:
        self.size = Moments()
        self.axes: dict[int, tuple[Lasting, Jump | tuple[Wall, Wall]]] = {
            axis: (Lasting(), Jump() if layout.is_periodic(axis) else (Wall(nodes), Wall(nodes)))
            for axis, nodes in enumerate(map(layout.has_nodes, range(layout.dims)))
            if layout.grid[axis] >= 3
        }

    def add(self, values: Float[Tensor, "N T *S"], lead: int) -> None:
        """More frames; the first `lead` of them came before."""
        new = values[:, lead:]
        self.size.add(new.flatten() if is_finite(new) else new[new.isfinite()])
        for axis, (steep, ends) in self.axes.items():
            steep.add(values.diff(dim=axis + 2), lead)
            lower, upper = (outermost(values, axis, end) for end in (0, 1))
            if isinstance(ends, Jump):
                ends.add(lower, upper, lead)
            else:
                ends[0].add(lower, lead)
                ends[1].add(upper, lead)


class Wall:
    """What three outermost cells at one end say of the wall, or what they say beside a value that is known there."""

    def __init__(self, nodes: bool) -> None:
        self.value_weights = VALUE_AT_NODE if nodes else VALUE_AT_WALL
        self.slope_weights = SLOPE_AT_NODE if nodes else SLOPE_AT_WALL
        self.values = [Lasting() for _ in self.value_weights]
        self.slopes = [Lasting() for _ in self.slope_weights]
        self.at_wall = Moments()

    def add(self, cells: list[Tensor], lead: int) -> None:
        """More frames; the first `lead` of them came before."""
        at_wall = [combined(cells, weights) for weights in self.value_weights]
        for lasting, values in zip(self.values, at_wall, strict=True):
            lasting.add(values, lead)
        for lasting, weights in zip(self.slopes, self.slope_weights, strict=True):
            lasting.add(combined(cells, weights), lead)
        new = at_wall[1][:, lead:]
        self.at_wall.add(new[new.isfinite()])

    @property
    def value(self) -> float:
        """What lies at the wall."""
        return min(one.typical() for one in self.values)

    @property
    def slope(self) -> float:
        """Between neighbours there."""
        return min(one.typical() for one in self.slopes)


class Jump:
    """By how much a channel differs across the ends of a period."""

    def __init__(self) -> None:
        self.orders = [Lasting() for _ in VALUE_AT_WALL]

    def add(self, lower: list[Tensor], upper: list[Tensor], lead: int) -> None:
        """More frames; the first `lead` of them came before."""
        for lasting, weights in zip(self.orders, VALUE_AT_WALL, strict=True):
            lasting.add(combined(lower, weights) - combined(upper, weights), lead)

    @property
    def value(self) -> float:
        """What lasts of it."""
        return min(one.typical() for one in self.orders)


def values_of(states: Tensor, mask: Tensor | None, piece: Piece, channel: int) -> Float[Tensor, "N T *S"]:
    """A channel's values in double precision, nan where unknown."""
    values = piece.of(states)[:, :, channel].double()
    if mask is not None:
        values = values.masked_fill(~piece.of(mask)[:, :, channel], torch.nan)
    return values if is_finite(values) else values.masked_fill(~values.isfinite(), torch.nan)


def outermost(values: Tensor, axis: int, end: int) -> list[Tensor]:
    """The outermost three along an axis, the one at its end first."""
    return [values.select(axis + 2, place) for place in ((-1, -2, -3) if end else (0, 1, 2))]


def combined(cells: list[Tensor], weights: tuple[float, ...]) -> Tensor:
    # Cells of weight zero are left out: where one was not observed, the others still say something.
    return torch.stack([weight * cell for weight, cell in zip(weights, cells, strict=True) if weight]).sum(dim=0)
