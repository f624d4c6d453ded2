"""Other ways to keep windows on disk and read them back in batches."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

HAS_TENSORDICT = importlib.util.find_spec("tensordict") is not None
Read = Callable[[Sequence[int]], Tensor]


def save_one(window: Tensor, file: Path) -> Path:
    """A `.pt` file of one window."""
    torch.save(window.clone(), file)  # without clone() the whole set would go into each file
    return file


def one_file_each(files: list[Path]) -> Read:
    """The usual sketch: load each window when it is asked for, the last hundred kept, and stack them."""

    @lru_cache(maxsize=100)
    def load(index: int) -> Tensor:
        window: Tensor = torch.load(files[index], weights_only=True)
        return window

    return lambda rows: torch.stack([load(index) for index in rows])


def memory_map(file: Path, shape: tuple[int, ...]) -> Read:
    """NumPy's map of one file of float32, rows picked by indexing."""
    mapped = np.memmap(file, dtype=np.float32, mode="r", shape=shape)
    return lambda rows: torch.from_numpy(mapped[list(rows)])


def save_tensordict(windows: Tensor, directory: Path) -> list[Path]:
    """A TensorDict of one entry in a directory of its own."""
    from tensordict import TensorDict

    TensorDict({"states": windows}, batch_size=[len(windows)]).memmap(str(directory))
    return [file for file in directory.rglob("*") if file.is_file()]


def tensordict_map(directory: Path) -> Read:
    """A TensorDict mapped from its directory, rows picked by indexing."""
    from tensordict import TensorDict

    mapped = TensorDict.load_memmap(str(directory))

    def read(rows: Sequence[int]) -> Tensor:
        states: Tensor = mapped[torch.tensor(rows)]["states"]
        return states

    return read
