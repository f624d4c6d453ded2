"""Time to an estimate, against scipy with finite differences on the same model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import product

import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray
from problems import STEPS, Problem

from cotwin.estimation import Measurements, estimate, levenberg_marquardt
from cotwin.estimation.unknowns import Unknowns

GOAL = 5.0
Vector = NDArray[np.float64]


def scipy_search(problem: Problem) -> Callable[[Vector, dict[str, str]], tuple[float, int]]:
    """The minimum of the same cost from a point: its cost, and how many rollouts it took."""
    model, seen = problem.begin(), problem.observation()
    values, unknowns = problem.values(1)[0], Unknowns(model)

    def residuals(z: Vector) -> Vector:
        unknowns.assign(torch.from_numpy(z))
        with torch.no_grad():
            misfit: Vector = ((seen(model.rollout(problem.starts, STEPS)) - values) / problem.noise).numpy()
        return misfit

    def search(start: Vector, settings: dict[str, str]) -> tuple[float, int]:
        calls = 0

        def counted(z: Vector) -> Vector:
            nonlocal calls
            calls += 1
            return residuals(z)

        found = scipy.optimize.least_squares(counted, start.copy(), **settings)
        return float(found.cost), calls

    return search


def best_settings(search: Callable[[Vector, dict[str, str]], tuple[float, int]], start: Vector) -> dict[str, str]:
    """The method and scaling with which scipy takes the fewest rollouts; its tolerances are its own, 1e-8."""
    choices = [{"method": m} | s for m, s in product(("trf", "lm", "dogbox"), ({}, {"x_scale": "jac"}))]
    costs = [search(start, choice) for choice in choices]
    least = min(cost for cost, _ in costs)
    able = [(calls, index) for index, (cost, calls) in enumerate(costs) if cost < least * (1 + 1e-6)]
    return choices[min(able)[1]]


def report_speed(problem: Problem, rounds: int) -> None:
    """One row of the table: CPU times, the competitors taking turns, ratios within a turn, medians."""
    measurements = Measurements(problem.observation(), problem.values(1)[0], problem.noise)
    least_squares = problem.least_squares(measurements.values)
    start = least_squares.present()
    search = scipy_search(problem)
    settings = best_settings(search, start[0].numpy())
    cost, calls = search(start[0].numpy(), settings)
    ours = estimate(problem.begin(), problem.starts, measurements)
    if abs(ours.cost / cost - 1) > 1e-6:
        raise SystemExit(f"{problem.name}: costs of {ours.cost} and {cost}; the times would mean nothing.")
    eight = start + 0.2 * torch.randn(8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    works: list[Callable[[], object]] = [
        lambda: search(start[0].numpy(), settings),
        lambda: levenberg_marquardt(least_squares, start),
        lambda: estimate(problem.begin(), problem.starts, measurements),
    ]
    times = [[seconds(work) for work in works] for _ in range(rounds)]
    scipy_time, our_search, our_estimate = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    alone, whole = (statistics.median(turn[0] / turn[which] for turn in times) for which in (1, 2))
    # Once: some of eight points lead nowhere, and then it takes long.
    together = seconds(lambda: [search(one.numpy(), settings) for one in eight]) / seconds(
        lambda: levenberg_marquardt(least_squares, eight)
    )
    print(
        f"| {problem.name} | {scipy_time:.0f} ms ({calls} rollouts, {settings['method']}) | {our_search:.0f} ms "
        f"| {our_estimate:.0f} ms | {alone:.1f} | {whole:.1f} | {together:.1f} |",
        flush=True,
    )


def seconds(work: Callable[[], object]) -> float:
    """Of CPU time."""
    begin = time.process_time()
    work()
    return time.process_time() - begin
