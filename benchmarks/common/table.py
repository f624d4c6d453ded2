"""Goals beside what was measured, and tables, for a terminal and for the docs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Goal:
    """A figure that should be at least, or at most, so much."""

    what: str
    side: Literal["at least", "at most"]
    bound: float
    measured: float

    @property
    def reached(self) -> bool:
        return self.measured >= self.bound if self.side == "at least" else self.measured <= self.bound


def show_goals(goals: Sequence[Goal]) -> None:
    show(
        ("goal", "", "", "measured", ""),
        [
            (goal.what, goal.side, short(goal.bound), short(goal.measured), "" if goal.reached else "MISSED")
            for goal in goals
        ],
    )


def show(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need be; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells).rstrip(), flush=True)
    print(flush=True)


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    lines = [" | ".join(row) for row in (head, *rows)]
    columns = lines[0].count("|") + 1
    print(f"| {lines[0]} |\n{'|---' * columns}|")
    print("\n".join(f"| {line} |" for line in lines[1:]) + "\n")


def short(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
