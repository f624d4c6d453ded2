"""What training costs beside the network: a step of ours against a bare loop's, and where the time of a cycle goes.

    python benchmarks/training            # three minutes, on a quiet machine
    python benchmarks/training --quick    # a smoke test; its figures mean nothing

The default experiment's surrogate, on one core and thread. A step in a bare loop is the same network on batches that
are there already: zero the gradients, roll out, loss, backward, clip, a step of the same optimiser. Ours takes its
batches from joined windows, checks that all is finite, can take its step back and averages the weights. The two take
turns of as many steps, and ratios of processor time are formed within a turn. Figures go into RESULTS/training.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

# What all benchmarks share lies beside this directory.
sys.path.append(str(Path(__file__).parents[1]))

from common.measure import Ratio, in_turns, machine, threads, timed
from common.table import Goal, show, show_goals
from shares import OTHER, shares_of_a_cycle
from step import BARE, OURS, rivals

RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="burgers", help="preset or YAML file")
    parser.add_argument("--quick", action="store_true", help="few steps and two turns")
    parser.add_argument("--repeats", type=int, default=15, help="turns")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory for the JSON file")
    arguments = parser.parse_args()
    repeats, steps = (2, 10) if arguments.quick else (arguments.repeats, 200)
    load = os.getloadavg()[0]
    print(f"load {load:.2f} beforehand\n", flush=True)
    with threads(1):
        acts = rivals(arguments.config, steps)
        taken = in_turns({name: lambda turn, act=act: timed(act) for name, act in acts.items()}, repeats)
        cycles = [shares_of_a_cycle(arguments.config, steps if arguments.quick else None) for _ in range(3)]
    cpu = {name: [one.cpu for one in values] for name, values in taken.items()}
    ratio = Ratio.of(cpu[OURS], cpu[BARE])
    each = {name: statistics.median(values) / steps for name, values in cpu.items()}
    show(("a step", "ms"), [(name, f"{1000 * seconds:.2f}") for name, seconds in each.items()])
    share = {kind: statistics.median(cycle[kind] / sum(cycle.values()) for cycle in cycles) for kind in cycles[0]}
    show(("a cycle", "%"), [(kind, f"{100 * part:.1f}") for kind, part in share.items()])
    print(f"ours in units of a bare step: {ratio}\n")
    show_goals(
        [
            Goal("a step of ours in units of a bare one", "at most", 1.03, ratio.median),
            Goal("part of a cycle that is the framework's", "at most", 0.05, share[OTHER]),
        ]
    )
    figures = {"steps": steps, "seconds_a_step": each, "ratio": asdict(ratio), "shares_of_a_cycle": share}
    arguments.results.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "load_beforehand": load, "repeats": repeats, "figures": figures}
    (arguments.results / "training.json").write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
