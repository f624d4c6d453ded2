"""Room for real data: in memory for little, and for more in files of the cache's disk that have no name."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cotwin.folder import reserve
from cotwin.mapped import mapped
from cotwin.store.placement import in_words
from cotwin.store.root import claim_root, open_root
from cotwin.store.window_file import nameless


class MemoryOrDisk:
    """A `cotwin.data.room.Room`.

    root: the cache directory. most: bytes of what is put in memory; a file that holds more goes with the last tensor
    that sees it.
    """

    def __init__(self, root: Path, most: int) -> None:
        self.root, self.most = root, most

    def zeros(self, shape: Sequence[int], dtype: torch.dtype, what: str) -> Tensor:
        num_bytes = dtype.itemsize * math.prod(shape)
        if num_bytes <= self.most:
            return torch.zeros(tuple(shape), dtype=dtype)
        try:
            with open_root(claim_root(self.root)) as folder, nameless(folder) as file:
                reserve(file.fileno(), num_bytes)
                os.truncate(file.fileno(), num_bytes)  # where the file system cannot reserve
                return mapped(file, 0, shape, dtype, writable=True)
        except OSError as error:
            raise ValueError(
                f"{what} takes {in_words(num_bytes)}, more than half of the memory budget, and {self.root} does not "
                f"take it ({error.strerror or error}); make room there, name a directory on another disk with "
                "store.cache_dir, or raise store.memory_budget_gb."
            ) from error

    def require(self, shape: Sequence[int], item_bytes: int, what: str, cure: str) -> None:
        needed = item_bytes * math.prod(shape)
        if needed > self.most:
            raise ValueError(
                f"{what} takes {in_words(needed)} of memory, more than half of the memory budget "
                f"({in_words(2 * self.most)}); {cure}, or raise store.memory_budget_gb."
            )
