"""Where a rollout is, and what of it changes along the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Float

Stretches = Float[np.ndarray, "N 2"]
"""Beginnings and ends, in intervals of the data from the start of a rollout."""

Instant = tuple[float, float, float]
"""What is there within a substep: shares of the value at its beginning, of its mean and of the value at its end."""

BEGINNING, MEAN, END = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)

T = TypeVar("T")
Rows = Callable[[Stretches], Iterable[T]]
"""From some substeps to what is in the first of them, and maybe in those after it."""

TOGETHER, MOST = 64, 2**17  # substeps for which values are made at once, and how many numbers: little memory


class Clock:
    """Tells which substep of a rollout it is, and which stage of it.

    stretches: the substeps, one after the other.
    stage: of the scheme, counted from 0; −1 for the mean over the substep.
    As a context it keeps nothing afterwards of what was followed.
    """

    def __init__(self, stretches: Stretches) -> None:
        self.stretches, self.stage = stretches, -1
        self._followed: list[Present[Any]] = []

    def __enter__(self) -> Clock:
        return self

    def __exit__(self, *error: object) -> None:
        # It and what is followed refer to each other, and would stay in memory for a while.
        for one in self._followed:
            one.forget()
        self._followed.clear()

    def follow(self, rows: Rows[T], size: int = 1) -> Present[T]:
        """What is in the present substep. size: of a row, in numbers."""
        present = Present(self.stretches, rows, max(1, min(TOGETHER, MOST // size)))
        self._followed.append(present)
        return present

    def by_stage(self, function: Callable[[T], T]) -> Callable[[T], T]:
        """A function whose calls are in one stage of the substep after the other."""
        coming = count()

        def called(argument: T) -> T:
            self.stage = next(coming)
            found = function(argument)
            self.stage = -1
            return found

        return called

    def turn(self, place: int) -> None:
        """To a substep, by its number."""
        for one in self._followed:
            one.turn(place)

    def settle(self) -> None:
        """Make all that is followed now, and not when it is first asked for."""
        for one in self._followed:
            one()


class Present(Generic[T]):
    """What is in the present substep, made when it is first asked for, for several substeps at once."""

    def __init__(self, stretches: Stretches, rows: Rows[T], together: int) -> None:
        self._stretches, self._rows, self._together, self._place = stretches, rows, together, 0
        self._made: dict[int, T] = {}
        self._now: T | None = None

    def turn(self, place: int) -> None:
        """To a substep, by its number."""
        self._place, self._now = place, None

    def __call__(self) -> T:
        if self._now is None:
            if self._place not in self._made:
                rows = self._rows(self._stretches[self._place : self._place + self._together])
                self._made = dict(enumerate(rows, start=self._place))
            self._now = self._made[self._place]
        return self._now

    def forget(self) -> None:
        """What was made, and how."""
        self._made, self._now = {}, None
        del self._rows
