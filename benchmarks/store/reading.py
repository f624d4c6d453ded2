"""Reading shuffled batches: the placements against other ways, from the page cache and from the disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from common.measure import Ratio, Taken, in_turns, threads, timed
from common.table import Goal, show, show_goals
from page_cache import CAN_DROP, cached_share, drop, require_dropped
from rivals import HAS_TENSORDICT, Read, memory_map, one_file_each, save_one, save_tensordict, tensordict_map
from windows import BATCH, SHAPE, batches_of, cached, path_of, random_windows, real_windows

from cotwin.store.store import InMemory
from cotwin.windows import JoinedWindows, StoredWindows, Windows
from cotwin.windows.serving import serve

INDEX, FILES, MAP, CACHE = "index_select in memory", "one .pt a window", "memory map", "cache"
TENSORDICT = "tensordict, mapped"
Epoch = Callable[[Sequence[Sequence[int]]], None]


def measure_reading(scratch: Path, count: int, repeats: int, warm: int, cold: int) -> dict[str, Any]:
    """Sets of `count` windows; so many windows of them in a turn, `warm` and `cold`."""
    with ExitStack() as stack:
        stack.enter_context(threads(1))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch)))
        data = random_windows(count)
        real, memory = real_windows(count), StoredWindows(InMemory(data))
        file = stack.enter_context(cached(data, directory))
        cache, stored = StoredWindows(file), path_of(file)
        (directory / "files").mkdir()
        files = [save_one(window, directory / "files" / f"{number}.pt") for number, window in enumerate(data)]
        # Opened anew for each cold turn: pages that are mapped still cannot be dropped.
        variants: dict[str, tuple[int, Callable[[], Epoch]]] = {
            INDEX: (count, lambda: one_by_one(lambda rows: data.index_select(0, torch.tensor(rows)))),
            "memory": (count, lambda: served(memory)),
            CACHE: (count, lambda: served(cache)),
            "sliding (real)": (len(real), lambda: served(real)),
            "joined, real and memory": (2 * count, lambda: served(JoinedWindows(real, memory, alpha=1.0))),
            "joined, real and cache": (2 * count, lambda: served(JoinedWindows(real, cache, alpha=1.0))),
            FILES: (count, lambda: one_by_one(one_file_each(files))),
            MAP: (count, lambda: one_by_one(memory_map(stored, tuple(data.shape)))),
        }
        on_disk = {CACHE: [stored], FILES: files, MAP: [stored]}
        if HAS_TENSORDICT:
            mapped = save_tensordict(data, directory / "tensordict")
            variants[TENSORDICT] = (count, lambda: one_by_one(tensordict_map(directory / "tensordict")))
            on_disk[TENSORDICT] = mapped
        os.sync()

        def from_memory(name: str) -> Callable[[int], Taken]:
            size, begin = variants[name]
            epoch = begin()
            return lambda turn: timed(lambda: epoch(batches_of(warm, size, turn)))

        def from_disk(name: str) -> Callable[[int], Taken]:
            size, begin = variants[name]

            def turn_of(turn: int) -> Taken:
                drop(on_disk[name])
                require_dropped(on_disk[name])
                epoch = begin()
                return timed(lambda: epoch(batches_of(cold, size, turn)))

            return turn_of

        result: dict[str, Any] = {"windows": count, "per_turn": {"warm": warm, "cold": cold}}
        taken = in_turns({name: from_memory(name) for name in variants}, repeats)
        result["cached_when_warm"] = {name: cached_share(paths) for name, paths in on_disk.items()}
        result["warm"] = compare(taken, warm, {"index_select": INDEX, "files": FILES})
        if CAN_DROP:
            taken = in_turns({name: from_disk(name) for name in on_disk}, repeats)
            result["cold"] = compare(taken, cold, {"files": FILES, "map": MAP})
    return result


def served(windows: Windows) -> Epoch:
    """As the trainer reads: the next batch is announced while one is in use."""

    def epoch(batches: Sequence[Sequence[int]]) -> None:
        for _ in serve(windows, [(0, batches)], BATCH):
            pass

    return epoch


def one_by_one(read: Read) -> Epoch:
    def epoch(batches: Sequence[Sequence[int]]) -> None:
        for rows in batches:
            read(rows)

    return epoch


def compare(taken: dict[str, list[Taken]], windows: int, references: dict[str, str]) -> dict[str, Any]:
    """For each variant windows a second, by clock and by processor, and its speed in units of the references'."""
    return {
        name: {
            clock: {
                "per_second": windows / Ratio.over([getattr(one, clock) for one in values]).median,
                **{
                    f"of_{short}": asdict(
                        Ratio.of(
                            [getattr(one, clock) for one in taken[reference]], [getattr(o, clock) for o in values]
                        )
                    )
                    for short, reference in references.items()
                },
            }
            for clock in ("wall", "cpu")
        }
        for name, values in taken.items()
    }


def goals(result: dict[str, Any]) -> list[Goal]:
    found = []
    for state, against, bound in (
        ("warm", "index_select", 0.8),
        ("warm", "files", 5.0),
        ("cold", "files", 1.3),
        ("cold", "map", 2.0),
    ):
        for clock in ("wall", "cpu") if state == "warm" else ("wall",):
            if state in result:
                ratio = result[state][CACHE][clock][f"of_{against}"]["median"]
                what = f"{result['windows']} windows, cache {state} of {against}, {clock}"
                found.append(Goal(what, "at least", bound, ratio))
    return found


def report(result: dict[str, Any], repeats: int) -> None:
    for state in ("warm", "cold"):
        if state not in result:
            print("The page cache cannot be dropped here: no cold figures.\n")
            continue
        print(
            f"Reading, {state}: {result['windows']} windows of {SHAPE} float32, {result['per_turn'][state]} a turn, "
            f"in shuffled batches of {BATCH}, {repeats} turns, one thread on one core"
        )
        references = ("index_select", "files") if state == "warm" else ("files", "map")
        rows = []
        for name, figures in result[state].items():
            row = [name]
            for clock in ("wall", "cpu"):
                row.append(f"{figures[clock]['per_second']:.0f}")
                row += [str(Ratio(**figures[clock][f"of_{short}"])) for short in references]
            rows.append(row)
        heads = [
            f"{head} ({clock})" for clock in ("wall", "cpu") for head in ("per s", *(f"of {r}" for r in references))
        ]
        show(("", *heads), rows)
    if not HAS_TENSORDICT:
        print("tensordict is not installed: pip install -e '.[bench]'. Its row is missing.\n")
    show_goals(goals(result))
