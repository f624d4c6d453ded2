"""Prints the tables of docs/performance.md from the figures: `python benchmarks/store/markdown.py`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What all benchmarks share lies beside this directory.
sys.path.append(str(Path(__file__).parents[1]))

from common.table import markdown as table

RESULTS = Path(__file__).parents[1] / "results"
Figures = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    directory = parser.parse_args().results
    for name, tables in (("reading", reading), ("writing", writing), ("training", training), ("memory", memory)):
        if (directory / f"{name}.json").exists():
            content = json.loads((directory / f"{name}.json").read_text())
            print(f"<!-- {name}: load {content['load_beforehand']:.1f} beforehand, {content['repeats']} turns -->\n")
            tables(content["figures"])


def reading(sets: list[Figures]) -> None:
    counts = [f"{one['windows']:,} windows" for one in sets]
    table(
        ("warm: windows a CPU second (of `index_select`)", *counts),
        (
            (name, *(f"{one['warm'][name]['cpu']['per_second']:,.0f} ({ratio(one, 'warm', name)})" for one in sets))
            for name in sets[0]["warm"]
        ),
    )
    table(
        ("cold: windows a second", *counts),
        (
            (name, *(f"{one['cold'][name]['wall']['per_second']:,.0f}" for one in sets))
            for name in sets[0].get("cold", {})
        ),
    )
    goals = (
        ("`index_select`, warm, CPU time", "≥ 0.8", "warm", "cpu", "of_index_select"),
        ("`index_select`, warm", "≥ 0.8", "warm", "wall", "of_index_select"),
        ("one `.pt` a window and an LRU, warm, CPU time", "≥ 5", "warm", "cpu", "of_files"),
        ("one `.pt` a window and an LRU, warm", "≥ 5", "warm", "wall", "of_files"),
        ("one `.pt` a window and an LRU, cold", "≥ 1.3", "cold", "wall", "of_files"),
        ("a memory map, cold", "≥ 2", "cold", "wall", "of_map"),
    )
    table(
        ("speed of the cache in units of", "goal", *counts),
        (
            (what, goal, *(ranged(one[state]["cache"][clock][key]) for one in sets if state in one))
            for what, goal, state, clock, key in goals
        ),
    )


def writing(sets: list[Figures]) -> None:
    table(
        ("writing the cache in units of", "goal", *(f"{one['windows']:,} windows" for one in sets)),
        (
            (f"one `.pt` a window, {what}", "≥ 1.5", *(ranged(one["variants"]["cache"]["wall"][key]) for one in sets))
            for what, key in (("each synced at once", "of_each"), ("all synced at the end", "of_last"))
        ),
    )


def training(runs: list[Figures]) -> None:
    for run in runs:
        generating = ranged(run["generating_of_training"])
        print(
            f"{run['threads']} thread(s); generating takes {generating} of training; {run['best_serial']} is best\n"
        )
        table(
            ("an epoch", "s", "of memory", "of memory, CPU time"),
            (
                (name, *(ranged(epoch[key]) for key in ("wall", "of_memory", "of_memory_cpu")))
                for name, epoch in run["epochs"].items()
            ),
        )
        for key in ("fly_of_best_serial", "fly_of_memory_and_unhidden"):
            print(f"{key}: {ranged(run[key])}\n")


def memory(figures: Figures) -> None:
    sizes = [f"{run['bytes'] / 1e6:,.0f} MB" for run in figures["placements"]["on_the_fly"]]
    table(
        (f"added memory, MB; the budget is {figures['budget'] / 1e6:.0f} MB", *sizes),
        (
            (name, *(f"{run['growth'] / 1e6:.0f}" if "growth" in run else "refused" for run in runs))
            for name, runs in figures["placements"].items()
        ),
    )
    table(
        ("filling the cache, added memory", *sizes),
        [("MB", *(f"{run['growth'] / 1e6:.1f}" for run in figures["filling"]))],
    )


def ratio(one: Figures, state: str, name: str) -> str:
    return short(one[state][name]["cpu"]["of_index_select"]["median"])


def ranged(values: Mapping[str, float]) -> str:
    return f"{short(values['median'])} ({short(values['least'])} to {short(values['most'])})"


def short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


if __name__ == "__main__":
    main()
