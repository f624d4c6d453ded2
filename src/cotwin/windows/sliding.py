"""Every window of real trajectories, as a view of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.given import Given
from cotwin.windows.start_states import PickedStates
from cotwin.windows.windows import Batch, Windows, copy_windows


class SlidingWindows(Windows):
    """Every window of `num_steps` steps in some trajectories; a view of them, no copy.

    trajectories: (N, T, C, *S), contiguous.
    mask: the same shape, True where observed; or how sure each state is, in [0, 1].
    stride: frames between the starts of successive windows.
    starts: (N, T), the frames that a rollout may start from; others start no window. Where they are not given, those
        that are wholly observed.
    given: what comes from outside with the trajectories, for models that need it.

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
        self.view = _overlapping(trajectories, num_steps)
        self.mask_view = None if mask is None else _overlapping(mask, num_steps)
        self._mask = None if mask is None else mask.flatten(0, 1)
        self.mask_dtype, self.dtype, self.given = None if mask is None else mask.dtype, trajectories.dtype, given
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
        return tuple(self.view.shape[1:])

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        frames = self._starts_of(torch.as_tensor(indices, dtype=torch.long)).tolist()
        copy_windows(self.view, frames, batch.states, rows)
        if self.mask_view is not None and batch.mask is not None:
            copy_windows(self.mask_view, frames, batch.mask, rows)

    def given_with(self, indices: Sequence[int]) -> Given | None:
        if self.given is None:
            return None
        frames = self._starts_of(torch.as_tensor(indices, dtype=torch.long))
        return self.given.window(frames // self._frames, frames % self._frames, self.window_shape[0] - 1)

    def scored_values(self, static: Sequence[bool]) -> int:
        """How many measured values predictions are compared with, each counted once although windows overlap.

        static: for each channel, whether it is given and not compared.
        """
        scored = torch.zeros(self._count * self._frames, dtype=torch.bool)
        starts = self._starts_of(torch.arange(len(self)))
        for step in range(1, self.window_shape[0]):
            scored[starts + step] = True
        moving = torch.tensor([not given for given in static])
        if self._mask is None:
            return int(scored.sum() * moving.sum()) * math.prod(self.window_shape[2:])
        return int((self._mask[scored][:, moving] > 0).sum())

    def starts(self) -> PickedStates:
        """The first state of every window, a view: where generated windows may start."""
        every = self._every_start() if self._chosen_starts is None else self._chosen_starts
        return PickedStates(self.view[:, 0], every, self._frames)

    def _starts_of(self, indices: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """The frames, counted over all trajectories, where these windows start."""
        if self._chosen_starts is not None:
            return self._chosen_starts[indices]
        return indices // self._in_each * self._frames + indices % self._in_each * self._stride

    def _every_start(self) -> Int[Tensor, "M"]:
        """The same for all windows that there could be."""
        within = torch.arange(self._in_each) * self._stride
        return (torch.arange(self._count)[:, None] * self._frames + within).flatten()


def _overlapping(frames: Tensor, num_steps: int) -> Tensor:
    """A view of (N, T, …) as (N·T − W, W+1, …): row r starts at frame r, whichever trajectory that is in."""
    if not frames.is_contiguous():
        raise ValueError("trajectories must be contiguous, so that windows can be a view of them.")
    flat = frames.flatten(0, 1)
    return flat.as_strided((len(flat) - num_steps, num_steps + 1, *flat.shape[1:]), (flat.stride(0), *flat.stride()))
