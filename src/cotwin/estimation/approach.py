"""From starting points to where all of the measurements are nearly fitted best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.estimation import evidence
from cotwin.estimation.levenberg_marquardt import Search, Solution, levenberg_marquardt
from cotwin.estimation.observation import Observation
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.stages import UNSEEN, Stages
from cotwin.estimation.start_search import with_starts

NEARLY = 1e-2
"""Part of the cost that a fit of part of the time may leave to be gained."""
PATIENCE = 15
"""Iterations of a fit of part of the time: who has not come near by then is followed no further than others allow."""
FEWEST = 2
"""Points that are followed to the end, however badly the second fits the first part of the time."""
HOPELESS = 10.0
"""Times the best cost, from which on a point is given up: its misfit is three times as large."""
ALIKE = 0.05
"""Of raw numbers, mostly logarithms, by which points may differ that go on as one."""


@dataclass(frozen=True)
class Followed:
    """Points of a search. counts: how many starting points each of them stands for."""

    z: Float[Tensor, "P Z"]
    counts: Int[Tensor, " P"]

    @classmethod
    def every(cls, z: Float[Tensor, "P Z"]) -> Followed:
        """Each for itself."""
        return cls(z, torch.ones(len(z), dtype=torch.long))


def growing(observation: Observation) -> list[float]:
    """Parts of the observed time: one step from where it begins, two, four, … and no more than two thirds of it.

    From wrong parameters even the state a few steps later may be out of phase with the data.
    """
    first, last = float(observation.time.min()), float(observation.time.max())
    step, parts = observation.layout.dt / max(last - first, observation.layout.dt), list[float]()
    while step < 2 / 3:
        parts.append(step)
        step *= 2
    return parts


def approach(
    problem: LeastSquares,
    z: Float[Tensor, "P Z"],
    search: Search,
    horizons: Sequence[float],
    stages: Stages = UNSEEN,
) -> tuple[LeastSquares, Followed]:
    """Points brought near by fitting the first part of the measurements, and more and more of them.

    After each part those that came to the same place go on as one, and of the others the better half, unless they
    fit far worse than the best.
    Source: Jamieson & Talwalkar (2016), AISTATS (successive halving).
    """
    first, last = float(problem.observation.time.min()), float(problem.observation.time.max())
    if problem.starts.size and first == 0:
        problem, z = _with_starts(problem, z, stages)
    if search in (levenberg_marquardt, with_starts):
        # The next part begins from there, however nearly it is the minimum.
        search = partial(levenberg_marquardt, tolerance=NEARLY, iterations=PATIENCE)
    followed = Followed.every(z)
    for part in horizons:
        shorter = problem.until(first + part * (last - first))
        # A few values say little of many unknowns, and would lead astray.
        if len(shorter.values) < 2 * len(problem.unknowns):
            continue
        solution = stages.solve(search, shorter, followed.z)
        merged, rested = together(problem, solution, followed.counts)
        hopeful = int((rested.cost <= HOPELESS * rested.cost[0]).sum())
        most = max(1, min(hopeful, max(FEWEST, -(-len(solution.z) // 2))))
        stages.say(f"{part:.0%} of the time fitted, {min(most, len(merged.z))} of {len(z)} points followed")
        followed = Followed(merged.z[:most], merged.counts[:most])
    return problem, followed


def together(problem: LeastSquares, solution: Solution, counts: Int[Tensor, " P"]) -> tuple[Followed, Solution]:
    """Points that came to the same place as one, best first; without those that diverge, if not all do."""
    kept, counts = list[int](), counts.clone()
    raw = solution.z[:, : len(problem.unknowns)]
    for point in solution.cost.argsort(stable=True).tolist():
        if kept and not bool(solution.cost[point].isfinite()):
            break
        near = [one for one in kept if bool(((raw[one] - raw[point]).abs() <= ALIKE).all())]
        if near:
            counts[near[0]] += counts[point]
        else:
            kept.append(point)
    some = Solution(solution.z[kept], solution.cost[kept], solution.converged[kept], solution.iterations)
    return Followed(some.z, counts[kept]), some


def _with_starts(
    problem: LeastSquares, z: Float[Tensor, "P Z"], stages: Stages
) -> tuple[LeastSquares, Float[Tensor, "P W"]]:
    """The starts alone, from what was seen of them; they are the same for all points."""
    held = torch.zeros(1, len(problem.unknowns), dtype=torch.bool, device=z.device)
    begin = problem.until(0.0)
    here = stages.solve(partial(levenberg_marquardt, free=held), begin, z[:1]).z
    adapted, here = evidence.with_adapted(problem, here, begin.linearise(here))
    raw = z[:, : len(problem.unknowns)]
    return adapted, torch.cat([raw, here[:, len(problem.unknowns) :].expand(len(z), -1)], dim=1)
