"""Windows of W + 1 consecutive states, served in batches: what both models train on.

Each kind is a map-style torch Dataset whose `__getitems__` returns one collated `Batch`, so a standard
`torch.utils.data.DataLoader` can serve it:

    DataLoader(windows, batch_size=16, shuffle=True, collate_fn=collate)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cotwin.given import Given
from cotwin.sensors import Sensors


class Batch(NamedTuple):
    """Windows side by side.

    states: (B, W+1, C, *S), the start included.
    weight: (B,), the influence of each window on the loss.
    measured: (B,), True for windows of real trajectories, False for generated ones.
    mask: like states, how sure they are: True where a state was observed, False where not, or a number between, by
        which its error counts; None where all were observed.
    given: what comes from outside with each window; None where models need nothing.
    readings: of sensors after the windows' starts, `row` the window's; None where there are none.
    """

    states: Tensor
    weight: Tensor
    measured: Tensor
    mask: Tensor | None = None
    given: Given | None = None
    readings: Sensors | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        mask = None if self.mask is None else self.mask.to(device)
        given = None if self.given is None else self.given.to(device)
        readings = None if self.readings is None else self.readings.to(device)
        return Batch(self.states.to(device), self.weight.to(device), self.measured.to(device), mask, given, readings)

    def rows(self, rows: slice | Sequence[int]) -> Batch:
        """Some of the windows."""
        rows = rows if isinstance(rows, slice) else list(rows)
        mask = None if self.mask is None else self.mask[rows]
        given = None if self.given is None else self.given.rows(rows)
        readings = None if self.readings is None else self.readings.of_rows(rows, len(self.states))
        return Batch(self.states[rows], self.weight[rows], self.measured[rows], mask, given, readings)


def collate(batch: Batch) -> Batch:
    """For DataLoader's `collate_fn`: `__getitems__` has collated already."""
    return batch


class Windows(Dataset[Batch], ABC):
    """Windows of one length, on the CPU. `self[indices]` by `__getitems__`; an index always gives one window.

    A kind says how to `write` its windows into a batch, so that joining kinds copies each window once.
    """

    # What batches prepared ahead by a thread may hold; 0 where reading is a copy, not worth a thread.
    ahead_bytes: int = 0
    # Whether each epoch has other windows, so that an index means another one.
    renewed: bool = False
    # What masks in batches are, torch.bool or the states' own dtype; None where batches carry none.
    mask_dtype: torch.dtype | None = None
    # Precision of the states in a batch.
    dtype: torch.dtype = torch.float32

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def window_shape(self) -> tuple[int, ...]:
        """(W+1, C, *S)."""

    @abstractmethod
    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        """Put the windows at `indices` into these rows of a batch, where weights are one, measured and masks True."""

    def given_with(self, indices: Sequence[int]) -> Given | None:
        """What comes from outside with these windows; None where there is nothing."""
        return None

    def readings_with(self, indices: Sequence[int]) -> Sensors | None:
        """What sensors read along these windows; None where there are none."""
        return None

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """One collated batch. Raises IndexError for an index outside 0 … len − 1."""
        if len(indices) and not (min(indices) >= 0 and max(indices) < len(self)):
            raise IndexError(f"indices from {min(indices)} to {max(indices)}, of {len(self)} windows.")
        shape = (len(indices), *self.window_shape)
        mask = None if self.mask_dtype is None else torch.ones(shape, dtype=self.mask_dtype)
        # NumPy asks the kernel for huge pages, which spares thousands of page faults a batch; torch does not.
        states = torch.from_numpy(np.empty(shape, dtype=str(self.dtype).removeprefix("torch.")))
        batch = Batch(states, torch.ones(len(indices)), torch.ones(len(indices), dtype=torch.bool), mask)
        batch = batch._replace(given=self.given_with(indices), readings=self.readings_with(indices))
        self.write(indices, batch, range(len(indices)))
        return batch

    def __getitem__(self, index: int) -> Batch:
        """One window, as a batch of one."""
        return self.__getitems__([index])

    @property
    def num_bytes(self) -> int:
        """Bytes of all windows, were they kept."""
        return len(self) * self.window_bytes

    @property
    def window_bytes(self) -> int:
        """Bytes of one window."""
        return self.dtype.itemsize * math.prod(self.window_shape)

    def will_read(self, indices: Sequence[int]) -> None:
        """Announce the windows that are read next, so that a disk can begin to fetch them."""

    def epoch(self, number: int) -> Windows:
        """The windows of an epoch: these, unless a kind has others in each."""
        return self


def copy_windows(source: Tensor, indices: Sequence[int], target: Tensor, rows: Sequence[int]) -> None:
    """target[rows] = source[indices], each window copied once; torch's indexing would gather a copy first."""
    # NumPy: it copies a row in half a microsecond, where torch takes five to dispatch.
    out_of, into = source.numpy(), target.numpy()
    for index, row in zip(indices, rows, strict=True):
        into[row] = out_of[index]
