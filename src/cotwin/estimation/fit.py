"""The search for the best fit: by which method, and in turn with what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation import evidence, noise
from cotwin.estimation.admitted import most_likely
from cotwin.estimation.approach import Followed, approach, together
from cotwin.estimation.ends import in_sight, kept_in_reach
from cotwin.estimation.ensemble import Ensemble
from cotwin.estimation.ensemble_kalman import EnsembleKalman
from cotwin.estimation.gradient_search import adam, lbfgs
from cotwin.estimation.information import FullInformation
from cotwin.estimation.known import MOST_BY_JACOBIAN, Known
from cotwin.estimation.levenberg_marquardt import Search, Solution, levenberg_marquardt
from cotwin.estimation.pooling import with_spreads
from cotwin.estimation.priors import Pooled
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.stages import UNSEEN, Stages
from cotwin.estimation.start_search import with_starts

ROUNDS, DAMPED, PART = 30, 8, 0.25
"""Most searches in turn with what follows from them; from which on only part of what starts add is taken, since all
of it may lead to and fro."""
SETTLED = 0.02
"""Of a standard deviation, by which unknowns would still move, below which they stay."""
FAR_BEHIND = 20.0
"""Of the logarithm of the likelihood, by which a minimum is so much worse that it is not followed any further."""


def search_for(problem: LeastSquares) -> Search:
    """The method that suits the unknowns: Adam for networks, else by how many there are."""
    if problem.unknowns.closures:
        return adam
    if len(problem.unknowns) > MOST_BY_JACOBIAN:
        return lbfgs
    return with_starts if problem.starts.size and problem.stepper.differentiable else levenberg_marquardt


@dataclass(frozen=True)
class Rest:
    """Where a search came to rest besides the best fit.

    raw: its unknowns. behind: by how much its log-likelihood is less. count: how many starting points came there.
    converged: whether it is a minimum.
    """

    raw: Float[Tensor, " N"]
    behind: float
    count: int
    converged: bool


@dataclass(frozen=True)
class Fit:
    """What a search found.

    problem: with what follows from the best fit. z: the best fit. cost: of it. converged: whether the search rests
    there. count: how many of the starting points are known to have come there. others: where else some came, best
    first. ensemble: with which it was found, if by one.
    """

    problem: LeastSquares
    z: Float[Tensor, " Z"]
    cost: float
    converged: bool
    iterations: int
    count: int
    others: list[Rest]
    ensemble: Ensemble | None = None


def by_ensemble(problem: LeastSquares, search: EnsembleKalman, noise_is_known: bool) -> Fit:
    """What an ensemble finds around the stepper's values, with the noise that follows from it."""
    members = search.first(problem, problem.present()[0])
    found = search.search(problem, members, noise_is_known)
    return Fit(found.problem, found.z, found.cost, found.converged, found.iterations, 1, [], found.ensemble)


def fit(
    problem: LeastSquares,
    points: Followed,
    search: Search,
    noise_is_known: bool,
    stages: Stages = UNSEEN,
) -> Fit:
    """Search, in turn with what follows from where it came to rest, until all stays.

    That is the noise where it is not known, a discrepancy, the prior of starts that adapt, and what integrating the
    starts out adds to the cost.
    """
    taken, left_behind = 0, list[Rest]()
    for left in reversed(range(ROUNDS + 1)):
        solution = kept_in_reach(problem, stages.solve(search, problem, points.z))
        taken += solution.iterations
        stages.say(f"all of the time fitted, search {ROUNDS + 1 - left}")
        points, solution = together(problem, solution, points.counts)
        others = _others(problem, points, solution, noise_is_known)
        if not left or not bool(solution.cost[0].isfinite()):
            break
        followed = [0, *(1 + place for place, other in enumerate(others) if other.behind <= FAR_BEHIND)]
        taking = 1.0 if left > ROUNDS - DAMPED else PART
        revised, z = _revised(problem, solution.z[followed], noise_is_known, stages, taking)
        if revised is problem:
            break
        left_behind.extend(other for other in others if other.behind > FAR_BEHIND)
        problem, points = revised, Followed(z, points.counts[followed])
    return Fit(
        problem=problem,
        z=solution.z[0],
        cost=float(solution.cost[0]),
        converged=bool(solution.converged[0]),
        iterations=taken,
        count=int(points.counts[0]),
        others=sorted([*others, *left_behind], key=lambda other: other.behind),
    )


def fit_from_points(
    problem: LeastSquares,
    z: Float[Tensor, "P Z"],
    search: Search,
    parts: Sequence[float],
    noise_is_known: bool,
    stages: Stages,
) -> Fit:
    """By part of the time after the other. Where there is a discrepancy, from every starting point again.

    The best fit may lie elsewhere then.
    """
    found = fit(*approach(problem, z, search, parts, stages), search, noise_is_known, stages)
    problem, size = found.problem, len(found.problem.unknowns)
    if problem.discrepancy is None or not problem.discrepancy.present:
        return found
    # What integrating the starts out adds is of that fit, and far from it a line without an end.
    problem = problem.tilted(torch.zeros_like(problem.tilt), problem.level)
    points = torch.cat([z[:, :size], found.z[size:].expand(len(z), -1)], dim=1)
    counts = torch.ones(1 + len(z), dtype=torch.long)
    counts[0] = 0
    more = fit(problem, Followed(torch.cat([found.z[None], points]), counts), search, noise_is_known, stages)
    return replace(more, count=max(1, more.count), iterations=found.iterations + more.iterations)


def _others(problem: LeastSquares, points: Followed, solution: Solution, noise_is_known: bool) -> list[Rest]:
    """All but the first, which is the best."""
    best, size = solution.cost[0], len(problem.unknowns)
    # Where the noise is estimated each fit has its own.
    behind = solution.cost - best if noise_is_known else len(problem.values) / 2 * (solution.cost / best).log()
    parts = zip(solution.z[1:, :size], behind[1:], points.counts[1:], solution.converged[1:], strict=True)
    return [Rest(raw, float(cost), int(count), bool(at_rest)) for raw, cost, count, at_rest in parts]


def _revised(
    problem: LeastSquares, z: Float[Tensor, "P Z"], noise_is_known: bool, stages: Stages, taking: float
) -> tuple[LeastSquares, Float[Tensor, "P W"]]:
    """The problem with what follows from the first point; the same one where that changes nothing.

    taking: how much of what starts that are integrated out add.
    """
    pooled = any(isinstance(prior, Pooled) for prior in problem.priors.values())
    if noise_is_known and not problem.starts.size and problem.discrepancy is None and not pooled:
        return problem, z
    held, at = problem.without_closures(z[0])
    known, revised = Known.at(held, at), problem
    if problem.discrepancy is not None and known.linear is not None:
        revised = most_likely(problem, known.linear, noise_is_known)
    if not noise_is_known and revised is problem:
        deviation = noise.remaining(problem, z[0], known.taken)
        if bool((deviation / problem.deviation - 1).abs().nan_to_num().max() > noise.SETTLED):
            revised = problem.with_noise(deviation)
    if known.linear is None:
        return revised, z
    settled = revised is problem
    if problem.starts.size:
        revised, z = _with_starts(problem, revised, z, known, at, stages, taking)
    if pooled and settled:
        revised = with_spreads(revised, at, known.linear)
    return revised, z


def _with_starts(
    problem: LeastSquares,
    revised: LeastSquares,
    z: Float[Tensor, "P Z"],
    known: Known,
    at: Float[Tensor, " Z"],
    stages: Stages,
    taking: float,
) -> tuple[LeastSquares, Float[Tensor, "P W"]]:
    """The same, with what starts that are integrated out add."""
    assert known.linear is not None
    revised, z = evidence.with_adapted(revised, z, known.linear)
    if revised is problem and isinstance(known.information, FullInformation) and not problem.unknowns.closures:
        # Of a number that is lost at a bound it is looked for where it may be pulled away from there.
        there = in_sight(problem, at, known.linear)
        lost = not torch.equal(there, at)
        seen = Known.at(problem, there) if lost else known
        assert seen.linear is not None
        assert isinstance(seen.information, FullInformation)
        covariance, around = seen.information.covariance(), seen.linear
        tilt = stages.take("slope", [there], lambda: {"slope": evidence.slope(problem, there, around)})["slope"]
        if float((covariance @ (tilt - problem.tilt) / covariance.diagonal().sqrt()).abs().max()) > SETTLED:
            revised = problem.tilted(torch.lerp(problem.tilt, tilt, taking), there[: len(tilt)])
            z = torch.cat([there[None], z[1:]]) if lost else z
    return revised, z
