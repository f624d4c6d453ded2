"""Windows after random moves that commute with the system: what follows from them is as true."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.seeds import seeded
from cotwin.symmetries import Moves, Symmetries, drawn, moved
from cotwin.windows.windows import Batch, Windows


class MovedWindows(Windows):
    """Other windows, each after a random one of a stepper's symmetries, drawn anew in each epoch.

    Which, the seed, the epoch's number and the window's index say. Raises ValueError for windows with readings, whose
    places would have to move too.
    """

    def __init__(self, inner: Windows, symmetries: Symmetries, layout: Layout, seed: int, number: int = 0) -> None:
        if inner.readings_with([0]) is not None:
            raise ValueError("windows with readings of sensors cannot be moved; give none.")
        self.inner, self.symmetries, self.layout, self.seed, self.number = inner, symmetries, layout, seed, number
        self.ahead_bytes, self.renewed = inner.ahead_bytes, inner.renewed
        self.mask_dtype, self.dtype = inner.mask_dtype, inner.dtype

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def window_shape(self) -> tuple[int, ...]:
        return self.inner.window_shape

    @cached_property
    def moves(self) -> Moves:
        """Of all windows, in this epoch."""
        return drawn(self.symmetries, self.layout, len(self), seeded(self.seed, self.number))

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        self.inner.write(indices, batch, rows)
        chosen, moves = list(rows), self.moves.rows(indices)
        batch.states[chosen] = moved(batch.states[chosen], moves, self.symmetries, self.layout)
        if batch.mask is not None:
            # How sure a value is has no sign.
            seen = moved(batch.mask[chosen].to(self.dtype), moves, self.symmetries, self.layout).abs()
            batch.mask[chosen] = seen.to(batch.mask.dtype)

    def given_with(self, indices: Sequence[int]) -> Given | None:
        return self.inner.given_with(indices)

    def will_read(self, indices: Sequence[int]) -> None:
        self.inner.will_read(indices)

    def epoch(self, number: int) -> MovedWindows:
        return MovedWindows(self.inner.epoch(number), self.symmetries, self.layout, self.seed, number)
