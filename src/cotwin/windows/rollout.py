"""Windows that a frozen teacher makes as they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.given import Given
from cotwin.stepper import Stepper, rollout
from cotwin.windows.start_states import StartStates, as_start_states
from cotwin.windows.windows import Batch, Windows


class RolloutWindows(Windows):
    """Windows that a frozen teacher makes as they are read, from given starts.

    starts: (M, C, *S). Nothing is kept: reading twice generates twice, with the same result to rounding.
    ahead_bytes: what batches generated ahead, while others train, may hold in memory.
    fresh_starts: from an epoch's number to its own starts, as many; without it all epochs have the same.
    given: what comes from outside with the trajectories that the starts are of, where teacher or learner needs it.
    """

    def __init__(
        self,
        teacher: Stepper,
        starts: Float[Tensor, "M C *S"] | StartStates,
        num_steps: int,
        ahead_bytes: int = 0,
        fresh_starts: Callable[[int], StartStates] | None = None,
        given: Given | None = None,
    ) -> None:
        self.starts = as_start_states(starts)
        teacher.layout.require_state((len(self.starts), *self.starts.state_shape))
        if num_steps < 1:
            raise ValueError(f"num_steps is {num_steps}; a window has at least one step.")
        self.teacher, self.num_steps, self.given = teacher, num_steps, given
        self.ahead_bytes, self.fresh_starts, self.dtype = ahead_bytes, fresh_starts, self.starts.dtype
        self.renewed = fresh_starts is not None
        self._stream: torch.cuda.Stream | None = None  # which torch.cuda.stream takes for no change
        if teacher.device.type == "cuda":
            self._stream = torch.cuda.Stream(teacher.device)
            self._stream.wait_stream(torch.cuda.current_stream(teacher.device))  # until the teacher is there

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def window_shape(self) -> tuple[int, ...]:
        return (self.num_steps + 1, *self.starts.state_shape)

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        # The copy to the CPU waits for this stream alone, not for the training step on the usual one.
        with torch.cuda.stream(self._stream):
            batch.states[list(rows)] = self.generate(indices).to(batch.states)

    def epoch(self, number: int) -> RolloutWindows:
        if self.fresh_starts is None:
            return self
        return RolloutWindows(
            self.teacher, self.fresh_starts(number), self.num_steps, self.ahead_bytes, self.fresh_starts, self.given
        )

    def given_with(self, indices: Sequence[int]) -> Given | None:
        return None if self.given is None else self.given.window(*self.starts.places(indices), self.num_steps)

    def generate(self, indices: Sequence[int]) -> Float[Tensor, "B T C *S"]:
        """The windows at these indices, made in one rollout; an inference tensor on the teacher's device."""
        starts = self.starts.take(indices)
        with torch.inference_mode():
            return rollout(self.teacher, starts.to(self.teacher.device), self.num_steps, self.given_with(indices))
