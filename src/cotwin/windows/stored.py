"""Windows that are kept: in memory, or in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from cotwin.given import Given
from cotwin.windows.windows import Batch, Windows


@runtime_checkable
class Source(Protocol):
    """Kept windows: in memory, or in a file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def write(self, indices: Sequence[int], states: Tensor, rows: Sequence[int]) -> None:
        """Put the windows at `indices` into these rows of `states`, (B, W+1, C, *S)."""

    def will_read(self, indices: Sequence[int]) -> None:
        """Announce the windows that are read next."""


class StoredWindows(Windows):
    """Windows that a store keeps, read from where it put them.

    given: from some of them to what comes from outside with these.
    """

    def __init__(self, source: Source, given: Callable[[Sequence[int]], Given | None] | None = None) -> None:
        self.source, self.dtype, self.given = source, source.dtype, given

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def window_shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape[1:])

    def given_with(self, indices: Sequence[int]) -> Given | None:
        return None if self.given is None else self.given(indices)

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        self.source.write(indices, batch.states, rows)

    def will_read(self, indices: Sequence[int]) -> None:
        self.source.will_read(indices)
