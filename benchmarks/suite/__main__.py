"""Cooperating against each model alone and against distilling, over problems whose truth another solver made.

    python benchmarks/suite --seeds 3    # the two main tables, one setting a problem: two hours on two cores
    python benchmarks/suite --whole      # five seeds, all settings, curves over trajectories: a night
    python benchmarks/suite --quick      # a smoke test of ten minutes; its figures mean nothing
    python benchmarks/suite --only fisher_wrong_law --only kolmogorov

Truths are made once, into RESULTS/suite; each comparison is a run beside them, gone on with where it was interrupted.
`cotwin compare benchmarks/suite/NAME.yaml` does one by itself, from the same directory, once its data are made.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

# What all benchmarks share lies beside this directory.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import figures
import tables
import truth
from common.table import markdown
from problems import MAIN, WHOLE, Problem

from cotwin.experiment.compare import Plan, compare
from cotwin.experiment.load import dump, load
from cotwin.experiment.resume import reopen
from cotwin.experiment.settings import Experiment
from cotwin.run import Run
from cotwin.study.study import Study

SUITE = Path(__file__).resolve().parent
RESULTS = Path("benchmarks/results/suite")
FEWER_STEPS = 8
"""How many times, where it is to be quick."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed; settings are chosen on 100 and later ones")
    parser.add_argument("--whole", action="store_true", help="all settings of each problem, and curves")
    parser.add_argument("--quick", action="store_true", help="one seed, few steps, rough estimates")
    parser.add_argument("--only", action="append", choices=[one.name for one in WHOLE], help="may be repeated")
    parser.add_argument("--processes", type=int, help="as many as cores if not given")
    arguments = parser.parse_args()
    # Configurations name their data from here, and modules of the suite as packages.
    os.chdir(SUITE.parents[1])
    begun = time.perf_counter()
    problems = [one for one in WHOLE if one.name in arguments.only] if arguments.only else None
    found: dict[Problem, Study] = {}
    experiments: dict[str, Experiment] = {}
    with _pool(arguments.processes) as executor:
        for problem in problems or (WHOLE if arguments.whole else MAIN):
            experiments[problem.name] = _experiment(problem, arguments.first, arguments.quick)
            seeds = 1 if arguments.quick else arguments.seeds
            curve = problem.curve if arguments.whole else 0
            folder = RESULTS / ("quick" if arguments.quick else "runs") / problem.name
            found[problem] = _studied(experiments[problem.name], folder, seeds, curve, executor)
    tables.show({problem.title: study for problem, study in found.items()})
    published = list(figures.rows({problem.name: study for problem, study in found.items()}, experiments))
    if published:
        print("\n### Beside what was published\n")
        markdown(figures.HEAD, published)
    spent = sum(tables.seconds(study) for study in found.values()) / 3600
    print(f"{time.perf_counter() - begun:,.0f} s now; all cells took {spent:.2f} hours of one core.")


def _experiment(problem: Problem, seed: int, quick: bool) -> Experiment:
    """With its data made."""
    truth.made(problem.data, RESULTS)
    config, overrides = str(SUITE / problem.config), [*problem.overrides, f"seed={seed}"]
    if not quick:
        return load(config, overrides)
    usual = load(config, overrides).synthetic
    fewer = {name: max(1, getattr(usual, name) // FEWER_STEPS) for name in ("warmup_steps", "steps")}
    rough = [f"synthetic.{name}={number}" for name, number in fewer.items()]
    return load(config, [*overrides, *rough, "estimation.points=1", "estimation.resolution=off"])


def _studied(experiment: Experiment, folder: Path, seeds: int, curve: int, executor: Executor) -> Study:
    """Gone on with where there is something already."""
    begun = time.perf_counter()
    run = reopen(folder, experiment) if folder.exists() else Run.create(folder, dump(experiment))
    numbers = tuple(2**power for power in range(curve.bit_length()))
    with run:
        study = compare(Plan(experiment, seeds, {}, numbers), run, executor, lambda line: _say(f"  {line}"))
        run.write_json("comparison.json", study.as_json())
    _say(f"{experiment.name}: {time.perf_counter() - begun:,.0f} s")
    return study


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _pool(processes: int | None) -> ProcessPoolExecutor:
    """A process for each cell, as `cotwin compare` has it."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes or os.cpu_count(), mp_context=spawn, max_tasks_per_child=1)


if __name__ == "__main__":
    main()
