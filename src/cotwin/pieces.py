"""Sets of states that need not fit into memory, looked at piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

AT_ONCE = 4_000_000
"""Bytes of states in a piece, at most, unless one frame has more: what is made of it takes several times as much."""


class Piece(NamedTuple):
    """Some trajectories, and frames of them; the first `lead` frames were in the piece before already."""

    rows: slice
    frames: slice
    lead: int = 0

    def of(self, states: Tensor) -> Tensor:
        """Its part of (N, T, …), a view."""
        return states[self.rows, self.frames]


def pieces(states: Tensor, before: int = 0) -> Iterator[Piece]:
    """Pieces that make up (N, T, …): whole trajectories where one fits, else stretches of one, in their order.

    before: frames before a stretch that come along, for what is made of successive ones.

    >>> [tuple(one) for one in pieces(torch.empty(2, 5, 250_000), before=1)]  # doctest: +NORMALIZE_WHITESPACE
    [(slice(0, 1, None), slice(0, 4, None), 0), (slice(0, 1, None), slice(3, 5, None), 1),
     (slice(1, 2, None), slice(0, 4, None), 0), (slice(1, 2, None), slice(3, 5, None), 1)]
    """
    count, frames = states.shape[:2]
    frame_bytes = states.itemsize * math.prod(states.shape[2:])
    rows = AT_ONCE // max(frames * frame_bytes, 1)
    if rows:
        yield from (
            Piece(slice(first, min(first + rows, count)), slice(0, frames)) for first in range(0, count, rows)
        )
        return
    length = max(1, AT_ONCE // frame_bytes)
    for row in range(count):
        for first in range(0, frames, length):
            lead = min(before, first)
            yield Piece(slice(row, row + 1), slice(first - lead, min(first + length, frames)), lead)


def copied(states: Tensor, into: Tensor) -> Tensor:
    """`into` with the values of states of the same shape, piece by piece."""
    for piece in pieces(into):
        piece.of(into).copy_(piece.of(states))
    return into


def any_of(mask: Tensor, channels: Sequence[int]) -> Tensor:
    """For each frame of (N, T, C, …) whether some of these channels is True anywhere, (N, T)."""
    found = torch.zeros(mask.shape[:2], dtype=torch.bool)
    for channel in channels:
        found |= mask[:, :, channel].flatten(2).any(dim=2) if mask.dim() > 3 else mask[:, :, channel]
    return found


def is_finite(values: Tensor) -> bool:
    """Whether all numbers are; as a rule their sum tells, ten times as fast."""
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


def chosen(values: Tensor, which: Tensor) -> Tensor:
    """values[which], in one dimension; without a copy where it is all of them."""
    return values.flatten() if bool(which.all()) else values[which]


class Moments:
    """Count, mean, deviation and largest size of numbers that come in parts, in double precision.

    Source: Chan, Golub & LeVeque (1983), The American Statistician 37.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.largest, self._squares = 0, 0.0, 0.0, 0.0

    def add(self, values: Float[Tensor, " M"]) -> None:
        """More of them."""
        if not values.numel():
            return
        values, count = values.double(), values.numel()
        mean = float(values.mean())
        apart, total, spread = mean - self.mean, self.count + count, float(torch.linalg.vector_norm(values - mean))
        self._squares += spread * spread + apart * apart * self.count * count / total
        # Not weighted where it is the first part: nothing is rounded then.
        self.mean = mean if not self.count else self.mean + apart * count / total
        self.largest = max(self.largest, *(abs(float(end)) for end in values.aminmax()))
        self.count = total

    @property
    def deviation(self) -> float:
        """Root of the mean squared distance from the mean; not a number without any."""
        return math.sqrt(self._squares / self.count) if self.count else math.nan

    @property
    def size(self) -> float:
        """Root of the mean square; not a number without any."""
        return math.hypot(self.deviation, self.mean)
