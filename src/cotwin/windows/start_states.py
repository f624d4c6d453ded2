"""States that generated windows start from, made as they are asked for: a large set's starts need little memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.windows.frames import Frames, FramesInMemory


class Places(NamedTuple):
    """Trajectories, by their rows, and frames in them, each (B,)."""

    rows: Int[Tensor, " B"]
    frames: Int[Tensor, " B"]


class StartStates(ABC):
    """M states (C, *S), on the CPU; an index always gives the same state.

    dtype: their precision.
    """

    dtype: torch.dtype

    # Whether states cost the same in any order.
    random_access: bool = True

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def state_shape(self) -> tuple[int, ...]:
        """(C, *S)."""

    @abstractmethod
    def take(self, indices: Sequence[int]) -> Float[Tensor, "B C *S"]:
        """The states at these indices, as new memory."""

    def places(self, indices: Sequence[int]) -> Places:
        """Where these states are in the trajectories that something is given with.

        Here state i is the first of trajectory i.
        """
        rows = torch.as_tensor(indices, dtype=torch.long)
        return Places(rows, torch.zeros_like(rows))

    def every(self) -> Float[Tensor, "M C *S"]:
        """All of them at once."""
        return self.take(range(len(self)))


class PickedStates(StartStates):
    """Some of given states, each perhaps several times.

    states: (F, C, *S), or the frames of trajectories, counted one trajectory after the other; no copy is made.
    order: which of them; all in their order if not given.
    """

    def __init__(self, states: Float[Tensor, "F C *S"] | Frames, order: Int[Tensor, "M"] | None = None) -> None:
        self.states = states if isinstance(states, Frames) else FramesInMemory(states[:, None])
        self.dtype, self.frames = self.states.dtype, self.states.shape[1]
        self.order = torch.arange(self.states.shape[0] * self.frames) if order is None else order

    def __len__(self) -> int:
        return len(self.order)

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self.states.shape[2:]

    def take(self, indices: Sequence[int]) -> Float[Tensor, "B C *S"]:
        # Not of `places`, which says where they are in the trajectories that something is given with.
        rows, frames = self._kept(indices)
        return self.states.take(rows.tolist(), frames.tolist())

    def places(self, indices: Sequence[int]) -> Places:
        return self._kept(indices)

    def _kept(self, indices: Sequence[int]) -> Places:
        index = self.order[torch.as_tensor(indices)]
        return Places(index // self.frames, index % self.frames)

    def picked(self, order: Int[Tensor, "M"]) -> PickedStates:
        """Some of these."""
        return PickedStates(self.states, self.order[order])


class DrawnStates(PickedStates):
    """States that were drawn before they are asked for, and where they are."""

    def __init__(self, drawn: StartStates) -> None:
        super().__init__(drawn.every())
        self.drawn_at = drawn.places(range(len(drawn)))

    def places(self, indices: Sequence[int]) -> Places:
        index = torch.as_tensor(indices)
        return Places(self.drawn_at.rows[index], self.drawn_at.frames[index])


def as_start_states(states: Tensor | StartStates) -> StartStates:
    """Given states as what windows start from."""
    return PickedStates(states) if isinstance(states, Tensor) else states
