"""The placements of generated data: reading, writing, epochs of training, memory.

    python benchmarks/store            # about a quarter of an hour, on a quiet machine
    python benchmarks/store --quick    # a smoke test; its figures mean nothing
    python benchmarks/store --only reading --only memory

Windows of (9, 3, 64, 64) float32, batches of 32 shuffled. The competitors take turns; ratios are formed within a
turn, and what is shown is their median and range. Figures go into RESULTS/NAME.json, from which `figure.py` draws.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What all benchmarks share lies beside this directory.
sys.path.append(str(Path(__file__).parents[1]))

import memory
import reading
import training
import writing
from common.measure import machine

RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sets and two turns")
    parser.add_argument("--repeats", type=int, default=7, help="turns")
    parser.add_argument("--only", action="append", choices=list(STORIES), help="may be repeated; else all of them")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory for the JSON files")
    parser.add_argument("--scratch", type=Path, help="directory on the disk to measure; 15 GB free")
    arguments = parser.parse_args()
    repeats = 2 if arguments.quick else arguments.repeats
    arguments.results.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or STORIES:
        begin, load = time.perf_counter(), os.getloadavg()[0]
        print(f"== {name}: load {load:.2f} beforehand\n", flush=True)
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
            figures = STORIES[name](Path(scratch), repeats, arguments.quick)
        seconds = time.perf_counter() - begin
        content = {"machine": machine(), "load_beforehand": load, "repeats": repeats, "seconds": seconds}
        (arguments.results / f"{name}.json").write_text(json.dumps(content | {"figures": figures}, indent=1))
        print(f"== {name} took {seconds:.0f} s\n", flush=True)


def read(scratch: Path, repeats: int, quick: bool) -> list[dict[str, Any]]:
    found = []
    # Of the large set a sample in each turn, in which no window comes twice.
    for count, warm, cold in ((141, 1410, 141), (1410, 1410, 480), (10_000, 1600, 480))[: 1 if quick else 3]:
        found.append(reading.measure_reading(scratch, count, repeats, warm, cold))
        reading.report(found[-1], repeats)
    return found


def write(scratch: Path, repeats: int, quick: bool) -> list[dict[str, Any]]:
    found = []
    for count in (141, 1410)[: 1 if quick else 2]:
        found.append(writing.measure_writing(scratch, count, repeats))
        writing.report(found[-1], repeats)
    return found


def train(scratch: Path, repeats: int, quick: bool) -> list[dict[str, Any]]:
    found = []
    for threads in (1, 2):
        found.append(training.measure_training(scratch, 2 if quick else 6, 11, repeats, threads))
        training.report(found[-1], repeats)
    return found


def remember(scratch: Path, repeats: int, quick: bool) -> dict[str, Any]:
    budget, limit = (512_000_000, 768_000_000) if not quick else (128_000_000, 640_000_000)
    found = memory.measure_memory(scratch, budget, limit, sliding=(1_000, 100_000, 1_000_000))
    memory.report(found)
    return found


STORIES: dict[str, Callable[[Path, int, bool], Any]] = {
    "reading": read,
    "writing": write,
    "training": train,
    "memory": remember,
}

if __name__ == "__main__":
    main()
