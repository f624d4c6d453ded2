"""Rows of the table in docs/estimation.md, as each script here prints them, and where third-party data lie."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cotwin.estimation import Interval

DATA = Path(__file__).resolve().parents[3] / "shared/data"


@dataclass(frozen=True)
class Row:
    """One line: a problem, what was published of it, what was asked of us, and what was measured."""

    problem: str
    published: str
    goal: str
    measured: str


class Clock:
    """Wall time since it was made, or last asked."""

    def __init__(self) -> None:
        self.began = time.perf_counter()

    def seconds(self) -> float:
        """Since then; begins anew."""
        before, self.began = self.began, time.perf_counter()
        return self.began - before


def show(row: Row, script: str, seconds: float | None = None) -> None:
    """As a line of Markdown; without seconds where they are those of the line before."""
    took = "" if seconds is None else f"{seconds:.0f}"
    cells = (row.problem, row.published, row.goal, row.measured, f"`{Path(script).name}`", took)
    print(f"| {' | '.join(cells)} |", flush=True)


def percent(interval: Interval, truth: float) -> float:
    """The relative error of an estimated number, in percent, with its sign."""
    return 100 * (float(interval.value) / truth - 1)


def covers(interval: Interval, truth: float) -> bool:
    """Whether the interval contains the truth."""
    return float(interval.low) <= truth <= float(interval.high)


def rms(errors: Sequence[float]) -> float:
    """Root mean square."""
    return math.sqrt(sum(error * error for error in errors) / len(errors))
