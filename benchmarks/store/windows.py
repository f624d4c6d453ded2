"""The windows that everything here is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from cotwin.folder import Folder
from cotwin.store.store import Store
from cotwin.store.window_file import WindowFile
from cotwin.windows import SlidingWindows

SHAPE = (9, 3, 64, 64)
BATCH = 32
WINDOW_BYTES = 4 * 9 * 3 * 64 * 64


def random_windows(count: int) -> Tensor:
    """Windows of noise; beyond a thousand they repeat, which no reader can notice."""
    some = torch.randn(min(count, 1000), *SHAPE)
    every = torch.empty(count, *SHAPE)
    for part in every.split(len(some)):
        part.copy_(some[: len(part)])
    return every


def real_windows(count: int) -> SlidingWindows:
    """At least `count` sliding windows of trajectories of a hundred frames."""
    each = 101 - SHAPE[0]
    return SlidingWindows(torch.randn(-(-count // each), 100, *SHAPE[1:]), num_steps=SHAPE[0] - 1)


@contextmanager
def cached(windows: Tensor, directory: Path) -> Iterator[WindowFile]:
    """A set as the store keeps it, written in its chunks: reserved and synced."""
    rows_at_once = Store(memory_budget=1 << 30).chunk_bytes // WINDOW_BYTES
    with Folder(directory) as folder, WindowFile.made(folder, tuple(windows.shape), windows.dtype) as file:
        for number, chunk in enumerate(windows.split(rows_at_once)):
            file.put(number * rows_at_once, chunk)
        file.sync()
        yield file


def path_of(file: WindowFile) -> Path:
    """A name for the nameless, while it is open."""
    return Path(f"/proc/self/fd/{file.file.fileno()}")


def batches_of(count: int, of: int, seed: int) -> list[list[int]]:
    """Shuffled batches of `count` windows in all of a set of `of`, epoch after epoch."""
    generator = torch.Generator().manual_seed(seed)
    batches: list[list[int]] = []
    while count > 0:
        order = torch.randperm(of, generator=generator)[:count]
        batches += [part.tolist() for part in order.split(BATCH)]
        count -= len(order)
    return batches
