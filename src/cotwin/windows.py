"""Windows of W + 1 consecutive states, served in batches: what both models train on.

Each kind is a map-style torch Dataset whose `__getitems__` returns one collated `Batch`, so a standard
`torch.utils.data.DataLoader` can serve it:

    DataLoader(windows, batch_size=16, shuffle=True, collate_fn=collate)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from cotwin.start_states import PickedStates


class Batch(NamedTuple):
    """Windows side by side.

    states: (B, W+1, C, *S), the start included.
    weight: (B,), the influence of each window on the loss.
    mask: like states, True where a state was observed; None where all of them were.
    """

    states: Tensor
    weight: Tensor
    mask: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        mask = None if self.mask is None else self.mask.to(device)
        return Batch(self.states.to(device), self.weight.to(device), mask)


def collate(batch: Batch) -> Batch:
    """For DataLoader's `collate_fn`: `__getitems__` has collated already."""
    return batch


class Windows(Dataset[Batch], ABC):
    """Windows of one length, on the CPU. `self[indices]` by `__getitems__`; an index always gives one window.

    A kind says how to `write` its windows into a batch, so that joining kinds copies each window once.
    """

    # What batches prepared ahead by a thread may hold; 0 where reading is a copy, not worth a thread.
    ahead_bytes: int = 0
    # Whether batches carry a mask.
    masked: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def window_shape(self) -> tuple[int, ...]:
        """(W+1, C, *S)."""

    @abstractmethod
    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        """Put the windows at `indices` into these rows of a batch, where weights are one and masks True."""

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """One collated batch. Raises IndexError for an index outside 0 … len − 1."""
        if len(indices) and not (min(indices) >= 0 and max(indices) < len(self)):
            raise IndexError(f"indices from {min(indices)} to {max(indices)}, of {len(self)} windows.")
        shape = (len(indices), *self.window_shape)
        mask = torch.ones(shape, dtype=torch.bool) if self.masked else None
        # NumPy asks the kernel for huge pages, which spares thousands of page faults a batch; torch does not.
        states = torch.from_numpy(np.empty(shape, dtype=np.float32))
        batch = Batch(states, torch.ones(len(indices)), mask)
        self.write(indices, batch, range(len(indices)))
        return batch

    def __getitem__(self, index: int) -> Batch:
        """One window, as a batch of one."""
        return self.__getitems__([index])

    @property
    def num_bytes(self) -> int:
        """Bytes of all windows in float32, were they kept."""
        return len(self) * self.window_bytes

    @property
    def window_bytes(self) -> int:
        """Bytes of one window in float32."""
        return 4 * math.prod(self.window_shape)

    def will_read(self, indices: Sequence[int]) -> None:
        """Hear which windows are asked for next; a kind that reads a disk can have it begin."""

    def epoch(self, number: int) -> Windows:
        """The windows of an epoch: these, unless a kind has others in each."""
        return self


class SlidingWindows(Windows):
    """Every window of `num_steps` steps in some trajectories; a view of them, no copy.

    trajectories: (N, T, C, *S), contiguous.
    mask: the same shape, True where observed. A window whose first state is not wholly observed cannot be
        rolled out from, and is left out.
    stride: frames between the starts of successive windows.

    Raises ValueError if the window is longer than the trajectories, or no window can start.

    >>> windows = SlidingWindows(torch.randn(2, 10, 1, 32), num_steps=4)
    >>> len(windows), windows.window_shape
    (12, (5, 1, 32))
    """

    def __init__(
        self,
        trajectories: Float[Tensor, "N T C *S"],
        num_steps: int,
        mask: Bool[Tensor, "N T C *S"] | None = None,
        stride: int = 1,
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
        self.masked = mask is not None
        # Where windows start, if some are left out; kept for all, it could be larger than small trajectories are.
        self._observed_starts: Tensor | None = None
        if mask is not None:
            observed = mask.flatten(0, 1).flatten(1).all(dim=1)
            every = self._every_start()
            self._observed_starts = every[observed[every]]
            if len(self._observed_starts) == 0:
                raise ValueError("no window starts from a wholly observed state; a rollout needs one.")

    def __len__(self) -> int:
        return self._count * self._in_each if self._observed_starts is None else len(self._observed_starts)

    @property
    def window_shape(self) -> tuple[int, ...]:
        return tuple(self.view.shape[1:])

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        frames = self._starts_of(torch.as_tensor(indices)).tolist()
        copy_windows(self.view, frames, batch.states, rows)
        if self.mask_view is not None and batch.mask is not None:
            copy_windows(self.mask_view, frames, batch.mask, rows)

    def starts(self) -> PickedStates:
        """The first state of every window, a view: where generated windows may start."""
        every = self._every_start() if self._observed_starts is None else self._observed_starts
        return PickedStates(self.view[:, 0], every)

    def _starts_of(self, indices: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """The frames, counted over all trajectories, where these windows start."""
        if self._observed_starts is not None:
            return self._observed_starts[indices]
        return indices // self._in_each * self._frames + indices % self._in_each * self._stride

    def _every_start(self) -> Int[Tensor, "M"]:
        """The same for all windows that there could be."""
        within = torch.arange(self._in_each) * self._stride
        return (torch.arange(self._count)[:, None] * self._frames + within).flatten()


@runtime_checkable
class Source(Protocol):
    """Kept windows: in memory, or in a file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def write(self, indices: Sequence[int], states: Tensor, rows: Sequence[int]) -> None:
        """Put the windows at `indices` into these rows of `states`, (B, W+1, C, *S)."""

    def will_read(self, indices: Sequence[int]) -> None:
        """Hear which windows are asked for next."""


class StoredWindows(Windows):
    """Windows that a store keeps, read from where it put them."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def window_shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape[1:])

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        self.source.write(indices, batch.states, rows)

    def will_read(self, indices: Sequence[int]) -> None:
        self.source.will_read(indices)


class JoinedWindows(Windows):
    """Real windows followed by generated ones, weighted so that generated data count alpha times.

    With n_r real and n_g generated windows of losses ℓ, the weights are (n_r+n_g)/n_r and
    alpha·(n_r+n_g)/n_g, so the mean of weight·ℓ over all windows is L + alpha·I, L the mean loss of the real
    windows and I that of the generated ones, however many were generated.

    >>> real = SlidingWindows(torch.randn(1, 10, 1, 8), num_steps=1)
    >>> generated = SlidingWindows(torch.randn(1, 4, 1, 8), num_steps=1)
    >>> JoinedWindows(real, generated, alpha=0.5).__getitems__([0, 11]).weight
    tensor([1.3333, 2.0000])
    """

    def __init__(self, real: Windows, generated: Windows, alpha: float) -> None:
        if real.window_shape != generated.window_shape:
            raise ValueError(f"real windows are {real.window_shape}, generated ones {generated.window_shape}.")
        if alpha < 0:
            raise ValueError(f"alpha is {alpha}; the influence of generated data cannot be negative.")
        self.real, self.generated, self.alpha = real, generated, alpha
        self.ahead_bytes = generated.ahead_bytes
        self.masked = real.masked or generated.masked
        total = len(real) + len(generated)
        self.real_weight = total / len(real)
        self.generated_weight = alpha * total / len(generated)

    def __len__(self) -> int:
        return len(self.real) + len(self.generated)

    @property
    def window_shape(self) -> tuple[int, ...]:
        return self.real.window_shape

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        first = len(self.real)
        placed = list(zip(indices, rows, strict=True))
        real = [(index, row) for index, row in placed if index < first]
        generated = [(index - first, row) for index, row in placed if index >= first]
        for windows, weight, part in (
            (self.real, self.real_weight, real),
            (self.generated, self.generated_weight, generated),
        ):
            if part:
                own_indices, own_rows = zip(*part, strict=True)
                windows.write(own_indices, batch, own_rows)
                batch.weight[list(own_rows)] *= weight

    def will_read(self, indices: Sequence[int]) -> None:
        first = len(self.real)
        self.real.will_read([index for index in indices if index < first])
        self.generated.will_read([index - first for index in indices if index >= first])

    def epoch(self, number: int) -> JoinedWindows:
        generated = self.generated.epoch(number)
        return self if generated is self.generated else JoinedWindows(self.real, generated, self.alpha)


def copy_windows(source: Tensor, indices: Sequence[int], target: Tensor, rows: Sequence[int]) -> None:
    """target[rows] = source[indices], each window copied once; torch's indexing would gather a copy first."""
    # NumPy: it copies a row in half a microsecond, where torch takes five to dispatch.
    out_of, into = source.numpy(), target.numpy()
    for index, row in zip(indices, rows, strict=True):
        into[row] = out_of[index]


def _overlapping(frames: Tensor, num_steps: int) -> Tensor:
    """A view of (N, T, …) as (N·T − W, W+1, …): row r starts at frame r, whichever trajectory that is in."""
    if not frames.is_contiguous():
        raise ValueError("trajectories must be contiguous, so that windows can be a view of them.")
    flat = frames.flatten(0, 1)
    return flat.as_strided((len(flat) - num_steps, num_steps + 1, *flat.shape[1:]), (flat.stride(0), *flat.stride()))
