"""Where generated windows go: in memory, in a file, or nowhere, made again as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Placement = Literal["memory", "cache", "on_the_fly"]


@dataclass(frozen=True)
class Choice:
    """A placement, the bytes it is for, and why, in plain words."""

    placement: Placement
    num_bytes: int
    reason: str


def choose_placement(
    num_bytes: int, memory_budget: int, disk_budget: int, override: Placement | None = None
) -> Choice:
    """Memory below half of its budget, else the cache if it fits the disk budget, else on the fly.

    All in bytes. Raises ValueError if `override` asks for more than the budget of the place it names.

    >>> choose_placement(3_000_000, memory_budget=8_000_000, disk_budget=0).reason
    '3.0 MB are under half of the memory budget (8.0 MB)'
    >>> choose_placement(4_000_000, memory_budget=8_000_000, disk_budget=0).placement
    'on_the_fly'
    """
    if num_bytes < 0 or memory_budget < 0 or disk_budget < 0:
        raise ValueError(
            f"{num_bytes} bytes under budgets of {memory_budget} (memory) and {disk_budget} (disk): "
            "none of them can be negative."
        )
    size, memory, disk = (in_words(count) for count in (num_bytes, memory_budget, disk_budget))
    if override is not None:
        if override == "memory" and num_bytes > memory_budget:
            raise ValueError(
                f"placement 'memory' needs {size}, the memory budget is {memory}; "
                "raise the budget, or let Cotwin choose the placement."
            )
        if override == "cache" and num_bytes > disk_budget:
            raise ValueError(
                f"placement 'cache' needs {size}, the disk budget is {disk}; "
                "raise the budget, or let Cotwin choose the placement."
            )
        return Choice(override, num_bytes, f"{size}; placement {override!r} was asked for")
    if 2 * num_bytes < memory_budget:
        return Choice("memory", num_bytes, f"{size} are under half of the memory budget ({memory})")
    beyond = f"{size} are not under half of the memory budget ({memory})"
    if num_bytes <= disk_budget:
        return Choice("cache", num_bytes, f"{beyond} and fit the disk budget ({disk})")
    return Choice("on_the_fly", num_bytes, f"{beyond} and exceed the disk budget ({disk})")


def in_words(num_bytes: int) -> str:
    """Bytes as people say them.

    >>> in_words(512), in_words(1_230_000), in_words(42_000_000_000)
    ('512 B', '1.2 MB', '42 GB')
    """
    size, unit = float(num_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 9.95 else f"{size:.1f} {unit}"
