"""States that generated windows start from, made as they are asked for: a large set's starts need little memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


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

    def every(self) -> Float[Tensor, "M C *S"]:
        """All of them at once."""
        return self.take(range(len(self)))


class PickedStates(StartStates):
    """Some of given states, each perhaps several times.

    states: (F, C, *S); kept as they are, so that a view stays one.
    order: which of them; all in their order if not given.
    """

    def __init__(self, states: Float[Tensor, "F C *S"], order: Int[Tensor, "M"] | None = None) -> None:
        self.states, self.dtype = states, states.dtype
        self.order = torch.arange(len(states)) if order is None else order

    def __len__(self) -> int:
        return len(self.order)

    @property
    def state_shape(self) -> tuple[int, ...]:
        return tuple(self.states.shape[1:])

    def take(self, indices: Sequence[int]) -> Float[Tensor, "B C *S"]:
        return self.states[self.order[torch.as_tensor(indices)]]

    def picked(self, order: Int[Tensor, "M"]) -> PickedStates:
        """Some of these."""
        return PickedStates(self.states, self.order[order])


def as_start_states(states: Tensor | StartStates) -> StartStates:
    """Given states as what windows start from."""
    return PickedStates(states) if isinstance(states, Tensor) else states
