"""Starts of several kinds, as many of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.stepper import Stepper
from cotwin.windows.start_states import Places, StartStates
from cotwin.windows.starts.sampling import Starts


def mixed(*kinds: Starts) -> Starts:
    """As many states of each kind."""

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> MixedStates:
        share = -(-count // len(kinds))
        return MixedStates([kind(share, teacher, generator) for kind in kinds], count)

    return draw


class MixedStates(StartStates):
    """States of several kinds in turn: the first of each, then the second of each."""

    def __init__(self, kinds: Sequence[StartStates], count: int) -> None:
        self.kinds, self.count, self.dtype = kinds, count, kinds[0].dtype
        self.random_access = all(kind.random_access for kind in kinds)

    def __len__(self) -> int:
        return self.count

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self.kinds[0].state_shape

    def take(self, indices: Sequence[int]) -> Float[Tensor, "B C *S"]:
        states = torch.empty(len(indices), *self.state_shape, dtype=self.dtype)
        for kind, rows, own in self._each(indices):
            states[rows] = kind.take(own)
        return states

    def places(self, indices: Sequence[int]) -> Places:
        places = Places(*(torch.empty(len(indices), dtype=torch.long) for _ in Places._fields))
        for kind, rows, own in self._each(indices):
            for every, some in zip(places, kind.places(own), strict=True):
                every[rows] = some
        return places

    def _each(self, indices: Sequence[int]) -> list[tuple[StartStates, list[int], list[int]]]:
        """Each kind, the rows of a batch that are of it, and which of its own states these are."""
        turns = len(self.kinds)
        every = [[row for row, index in enumerate(indices) if index % turns == turn] for turn in range(turns)]
        return [
            (kind, rows, [indices[row] // turns for row in rows])
            for kind, rows in zip(self.kinds, every, strict=True)
            if rows
        ]
