"""Windows per CPU-second through the batches that train, against `index_select` on a tensor in memory.

    python benchmarks/bench_store.py

Windows of (9, 3, 64, 64) float32, batches of 32 shuffled, files in the page cache. One thread, pinned to one
core where the system allows it; process time; the variants take turns, and ratios are medians over the turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cotwin.store.array_file import ArrayFile
from cotwin.store.array_writer import write_array
from cotwin.store.ownership import claim_root
from cotwin.store.store import InMemory
from cotwin.windows import JoinedWindows, SlidingWindows, StoredWindows

SHAPE = (9, 3, 64, 64)
Read = Callable[[Sequence[int]], object]


def real_windows(count: int) -> SlidingWindows:
    """At least `count` sliding windows of trajectories of a hundred frames."""
    each = 101 - SHAPE[0]
    return SlidingWindows(torch.randn(-(-count // each), 100, *SHAPE[1:]), num_steps=SHAPE[0] - 1)


def file_per_window(windows: Tensor, directory: Path) -> Read:
    """The usual way: one `.pt` a window, loaded and stacked."""
    for number, window in enumerate(windows):
        torch.save(window.clone(), directory / f"{number}.pt")

    def read(indices: Sequence[int]) -> Tensor:
        return torch.stack([torch.load(directory / f"{index}.pt", weights_only=True) for index in indices])

    return read


def cpu_seconds(read: Read, batches: list[list[int]]) -> float:
    begin = time.process_time()
    for indices in batches:
        read(indices)
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--windows", type=int, default=1410)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    count = arguments.windows
    generated = torch.randn(count, *SHAPE)
    real = real_windows(count)
    memory = StoredWindows(InMemory(generated))
    joined = JoinedWindows(real, memory, alpha=1.0)
    with tempfile.TemporaryDirectory() as scratch:
        root = claim_root(Path(scratch) / "cache")
        with write_array(root / "set", root, tuple(generated.shape)) as writer:
            for chunk in generated.split(32):
                writer.append(chunk)
        files = Path(scratch) / "files"
        files.mkdir()
        variants: dict[str, tuple[int, Read]] = {
            "index_select in memory": (count, lambda rows: generated.index_select(0, torch.tensor(rows))),
            "memory": (count, memory.__getitems__),
            "cache, warm": (count, StoredWindows(ArrayFile(root / "set")).__getitems__),
            "sliding (real)": (len(real), real.__getitems__),
            "joined: real and memory": (len(joined), joined.__getitems__),
            "one .pt a window": (count, file_per_window(generated, files)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        names = list(variants)
        for turn in range(arguments.repeats + 1):
            # Each turn begins with another variant, so that none always follows the same one.
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                size, read = variants[name]
                order = torch.randperm(size, generator=torch.Generator().manual_seed(turn))[:count]
                taken = cpu_seconds(read, [part.tolist() for part in order.split(32)])
                if turn > 0:  # the first warms caches
                    seconds[name].append(taken)

    reference = seconds[names[0]]
    print(f"{count} windows of {SHAPE} float32, batches of 32 shuffled, {arguments.repeats} repeats")
    print(f"{'':26}{'windows per CPU-s':>18}{'of index_select':>17}{'(range)':>16}")
    for name, values in seconds.items():
        ratios = sorted(base / value for base, value in zip(reference, values, strict=True))
        rate = count / statistics.median(values)
        print(f"{name:26}{rate:18.0f}{statistics.median(ratios):17.2f}{ratios[0]:9.2f} to {ratios[-1]:.2f}")


if __name__ == "__main__":
    main()
