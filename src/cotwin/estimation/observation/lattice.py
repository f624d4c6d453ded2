"""Where values lie beside each other: cells of an array, one for each series of values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

MOST = 32
"""Cells along an axis of places or times that are not those of a grid."""


@dataclass(frozen=True)
class Lattice:
    """Cells (G, n₁, n₂, …): of G series, each of one rollout and channel, along one direction or more.

    directions: their names, such as "in time". shape: (G, n₁, n₂, …). cell: of each value, flat, (M,).
    Cells without a value are empty. Where values share one, it holds their sum divided by the root of their number:
    independent values of deviation one make independent cells of deviation one.
    """

    directions: tuple[str, ...]
    shape: tuple[int, ...]
    cell: Int[Tensor, " M"]

    @classmethod
    def of(cls, series: Int[Tensor, " M"], places: dict[str, Int[Tensor, " M"]]) -> Lattice:
        """From the series of each value and its whole numbers, from 0 on, along each direction.

        Directions along which there is one place alone are left out.
        """
        places = {direction: place for direction, place in places.items() if int(place.max()) > 0}
        columns = [torch.unique(series, return_inverse=True)[1], *places.values()]
        shape = tuple(int(column.max()) + 1 for column in columns)
        cell = torch.zeros_like(series)
        for count, column in zip(shape, columns, strict=True):
            cell = cell * count + column
        return cls(tuple(places), shape, cell)

    def filled(self, values: Float[Tensor, "*K M"]) -> Float[Tensor, "*K L"]:
        """What the cells hold, flat; zero where they are empty."""
        cells = values.new_zeros(*values.shape[:-1], self.count.numel())
        return cells.index_add(-1, self.cell, values) / self.count.clamp(min=1).sqrt()

    @property
    def count(self) -> Int[Tensor, " L"]:
        """How many values a cell holds."""
        size = 1
        for count in self.shape:
            size *= count
        return torch.bincount(self.cell, minlength=size)


def ranked(values: Float[Tensor, " M"]) -> Int[Tensor, " M"]:
    """0 for the smallest, 1 for the next larger one; by `MOST` equal parts of their range where there are more.

    >>> ranked(torch.tensor([0.3, 0.1, 0.3, 0.2]))
    tensor([2, 0, 2, 1])
    """
    distinct, rank = torch.unique(values, return_inverse=True)
    if len(distinct) > MOST:
        rank = ((values - distinct[0]) / (distinct[-1] - distinct[0]) * MOST).long().clamp(max=MOST - 1)
    assert isinstance(rank, Tensor)
    return rank
