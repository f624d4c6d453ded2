"""Whether there is memory for what a file declares, asked before any of it is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import psutil


def require_room(
    shape: Sequence[int], item_bytes: int, what: str, cure: str = "read fewer fields, or cut the file into parts"
) -> None:
    """Raise ValueError, naming what it is, where an array of this shape would not fit into the free memory."""
    needed, free = math.prod(shape) * item_bytes, psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"{what} has shape {tuple(shape)}, which takes {needed / 1e9:,.3g} GB of memory, and "
            f"{free / 1e9:,.3g} GB are free; {cure}."
        )


def is_large(shape: Sequence[int], item_bytes: int) -> bool:
    """Whether an array of this shape would take more than an eighth of the free memory."""
    return math.prod(shape) * item_bytes * 8 > psutil.virtual_memory().available
