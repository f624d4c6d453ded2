"""Estimates: how near they come to the least possible error, and how long they take.

    python benchmarks/estimation            # a few minutes
    python benchmarks/estimation --quick    # a smoke test; its figures mean nothing

Efficiency: root-mean-square errors over fifty draws of the noise, by the Cramér-Rao bound. Speed: CPU time of one
core for three unknowns, against `scipy.optimize.least_squares` with finite differences on the same model, in the
setting that suits scipy best, from the same point to the same cost.
"""

from __future__ import annotations

import argparse
import os

import torch
from efficiency import GOAL as EFFICIENCY
from efficiency import report_efficiency
from problems import problems
from speed import GOAL as SPEED
from speed import report_speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few draws, one round")
    parser.add_argument("--draws", type=int, default=50, help="of the noise, for the efficiency")
    parser.add_argument("--rounds", type=int, default=7, help="in which the competitors take turns")
    arguments = parser.parse_args()
    draws, rounds = (4, 1) if arguments.quick else (arguments.draws, arguments.rounds)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    print(f"Efficiency: RMS error over {draws} draws by the Cramér-Rao bound (goal {EFFICIENCY:g})\n")
    print("| problem | unknown | bound, relative | ratio | converged |\n|---|---|---|---|---|")
    for problem in problems()[:4]:
        report_efficiency(problem, draws)
    print(f"\nSpeed: CPU time against scipy, medians of {rounds} rounds (goal {SPEED:g} times)\n")
    print(
        "| problem | scipy | search | estimate with intervals | search: times faster | estimate | 8 points at once |"
    )
    print("|---|---|---|---|---|---|---|")
    for problem in problems():
        report_speed(problem, rounds)


if __name__ == "__main__":
    main()
