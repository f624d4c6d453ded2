"""The estimation of a stepper's unknowns, from the first search to what it means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation import noise
from cotwin.estimation.admitted import admit
from cotwin.estimation.approach import Followed, growing
from cotwin.estimation.discrepancy import Discrepancy
from cotwin.estimation.ensemble_kalman import EnsembleKalman
from cotwin.estimation.estimation import Estimation, conclude
from cotwin.estimation.fit import Fit, by_ensemble, fit, fit_from_points, search_for
from cotwin.estimation.known import MOST_BY_JACOBIAN
from cotwin.estimation.levenberg_marquardt import Search
from cotwin.estimation.low_rank import require_priors
from cotwin.estimation.measurements import Measurements, NoisyStarts
from cotwin.estimation.multi_start import sobol_points, suggested
from cotwin.estimation.note import Note
from cotwin.estimation.priors import Prior
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.roughness import by_steps
from cotwin.estimation.stages import UNSEEN, Stages
from cotwin.given import Given
from cotwin.stepper import DivergenceError, Stepper


def estimate(
    stepper: Stepper,
    starts: Float[Tensor, "B C *S"] | NoisyStarts,
    measurements: Measurements,
    *,
    priors: Mapping[str, Prior] | None = None,
    points: int | None = None,
    level: float = 0.9,
    search: Search | None = None,
    horizons: Sequence[float] | None = None,
    seed: int = 0,
    discrepancy: Discrepancy | None = None,
    given: Given | None = None,
    stages: Stages = UNSEEN,
) -> Estimation:
    """The unknowns that fit the measurements best, given what is known beforehand, and how sure that is.

    Minimises ½ ‖(O(rollout(θ, s)) − y)/σ‖² − log p(θ): maximum a posteriori, without priors maximum likelihood.
    stepper: with the unknowns at their initial values; it is not changed.
    starts: initial states, exact, or `NoisyStarts` that are estimated with the unknowns. Noise in starts that are
        taken to be exact biases what smooths it, such as a diffusivity.
    points: starting points; beyond the first, which is the stepper's own, from a Sobol sequence through the priors,
        or bounds. All run as one batch. After each part of the time those that came to the same place go on as one,
        and of the others the better half. If not given 8 for up to 20 unknown numbers; one for more, for a
        search of one's own, and for simulators that take rollouts one by one.
    level: of the intervals.
    search: how to minimise: `levenberg_marquardt`, `lbfgs` or `adam`, with other settings through functools.partial,
        or an `EnsembleKalman`, which takes no derivative and for intervals the slopes of its own regression.
        If not given Levenberg-Marquardt for up to 300 unknown numbers, L-BFGS for more, Adam for networks.
    horizons: parts of the time that are fitted before all of it, one after the other, each from where the last came
        to rest. If not given one step, two, four, … A long rollout from wrong parameters is out of phase with the
        data, and its cost has many minima.
    discrepancy: an error of the simulator that is admitted; how large it is the data say, under its prior. Intervals
        hold it. Not for networks, ensembles and more than 300 unknown numbers.
    given: what comes from outside with the starts, for a stepper that takes it.
    stages: what becomes of each stage; nothing if not given.

    Intervals are Laplace's: the normal distribution whose covariance is (JᵀJ)⁻¹ at the estimate, in the raw numbers
    that the optimiser sees, so that those of a positive parameter stay positive; with Student's quantiles where the
    noise is estimated. They hold where the problem is nearly linear within them: `profile` does not need that.

    Raises ValueError for what cannot be estimated, and DivergenceError if no starting point gives finite states.
    """
    _require_sense(level, points)
    problem = LeastSquares(stepper, starts, measurements, priors, given)
    if not problem.unknowns.closures and len(problem.unknowns) > MOST_BY_JACOBIAN:
        require_priors(problem)
    problem = admit(problem, discrepancy, search)
    if points is None:
        points = suggested(problem) if search is None else 1
    z = torch.cat([problem.present(), sobol_points(problem, points - 1, seed)])
    search = search or search_for(problem)
    noise_is_known = measurements.noise is not None
    if not noise_is_known:
        problem = problem.with_noise(noise.first_guess(problem))
    found, rough = _searched(problem, z, search, horizons, noise_is_known, stages)
    if not math.isfinite(found.cost):
        raise DivergenceError(
            f"{type(stepper).__name__} diverges from every starting point ({points}); start from other values, "
            f"narrow the bounds, or take more substeps. {stepper.remedy(problem.starts.guess)}".rstrip()
        )
    concluded = conclude(found, stepper, level=level, points=points, noise_is_known=noise_is_known)
    concluded.warnings.extend(rough)
    return concluded


def _searched(
    problem: LeastSquares,
    z: Float[Tensor, "P Z"],
    search: Search,
    horizons: Sequence[float] | None,
    noise_is_known: bool,
    stages: Stages,
) -> tuple[Fit, list[Note]]:
    """The best fit, and what speaks against derivatives of a user's program."""
    if isinstance(search, EnsembleKalman):
        return by_ensemble(problem, search, noise_is_known), []
    problem, rough = (problem, []) if problem.stepper.effort is None else by_steps(problem, z[0])
    parts = growing(problem.observation) if horizons is None else horizons
    return fit_from_points(problem, z, search, parts, noise_is_known, stages), rough


def again(found: Estimation, stepper: Stepper, stages: Stages = UNSEEN) -> Estimation:
    """The same estimation with another stepper for the same unknowns, such as a finer one, from where it rested.

    Not for networks as unknowns. Raises ValueError for a stepper with other parameters, and DivergenceError where it
    diverges at the estimate.
    """
    problem, noise_is_known = found.problem.on(stepper), not found.noise_estimated
    finer = fit(problem, Followed.every(found.z[None]), search_for(problem), noise_is_known, stages)
    if not math.isfinite(finer.cost):
        raise DivergenceError(f"{type(stepper).__name__} diverges at the estimate.")
    finer = replace(finer, iterations=found.iterations + finer.iterations, count=found.agreeing, others=found.others)
    return conclude(finer, stepper, level=found.level, points=found.points, noise_is_known=noise_is_known)


def _require_sense(level: float, points: int | None) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give the probability of the intervals, such as 0.9.")
    if points is not None and points < 1:
        raise ValueError(f"points is {points}; search from at least one, the stepper's own.")
