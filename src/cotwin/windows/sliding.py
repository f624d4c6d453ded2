"""Every window of real trajectories, read from where they lie."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.given import Given
from cotwin.pieces import pieces
from cotwin.sensors import Sensors
from cotwin.windows.frames import frames_of
from cotwin.windows.start_states import PickedStates
from cotwin.windows.windows import Batch, Windows


class SlidingWindows(Windows):
    """Every window of `num_steps` steps in some trajectories, in memory or mapped from a file; no copy is made.

    trajectories: (N, T, C, *S).
    mask: the same shape, True where observed; or how sure each state is, in [0, 1].
    stride: frames between the starts of successive windows.
    starts: (N, T), the frames that a rollout may start from; others start no window. Where they are not given, those
        that are wholly observed.
    given: what comes from outside with the trajectories, for models that need it.
    readings: of sensors along the trajectories, which predictions are compared with beside the states.

    Raises ValueError if the window is longer than the trajectories, or no window can start.

    >>> windows = SlidingWindows(torch.randn(2, 10, 1, 32), num_steps=4)
    >>> len(windows), windows.window_shape
    (12, (5, 1, 32))
    """

    def __init__(
        self,
        trajectories: Float[Tensor, "N T C *S"],
        num_steps: int,
        mask: Bool[Tensor, "N T C *S"] | Float[Tensor, "N T C *S"] | None = None,
        stride: int = 1,
        starts: Bool[Tensor, "N T"] | None = None,
        given: Given | None = None,
        readings: Sensors | None = None,
    ) -> None:
        count, frames = trajectories.shape[:2]
        if num_steps < 1 or stride < 1:
            raise ValueError(f"num_steps is {num_steps} and stride {stride}; both must be at least 1.")
        if num_steps >= frames:
            raise ValueError(
                f"a window of {num_steps} steps needs {num_steps + 1} frames, the trajectories have "
                f"{frames}; use at most {frames - 1} steps."
            )
        self._count, self._frames, self._stride = count, frames, stride
        self._in_each = len(range(0, frames - num_steps, stride))  # windows in a trajectory
        self._steps, self._states = num_steps, frames_of(trajectories)
        self._mask = mask
        self._seen = None if mask is None else frames_of(mask)
        self.mask_dtype, self.dtype, self.given = None if mask is None else mask.dtype, trajectories.dtype, given
        self.readings = readings
        # Kept only if some are left out: of small trajectories the list could take more memory than they do.
        self._chosen_starts: Tensor | None = None
        if starts is None and mask is not None:
            starts = mask.flatten(2).all(dim=2)
        if starts is not None:
            every = self._every_start()
            self._chosen_starts = every[starts.flatten()[every]]
            if len(self._chosen_starts) == 0:
                raise ValueError(
                    f"no window of {num_steps} steps starts from a state that a rollout can start from; use shorter "
                    "windows, or fill the holes of some states and name those in `starts`."
                )

    def __len__(self) -> int:
        return self._count * self._in_each if self._chosen_starts is None else len(self._chosen_starts)

    @property
    def window_shape(self) -> tuple[int, ...]:
        return (self._steps + 1, *self._states.shape[2:])

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        starts = self._places(indices)
        self._states.write(*starts, batch.states, rows)
        if self._seen is not None and batch.mask is not None:
            self._seen.write(*starts, batch.mask, rows)

    def will_read(self, indices: Sequence[int]) -> None:
        for frames in (self._states, self._seen):
            if frames is not None and frames.in_file:
                frames.will_read(*self._places(indices), self._steps + 1)

    def given_with(self, indices: Sequence[int]) -> Given | None:
        if self.given is None:
            return None
        frames = self._starts_of(torch.as_tensor(indices, dtype=torch.long))
        return self.given.window(frames // self._frames, frames % self._frames, self._steps)

    def readings_with(self, indices: Sequence[int]) -> Sensors | None:
        if self.readings is None:
            return None
        starts = self._starts_of(torch.as_tensor(indices, dtype=torch.long))
        return self.readings.between(starts // self._frames, starts % self._frames, self._steps)

    def scored_values(self, static: Sequence[bool]) -> int:
        """How many measured values predictions are compared with, each counted once although windows overlap.

        static: for each channel, whether it is given and not compared.
        """
        scored = torch.zeros(self._count * self._frames, dtype=torch.bool)
        starts = self._starts_of(torch.arange(len(self)))
        for step in range(1, self._steps + 1):
            scored[starts + step] = True
        moving = torch.tensor([not given for given in static])
        if self.readings is not None:
            at = self.readings.row * self._frames + self.readings.steps.ceil().long()
            return int(scored[at].sum())
        if self._mask is None:
            return int(scored.sum() * moving.sum()) * math.prod(self.window_shape[2:])
        within, count = scored.view(self._count, self._frames), 0
        for piece in pieces(self._mask):
            seen = (piece.of(self._mask) > 0).flatten(3).sum(dim=3)
            count += int(seen[piece.of(within)][:, moving].sum())
        return count

    def starts(self) -> PickedStates:
        """The first state of every window: where generated windows may start."""
        every = self._every_start() if self._chosen_starts is None else self._chosen_starts
        return PickedStates(self._states, every)

    def _places(self, indices: Sequence[int]) -> tuple[list[int], list[int]]:
        """Rows and frames where these windows start."""
        starts = self._starts_of(torch.as_tensor(indices, dtype=torch.long))
        return (starts // self._frames).tolist(), (starts % self._frames).tolist()

    def _starts_of(self, indices: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """The frames, counted over all trajectories, where these windows start."""
        if self._chosen_starts is not None:
            return self._chosen_starts[indices]
        return indices // self._in_each * self._frames + indices % self._in_each * self._stride

    def _every_start(self) -> Int[Tensor, "M"]:
        """The same for all windows that there could be."""
        within = torch.arange(self._in_each) * self._stride
        return (torch.arange(self._count)[:, None] * self._frames + within).flatten()
