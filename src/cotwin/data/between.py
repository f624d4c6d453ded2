"""States that were measured between the frames of trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Between:
    """M states beside the frames of N trajectories, in the order of trajectories and times.

    row: of which trajectory each is, (M,). steps: when, in steps after its first frame, in double precision, (M,).
    framed: whether it is the state of the nearest frame too, as near as is asked for, (M,).
    states, mask: its values, and where they were observed, (M, C, *S).
    """

    row: Int[Tensor, " M"]
    steps: Float[Tensor, " M"]
    framed: Bool[Tensor, " M"]
    states: Float[Tensor, "M C *S"]
    mask: Bool[Tensor, "M C *S"]

    def __len__(self) -> int:
        return len(self.row)

    def some(self, which: Tensor) -> Between:
        """Those of these indices, or where a mask is True."""
        return Between(*(one[which] for one in (self.row, self.steps, self.framed, self.states, self.mask)))

    def of_rows(self, rows: Sequence[int] | slice, count: int) -> Between:
        """Of some of the trajectories, counted anew; count: of all."""
        chosen = torch.arange(count)[rows]
        place = torch.full((count,), -1)
        place[chosen] = torch.arange(len(chosen))
        own = self.some(place[self.row] >= 0)
        return replace(own, row=place[own.row])

    def stretch(self, start: int, stop: int) -> Between:
        """Of the frames from start up to stop, which is not among them; those at most half a step before are."""
        inside = (self.steps > start - 1 / 2) & (self.steps <= stop - 1)
        own = self.some(inside & ((self.steps >= start) | (self.framed & (self.steps.round() == start))))
        return replace(own, steps=own.steps - start)


def joined(parts: Sequence[tuple[Between | None, int]], factors: Sequence[int]) -> Between | None:
    """Of several sets of so many trajectories, one after the other; factors: that their steps are multiplied by."""
    found, first = [], 0
    for (part, count), factor in zip(parts, factors, strict=True):
        if part is not None:
            found.append(replace(part, row=part.row + first, steps=part.steps * factor))
        first += count
    if not found:
        return None
    names = ("row", "steps", "framed", "states", "mask")
    return Between(*(torch.cat([getattr(one, name) for one in found]) for name in names))
