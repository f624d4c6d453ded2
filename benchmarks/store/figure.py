"""Draws docs/images/memory.png from the figures of the benchmark: `python benchmarks/store/figure.py`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
COLOURS = {"memory": "#c1443c", "cache": "#2f6db3", "on_the_fly": "#3b8f4b"}
NAMES = {"memory": "memory", "cache": "cache", "on_the_fly": "on the fly"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "memory.png")
    arguments = parser.parse_args()
    memory, training = (
        json.loads((arguments.results / f"{name}.json").read_text())["figures"] for name in ("memory", "training")
    )
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    draw_growth(left, memory)
    draw_epochs(right, training[0])
    figure.savefig(arguments.output, dpi=130)


def draw_growth(axes: Axes, memory: dict[str, Any]) -> None:
    """Anonymous memory against the size of the set, for each placement."""
    budget = memory["budget"]
    for placement, runs in memory["placements"].items():
        points = [(run["bytes"] / 1e6, run["growth"] / 1e6) for run in runs if "growth" in run]
        axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[placement], label=NAMES[placement])
    axes.axhline(budget / 1e6, color="0.3", linestyle="--", linewidth=1)
    axes.annotate("memory budget", (0.99, budget / 1e6), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    axes.set_xscale("log", base=2)
    sizes = sorted({run["bytes"] / 1e6 for runs in memory["placements"].values() for run in runs if "bytes" in run})
    axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    axes.minorticks_off()
    lowest = min(run["growth"] / 1e6 for runs in memory["placements"].values() for run in runs if "growth" in run)
    axes.set_ylim(min(0, 1.5 * lowest), 1.3 * budget / 1e6)
    axes.set_xlabel("size of the generated set (MB)")
    axes.set_ylabel("added anonymous memory, peak (MB)")
    axes.set_title(
        "A set beyond the budget is refused in memory; in the\ncache or on the fly it takes as little as a small one"
    )
    axes.legend(loc="center right", frameon=False)


def draw_epochs(axes: Axes, training: dict[str, Any]) -> None:
    """Time of an epoch in units of the memory placement's, with the range of the turns."""
    best = training["best_serial"]
    names = {"memory": "memory", "cache, warm": "cache,\nwarm", "cache, cold": "cache,\ncold"}
    names |= {"on the fly": "on the fly", best: "generate,\nthen train"}
    shown = [name for name in names if name in training["epochs"]]
    ratios = [training["epochs"][name]["of_memory"] for name in shown]
    medians = [ratio["median"] for ratio in ratios]
    below = [ratio["median"] - ratio["least"] for ratio in ratios]
    above = [ratio["most"] - ratio["median"] for ratio in ratios]
    colours = [COLOURS["memory"], COLOURS["cache"], COLOURS["cache"], COLOURS["on_the_fly"], "0.6"][: len(shown)]
    axes.bar(range(len(shown)), medians, yerr=(below, above), color=colours, capsize=4)
    for place, (median, up) in enumerate(zip(medians, above, strict=True)):
        axes.annotate(f"{median:.2f}", (place, median + up + 0.03), ha="center")
    axes.set_xticks(range(len(shown)), [names[name] for name in shown])
    axes.set_ylim(0, 1.2 * max(median + up for median, up in zip(medians, above, strict=True)))
    axes.set_ylabel("time of an epoch (memory = 1)")
    share = training["generating_of_training"]["median"]
    axes.set_title(f"An epoch of a small U-Net; generating takes\n{share:.2f} of training, one thread on two cores")


if __name__ == "__main__":
    main()
