"""Whether there is memory for what a file declares, asked before any of it is allocated; and where states are put."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import psutil
import torch
from torch import Tensor

FEWER = "read fewer fields, or cut the file into parts"


def require_room(shape: Sequence[int], item_bytes: int, what: str, cure: str = FEWER) -> None:
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


@runtime_checkable
class Room(Protocol):
    """Where states are put that are read, or made of others: in memory, or mapped from a file."""

    @property
    def most(self) -> int:
        """Bytes of them in memory."""

    def zeros(self, shape: Sequence[int], dtype: torch.dtype, what: str) -> Tensor:
        """A tensor of zeros, to be filled. Raises ValueError, naming what it is for, where there is no room."""

    def require(self, shape: Sequence[int], item_bytes: int, what: str, cure: str) -> None:
        """Raise ValueError, with the cure, for what has to be in memory and does not fit there."""


class Memory:
    """Room in memory alone."""

    @property
    def most(self) -> int:
        return psutil.virtual_memory().available

    def zeros(self, shape: Sequence[int], dtype: torch.dtype, what: str) -> Tensor:
        require_room(shape, dtype.itemsize, what)
        return torch.zeros(tuple(shape), dtype=dtype)

    def require(self, shape: Sequence[int], item_bytes: int, what: str, cure: str) -> None:
        require_room(shape, item_bytes, what, cure)


MEMORY = Memory()
