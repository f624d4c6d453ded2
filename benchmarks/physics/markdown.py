"""Prints the tables of docs/performance.md from the figures: `python benchmarks/physics/markdown.py`."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What all benchmarks share lies beside this directory.
sys.path.append(str(Path(__file__).parents[1]))

from common.table import Goal, markdown, short

RESULTS = Path(__file__).parents[1] / "results"
Figures = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    content = json.loads((parser.parse_args().results / "physics.json").read_text())
    print(f"<!-- load {content['load_beforehand']:.1f} beforehand, {content['repeats']} turns -->\n")
    for name, results in content["figures"].items():
        {"projection": projection, "adapter": adapter}.get(name, speeds)(results)
        goals(results)


def speeds(results: Sequence[Figures]) -> None:
    """Thousand steps·samples a second, and after a comma the gradient's."""
    heads = (results[0]["problem"], *(f"batch {result['batch']}" for result in results))
    names = results[0]["seconds"]["forward"]
    markdown(heads, ((name, *(speed(result["seconds"], name) for result in results)) for name in names))


def speed(seconds: Figures, name: str) -> str:
    found = (seconds[mode].get(name) for mode in ("forward", "gradient"))
    return ", ".join(short(1e-3 / statistics.median(values)) for values in found if values)


def projection(results: Sequence[Figures]) -> None:
    heads = ("projection", "native, ms", "PhiFlow's CG, ms", "times", "largest divergence left")
    rows = []
    for result in results:
        times = (short(1e3 * statistics.median(values)) for values in result["seconds"].values())
        left = ", ".join(f"{value:.1g}" for value in result["divergence_left"])
        rows.append((f"batch {result['batch']}", *times, f"{result['ratio']['median']:.0f}", left))
    markdown(heads, rows)


def adapter(results: Sequence[Figures]) -> None:
    rows = []
    for result in results:
        alone = (f"{1e3 * statistics.median(result['seconds'][f'{mode}, JAX']):.3g}" for mode in result["of_jax"])
        over = (f"{of['median'] - 1:.1%}" for of in result["of_jax"].values())
        rows.append((result["problem"], str(result["batch"]), ", ".join(alone), *over))
    markdown(("problem", "batch", "JAX alone, forward and gradient, ms", "overhead, forward", "gradient"), rows)


def goals(results: Sequence[Figures]) -> None:
    """One row for all batches; bold where the goal is missed."""
    rows: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for goal in (Goal(**goal) for goal in result["goals"]):
            what = goal.what.replace(f", batch {result['batch']}", "")
            bound = f"{'≥' if goal.side == 'at least' else '≤'} {short(goal.bound)}"
            measured = short(goal.measured) if goal.reached else f"**{short(goal.measured)}**"
            rows.setdefault((what, bound), []).append(f"{measured} ({result['batch']})")
    markdown(("", "goal", "measured (batch)"), ((*kind, ", ".join(found)) for kind, found in rows.items()))


if __name__ == "__main__":
    main()
