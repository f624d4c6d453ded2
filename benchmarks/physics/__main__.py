"""Native simulators against PhiFlow, JAX, bare Fourier transforms and themselves, in one run.

    python benchmarks/physics            # about ten minutes, on a quiet machine
    python benchmarks/physics --quick    # a smoke test; its figures mean nothing
    python benchmarks/physics --only heat --only projection --batches 16

Process CPU time on one pinned core and one thread, float32, rollouts of 8 data intervals, forward without gradient,
and with the gradient to the coefficient. The competitors take turns; ratios are formed within a turn, and what is
shown is their median. Before anything is timed, all are checked to solve the same problem. Each story runs in a
process of its own. Figures go into RESULTS/physics.json; from it `markdown.py` prints docs/performance.md's tables.

PhiFlow runs eager, batched and one sample at a time, and jitted, by steps, as its own examples do it, and the whole
rollout in one trace, which costs least. Its schemes are its own, one step of explicit Euler for each data interval,
except for advection and Navier-Stokes, where it computes what the native model does.
JAX is exponax, jitted and vmapped; for heat, whose coefficient field exponax does not have, our scheme in JAX.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

# What all benchmarks share lies beside this directory.
sys.path.append(str(Path(__file__).parents[1]))

from common.measure import cores, machine
from common.table import Goal, show_goals
from stories import STORIES

RESULTS = Path(__file__).parents[1] / "results"
# Before torch and JAX are imported in the stories' processes. One thread, as the core is one. Memory that was freed
# is kept: else glibc gives blocks of some sizes back or not, by what was freed before, and the same steps take up to
# twice as long.
SURROUNDINGS: Mapping[str, str] = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "OMP_NUM_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one turn of one batch of 16")
    parser.add_argument("--only", action="append", choices=list(STORIES), help="may be repeated; else all of them")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64], help="samples at once")
    parser.add_argument("--repeats", type=int, default=7, help="turns")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory for the JSON file")
    arguments = parser.parse_args()
    batches, repeats, least = arguments.batches, arguments.repeats, 0.05
    if arguments.quick:
        batches, repeats, least = [16], 1, 0.0
    os.environ.update(SURROUNDINGS)
    content = {"machine": machine(), "load_beforehand": os.getloadavg()[0], "repeats": repeats}
    figures, goals = {}, []
    arguments.results.mkdir(parents=True, exist_ok=True)
    with cores(1):
        for name in arguments.only or STORIES:
            begin = time.perf_counter()
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                figures[name] = process.submit(STORIES[name], batches, repeats, least).result()
            print(f"== {name} took {time.perf_counter() - begin:.0f} s\n", flush=True)
            goals += [Goal(**goal) for result in figures[name] for goal in result["goals"]]
            (arguments.results / "physics.json").write_text(json.dumps(content | {"figures": figures}, indent=1))
    show_goals(goals)


if __name__ == "__main__":
    main()
