"""Estimates of replicas: begun at their truths, all together where starts and model are exact; or searched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation import noise
from cotwin.estimation.approach import Followed, approach, growing
from cotwin.estimation.estimation import Estimation
from cotwin.estimation.fit import fit, search_for
from cotwin.estimation.information import FullInformation, Information
from cotwin.estimation.intervals import Interval, laplace_interval
from cotwin.estimation.known import Known
from cotwin.estimation.levenberg_marquardt import levenberg_marquardt
from cotwin.estimation.linear import Linearised
from cotwin.estimation.multi_start import sobol_points
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.replicas import Replicas
from cotwin.stepper import DivergenceError


@dataclass(frozen=True)
class Redone:
    """One draw's estimate, as `estimate` gives it: the raw unknowns, and intervals by Student's quantiles."""

    raw: Float[Tensor, " N"]
    information: Information
    freedom: float

    def quantile(self, level: float) -> float:
        """How many standard deviations an interval reaches."""
        return float(scipy.stats.t.ppf(0.5 + level / 2, self.freedom))

    def intervals(self, problem: LeastSquares, level: float) -> dict[str, Interval]:
        """By the parameters' names."""
        return {
            name: laplace_interval(problem.unknowns, name, self.raw, self.information, self.quantile(level))
            for name in problem.unknowns.parameters
        }


def redone(found: Estimation, replicas: Replicas, which: Tensor) -> Iterator[Redone | None]:
    """The estimates of some of the draws, in their order; None where a search did not come to rest."""
    if replicas.problem.starts.size or replicas.problem.discrepancy is not None:
        for index in which.tolist():
            yield one_by_one(found, replicas.alone(index), replicas.truth[index])
    else:
        for some in which.split(replicas.problem.points_at_once):
            yield from _together(found, replicas.together(some), replicas.truth[some])


def searched(found: Estimation, replicas: Replicas, index: int, seed: int) -> Redone | None:
    """One draw's estimate by the whole search of `estimate`, from where that began; None where it leads nowhere."""
    begin = torch.cat([found.begin.to(found.z), torch.zeros_like(found.z[len(found.begin) :])])
    problem, z = replicas.alone(index).without_closures(begin)
    # What integrating the starts out adds is of the estimate, and far from it a line without an end.
    nothing = torch.zeros_like(found.begin).to(z)
    problem = problem.tilted(nothing, nothing)
    points = torch.cat([z[None], sobol_points(problem, found.points - 1, seed)])
    if found.noise_estimated:
        problem = problem.with_noise(noise.first_guess(problem))
    try:
        problem, followed = approach(problem, points, search_for(problem), growing(problem.observation))
        return _fitted(found, problem, followed)
    except (DivergenceError, ValueError):
        return None


def one_by_one(found: Estimation, problem: LeastSquares, truth: Float[Tensor, " Z"]) -> Redone | None:
    """One draw's estimate from its truth, noise and prior of the starts found with it."""
    try:
        return _fitted(found, problem, Followed.every(truth[None]))
    except (DivergenceError, ValueError):
        return None


def _fitted(found: Estimation, problem: LeastSquares, points: Followed) -> Redone | None:
    best = fit(problem, points, search_for(problem), not found.noise_estimated)
    if not best.converged:
        return None
    known = Known.at(best.problem, best.z)
    return _concluded(found, best.problem, best.z, known)


def _together(found: Estimation, problem: LeastSquares, z: Float[Tensor, "P Z"]) -> Iterator[Redone | None]:
    """The same for exact starts, all in one batch: only the noise, where it is estimated, follows from the fit."""
    deviation = problem.deviation.expand(len(z), -1)
    for _ in range(noise.ROUNDS):
        problem = problem.with_noise(deviation)
        solution = levenberg_marquardt(problem, z)
        # Where one diverges its noise is no number; it must not hold up the others.
        z = torch.where(solution.converged[:, None], solution.z, z)
        linear = problem.linearise(z)
        taken = linear.leverage()
        if not found.noise_estimated:
            break
        revised = torch.where(solution.converged[:, None], noise.remaining_each(problem, z, taken), deviation)
        settled = (revised / deviation - 1).abs().nan_to_num().max() <= noise.SETTLED
        deviation = deviation if settled else revised
        if settled:
            break
    for row, rests in enumerate(solution.converged.tolist()):
        yield _at_rest(found, problem, z[row], linear[torch.tensor([row])], taken[row]) if rests else None


def _at_rest(
    found: Estimation, problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised, taken: Float[Tensor, " M"]
) -> Redone | None:
    raw = z[: len(problem.unknowns)]
    information = FullInformation.of(linear.jacobian()[0], problem.unknowns.labels, problem.unknowns.idle(raw))
    return _concluded(found, problem, z, Known(information, taken, linear))


def _concluded(found: Estimation, problem: LeastSquares, z: Float[Tensor, " Z"], known: Known) -> Redone | None:
    """None where nothing is known of an unknown, so that there is no interval."""
    assert known.information is not None
    if isinstance(known.information, FullInformation) and bool(known.information.blind.any()):
        return None
    raw = z[: len(problem.unknowns)]
    return Redone(raw, known.information, known.freedom(problem, not found.noise_estimated))
