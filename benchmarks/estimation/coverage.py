"""Do nine in ten 90 % intervals cover where the starts are noisy too? Each draw: other noise, the whole search again.

    python benchmarks/estimation/coverage.py                          # 200 draws of each problem, an hour
    python benchmarks/estimation/coverage.py --only heat --draws 20

Draws are kept in RESULTS/coverage.jsonl: what is there is not drawn again, so a run that was stopped goes on.
A problem without its third-party data is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
import torch
from torch import Tensor

from cotwin import Field, Layout, Positive, Stepper, rollout
from cotwin.estimation import Grid, Measurements, estimate
from cotwin.experiment.measured_starts import correlation_length, noisy_starts
from cotwin.physics import AllenCahn, Heat, KortewegDeVries

DATA = Path(__file__).resolve().parents[3] / "shared/data"
RESULTS = Path(__file__).parents[1] / "results"
F64 = torch.float64


@dataclass(frozen=True)
class Case:
    """States without noise (seed: of the starts), and the model where the search begins."""

    states: Callable[[int], Tensor]
    model: Stepper
    truth: dict[str, float]
    noise: float  # of the states' deviation


def one(value: float) -> Positive:
    return Positive(torch.tensor(value, dtype=F64))


def line(points: int, lower: float, upper: float, dt: float, boundary: str = "periodic") -> Layout:
    return Layout.box([Field("u")], grid=(points,), extent=[(lower, upper)], boundary=boundary, dt=dt)


def allen_cahn() -> Case:
    """Fronts 1.6 cells wide, every tenth frame (Raissi et al., 2019)."""
    data = scipy.io.loadmat(DATA / "raissi_allen_cahn.mat")
    states = torch.from_numpy(data["uu"].T[::10].copy())[None, :, None]
    model = AllenCahn(line(512, -1, 1, float(data["tt"][0, 10])), one(3e-4), one(2.0))
    return Case(lambda seed: states, model, {"diffusivity": 1e-4, "reaction": 5.0}, 0.05)


def korteweg_de_vries() -> Case:
    """Every second point and tenth frame (Raissi et al., 2019)."""
    data = np.load(DATA / "raissi_kdv.npz")
    states = torch.from_numpy(data["u"][::10, ::2].copy())[None, :, None]
    model = KortewegDeVries(line(256, -1, 1, float(data["t"][10])), one(0.8), one(0.003), substeps=8)
    return Case(lambda seed: states, model, {"steepening": 1.0, "dispersion": 0.0025}, 0.01)


def heat() -> Case:
    """Starts without any smoothness between 24 points, a few steps."""
    layout = line(24, 0, 1, 0.02, "neumann")

    def states(seed: int) -> Tensor:
        starts = torch.randn(4, 1, 24, generator=torch.Generator().manual_seed(10_000 + seed), dtype=F64)
        with torch.no_grad():
            return rollout(Heat(layout, one(0.02)), starts, 6)

    return Case(states, Heat(layout, one(0.05)), {"diffusivity": 0.02}, 0.3)


CASES = {"heat": heat, "allen_cahn": allen_cahn, "korteweg_de_vries": korteweg_de_vries}


def draw(case: Case, seed: int) -> dict[str, list[float]]:
    """Of each unknown: estimate, its deviation, and the ends of its interval; what was warned of, and seconds."""
    clean, layout = case.states(seed), case.model.layout
    level = case.noise * float(clean.std())
    states = clean + level * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed), dtype=F64)
    length = max(correlation_length(states[:, 0], layout), min(layout.spacing))
    observation = Grid(layout, len(states), states.shape[1] - 1, first=0)
    begin = time.process_time()
    starts = noisy_starts(states, None, layout, length, adapt=True)
    found = estimate(case.model, starts, Measurements(observation, observation(states)))
    numbers = {
        name: [float(one.value), float(one.deviation), float(one.low), float(one.high)]
        for name, one in found.intervals.items()
    }
    return numbers | {"warnings": [float(len(found.warnings))], "seconds": [time.process_time() - begin]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(CASES), help="may be repeated; else all of them")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory of coverage.jsonl")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.results.mkdir(parents=True, exist_ok=True)
    kept = arguments.results / "coverage.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    drawn = {(one["case"], one["seed"]): one["found"] for one in map(json.loads, lines)}
    print(
        "| problem | unknown | covered | mean error, deviations | warned of | seconds each |\n"
        "|---|---|---|---|---|---|"
    )
    for name in arguments.only or CASES:
        try:
            case = CASES[name]()
        except FileNotFoundError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        for seed in range(arguments.draws):
            if (name, seed) not in drawn:
                drawn[name, seed] = draw(case, seed)
                with kept.open("a") as file:
                    file.write(json.dumps({"case": name, "seed": seed, "found": drawn[name, seed]}) + "\n")
        report(name, case.truth, [drawn[name, seed] for seed in range(arguments.draws)])


def report(name: str, truth: dict[str, float], draws: list[dict[str, list[float]]]) -> None:
    """A line for each unknown, with standard errors."""
    count = len(draws)
    warned = sum(one["warnings"][0] > 0 for one in draws)
    seconds = sorted(one["seconds"][0] for one in draws)[count // 2]
    for unknown, true in truth.items():
        share = sum(one[unknown][2] <= true <= one[unknown][3] for one in draws) / count
        # In deviations of the logarithm, which is what the search sees.
        errors = [math.log(one[unknown][0] / true) * one[unknown][0] / one[unknown][1] for one in draws]
        mean, spread = float(np.mean(errors)), float(np.std(errors))
        print(
            f"| {name} | {unknown} | {share:.1%} ± {math.sqrt(share * (1 - share) / count):.1%} | "
            f"{mean:.2f} ± {spread / math.sqrt(count):.2f} | {warned} of {count} | {seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
