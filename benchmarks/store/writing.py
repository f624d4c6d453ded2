"""Writing a set so that it survives a loss of power: the cache against one `.pt` file a window."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.measure import Ratio, Taken, in_turns, threads, timed
from common.table import Goal, show, show_goals
from rivals import save_one
from windows import SHAPE, WINDOW_BYTES, cached, random_windows

CACHE, EACH, LAST = "cache", "one .pt a window, each synced at once", "one .pt a window, all synced at the end"


def measure_writing(scratch: Path, count: int, repeats: int) -> dict[str, Any]:
    """A set of `count` windows, written and synced."""
    data = random_windows(count)

    def cache(directory: Path) -> None:
        with cached(data, directory):
            pass

    def each(directory: Path) -> None:
        for number, window in enumerate(data):
            sync(save_one(window, directory / f"{number}.pt"))
        sync(directory)

    def last(directory: Path) -> None:
        for file in [save_one(window, directory / f"{number}.pt") for number, window in enumerate(data)]:
            sync(file)
        sync(directory)

    with threads(1):
        taken = in_turns({CACHE: once(cache, scratch), EACH: once(each, scratch), LAST: once(last, scratch)}, repeats)
    return {
        "windows": count,
        "variants": {
            name: {
                clock: {
                    "megabytes_per_second": count * WINDOW_BYTES / 1e6 / Ratio.over(values).median,
                    "of_each": asdict(Ratio.of([getattr(one, clock) for one in taken[EACH]], values)),
                    "of_last": asdict(Ratio.of([getattr(one, clock) for one in taken[LAST]], values)),
                }
                for clock in ("wall", "cpu")
                for values in ([getattr(one, clock) for one in variant],)
            }
            for name, variant in taken.items()
        },
    }


def once(write: Callable[[Path], None], scratch: Path) -> Callable[[int], Taken]:
    """Into an empty directory, which is removed afterwards; what others left to write is on the disk before."""

    def turn_of(turn: int) -> Taken:
        directory = Path(tempfile.mkdtemp(dir=scratch))
        os.sync()
        taken = timed(lambda: write(directory))
        shutil.rmtree(directory)
        return taken

    return turn_of


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def report(result: dict[str, Any], repeats: int) -> None:
    print(
        f"Writing and syncing {result['windows']} windows of {SHAPE} float32, {repeats} turns, one thread on one core"
    )
    rows = []
    for name, figures in result["variants"].items():
        row = [name]
        for clock in ("wall", "cpu"):
            ratios = [str(Ratio(**figures[clock][key])) for key in ("of_each", "of_last")]
            row += [f"{figures[clock]['megabytes_per_second']:.0f}", *ratios]
        rows.append(row)
    heads = [
        f"{head} ({clock})" for clock in ("wall", "cpu") for head in ("MB/s", "of each synced", "of synced last")
    ]
    show(("", *heads), rows)
    show_goals(goals(result))


def goals(result: dict[str, Any]) -> list[Goal]:
    figures = result["variants"][CACHE]["wall"]
    return [
        Goal(f"{result['windows']} windows written, cache of {name}", "at least", 1.5, figures[key]["median"])
        for name, key in ((EACH, "of_each"), (LAST, "of_last"))
    ]
