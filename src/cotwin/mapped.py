"""Numbers in a file, seen as a tensor: the kernel brings pages as they are looked at, and takes them back."""

from __future__ import annotations

import math
import mmap
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Place:
    """An open file, and from which byte on the numbers of a tensor lie in it."""

    file: BinaryIO
    position: int


_MAPS: WeakKeyDictionary[mmap.mmap, tuple[BinaryIO, int]] = WeakKeyDictionary()
"""Of each map that a tensor still has: its file, and the address of the file's first byte."""


def mapped(
    file: BinaryIO, position: int, shape: Sequence[int], dtype: torch.dtype, *, writable: bool = False
) -> Tensor:
    """Numbers of an open file from a byte on, as a tensor of which all that is made sees the same file.

    No memory of the process's own is taken: neither a control group nor `ulimit -d` counts it, `ulimit -v` does.
    writable: what is written to the tensor is written to the file; to write to another ends the process.
    The file must not be cut short while the tensor is there. Raises OSError where it cannot be mapped.
    """
    length = position + dtype.itemsize * math.prod(shape)
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    own = os.fdopen(os.dup(file.fileno()), "rb", buffering=0)
    pages = mmap.mmap(own.fileno(), length, flags=mmap.MAP_SHARED, prot=protection)
    array = np.frombuffer(pages, dtype=str(dtype).removeprefix("torch."), offset=position)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.from_numpy(array).view(*shape)
    _MAPS[pages] = (own, tensor.data_ptr() - position)
    return tensor


def place_of(tensor: Tensor) -> Place | None:
    """Where the first number of a mapped tensor lies, or of a view of one; None for a tensor in memory."""
    if tensor.device.type == "cpu":
        for pages, (file, begin) in list(_MAPS.items()):
            if begin <= tensor.data_ptr() < begin + len(pages):
                return Place(file, tensor.data_ptr() - begin)
    return None
