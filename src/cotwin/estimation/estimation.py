"""Estimates of a stepper's unknowns from measurements, with intervals."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.gradient_search import adam, lbfgs
from cotwin.estimation.information import FullInformation, Information
from cotwin.estimation.levenberg_marquardt import Search, Solution, levenberg_marquardt
from cotwin.estimation.low_rank import LowRankInformation, require_priors
from cotwin.estimation.measurements import Measurements, NoisyStarts
from cotwin.estimation.multi_start import sobol_points
from cotwin.estimation.priors import Prior
from cotwin.estimation.problem import LeastSquares
from cotwin.parameters import Elementwise
from cotwin.stepper import DivergenceError, Stepper

logger = logging.getLogger(__name__)

NOISE_ROUNDS = 20
HORIZONS = (1 / 8, 1 / 4, 1 / 2)
LARGEST_NOISE = 0.7
"""Of the deviation of the values, half of their variance: from there on an estimated noise says more than the fit."""
ON_A_BOUND = 1e-3
"""Of the distance between two bounds, how near to one an estimate lies on it."""
MOST_BY_JACOBIAN = 300
"""Unknowns up to which Jacobians are cheaper than they are useful; beyond, searches go along gradients."""


@dataclass(frozen=True)
class Interval:
    """An estimated parameter in natural units.

    deviation: standard deviation (Laplace's approximation); low, high: ends of the interval at the level asked for.
    All have the parameter's shape; a field's are point by point.
    """

    name: str
    unit: str
    value: Tensor
    deviation: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Estimation:
    """What `estimate` found.

    stepper: calibrated, a copy of the one given. intervals: by the parameters' names. level: of the intervals;
    quantile: how many standard deviations they reach.
    information: how well they are determined; None where a network is the only unknown.
    noise: of each channel; nan where nothing of a channel was measured. noise_estimated: or else given.
    starts: the initial states, as given or as estimated. residuals: (prediction − value)/σ.
    cost: ½ ‖residuals‖², those of priors and starts included. freedom: degrees of freedom, values less what their
    predictions take up of them. fit: χ² of the values by it, near one where the model and a given noise fit, and in
    any case where the noise is estimated.
    converged: whether the search came to rest. agreeing: how many of `points` starting points came to the same place.
    warnings: what a person should know before using the numbers.
    """

    stepper: Stepper
    intervals: dict[str, Interval]
    level: float
    information: Information | None
    noise: Float[Tensor, " C"]
    noise_estimated: bool
    starts: Float[Tensor, "B C *S"]
    residuals: Float[Tensor, " M"]
    cost: float
    freedom: float
    fit: float
    converged: bool
    iterations: int
    points: int
    agreeing: int
    warnings: list[str]
    problem: LeastSquares
    z: Float[Tensor, " Z"]
    quantile: float


def estimate(
    stepper: Stepper,
    starts: Float[Tensor, "B C *S"] | NoisyStarts,
    measurements: Measurements,
    *,
    priors: Mapping[str, Prior] | None = None,
    points: int = 1,
    level: float = 0.9,
    search: Search | None = None,
    horizons: Sequence[float] = HORIZONS,
    seed: int = 0,
) -> Estimation:
    """The unknowns that fit the measurements best, given what is known beforehand, and how sure that is.

    Minimises ½ ‖(O(rollout(θ, s)) − y)/σ‖² − log p(θ): maximum a posteriori, without priors maximum likelihood.
    stepper: with the unknowns at their initial values; it is not changed.
    starts: initial states, exact, or `NoisyStarts` that are estimated with the unknowns. Noise in starts that are
        taken to be exact biases what smooths it, such as a diffusivity.
    points: starting points; beyond the first, which is the stepper's own, from a Sobol sequence through the priors,
        or bounds. All run as one batch, and the best is taken.
    level: of the intervals.
    search: how to minimise: `levenberg_marquardt`, `lbfgs` or `adam`, with other settings through functools.partial.
        If not given Levenberg-Marquardt for up to 300 unknown numbers, L-BFGS for more, Adam for networks.
    horizons: parts of the time that are fitted before all of it, one after the other, each from where the last came
        to rest. A long rollout from wrong parameters is out of phase with the data, and its cost has many minima.

    Intervals are Laplace's: the normal distribution whose covariance is (JᵀJ)⁻¹ at the estimate, in the raw numbers
    that the optimiser sees, so that those of a positive parameter stay positive; with Student's quantiles where the
    noise is estimated. They hold where the problem is nearly linear within them: `profile` does not need that.

    Raises ValueError for what cannot be estimated, and DivergenceError if no starting point gives finite states.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give the probability of the intervals, such as 0.9.")
    if points < 1:
        raise ValueError(f"points is {points}; search from at least one, the stepper's own.")
    problem = LeastSquares(stepper, starts, measurements, priors)
    if not problem.unknowns.closures and len(problem.unknowns) > MOST_BY_JACOBIAN:
        require_priors(problem)
    z = torch.cat([problem.present(), sobol_points(problem, points - 1, seed)])
    search = search or _search_for(problem)
    z = _approach(
        problem.with_noise(_spread(problem)) if measurements.noise is None else problem, z, search, horizons
    )
    solution, problem = _fit(problem, z, measurements, search)
    best = int(solution.cost.argmin())
    if not bool(solution.cost[best].isfinite()):
        raise DivergenceError(
            f"{type(stepper).__name__} diverges from every starting point ({points}); start from other values, "
            f"narrow the bounds, or take more substeps. {stepper.remedy(problem.guess)}".rstrip()
        )
    agreeing = int((solution.cost < solution.cost[best] + 0.5).sum())
    return conclude(problem, solution, best, measurements, level, agreeing)


def conclude(
    problem: LeastSquares, solution: Solution, best: int, measurements: Measurements, level: float, agreeing: int
) -> Estimation:
    """Linearise at the best point and say what it means."""
    closures, calibrated = problem.unknowns.closures, problem.calibrated(solution.z[best])
    residuals = problem.misfit(solution.z[best : best + 1])[0]
    problem, z = problem.without_closures(solution.z[best])
    information, taken = _information(problem, z)
    freedom = problem.observation.size - float(taken.sum())
    # Where the noise is known its quantiles are the normal ones, which Student's are for ever so many values.
    quantile = float(scipy.stats.t.ppf(0.5 + level / 2, freedom if measurements.noise is None else 1e9))
    warnings = [*measurements.observation.notes, *([] if information is None else information.warnings())]
    if not bool(solution.converged[best]):
        warnings.append(
            f"the search had not come to rest after {solution.iterations} iterations; start from other values, from "
            "more points, or allow more iterations."
        )
    fit = float(residuals.square().sum()) / freedom if freedom > 0 else float("nan")
    if measurements.noise is None:
        warnings += _warnings_of_noise(problem)
    elif fit > 1 + 5 * (2 / freedom) ** 0.5:
        warnings.append(
            f"residuals are {fit**0.5:.3g} times as large as the noise that was given: the simulator misses "
            "something, the search missed the best fit, or there is more noise. The intervals are too narrow, then."
        )
    warnings += _warnings_of(residuals, problem)
    if closures:
        warnings.append("intervals hold the networks' weights fixed, so they are too narrow.")
    raw, white = problem.parts(z[None])
    warnings += _warnings_of_bounds(problem, raw[0])
    intervals = {}
    if information is not None:
        for name in problem.unknowns.parameters:
            intervals[name] = _interval(problem, name, raw[0], information, quantile)
    return Estimation(
        stepper=calibrated,
        intervals=intervals,
        level=level,
        information=information,
        noise=problem.deviation,
        noise_estimated=measurements.noise is None,
        starts=problem.starts(white)[0],
        residuals=residuals,
        cost=float(solution.cost[best]),
        freedom=freedom,
        fit=fit,
        converged=bool(solution.converged[best]),
        iterations=solution.iterations,
        points=len(solution.z),
        agreeing=agreeing,
        warnings=warnings,
        problem=problem,
        z=z,
        quantile=quantile,
    )


def _search_for(problem: LeastSquares) -> Search:
    if problem.unknowns.closures:
        return adam
    return levenberg_marquardt if len(problem.unknowns) <= MOST_BY_JACOBIAN else lbfgs


def _approach(problem: LeastSquares, z: Tensor, search: Search, horizons: Sequence[float]) -> Tensor:
    """Points brought near by fitting the first part of the measurements, and more and more of them."""
    first, last = float(problem.observation.time.min()), float(problem.observation.time.max())
    if problem.start_size and first == 0:
        # At first the starts alone, from what was seen of them.
        held = torch.zeros(len(z), len(problem.unknowns), dtype=torch.bool)
        z = levenberg_marquardt(problem.until(0.0), z, free=held).z
    for part in horizons:
        shorter = problem.until(first + part * (last - first))
        # A few values say little of many unknowns, and would lead astray.
        if len(shorter.values) >= 2 * len(problem.unknowns):
            z = search(shorter, z).z
    return z


def _fit(
    problem: LeastSquares, z: Tensor, measurements: Measurements, search: Search
) -> tuple[Solution, LeastSquares]:
    """Search; where the noise is not known, search and measure it in turn until both stay."""
    if measurements.noise is not None:
        return search(problem, z), problem
    problem, taken = problem.with_noise(_spread(problem)), 0
    for _ in range(NOISE_ROUNDS):
        solution = search(problem, z)
        taken += solution.iterations
        best = int(solution.cost.argmin())
        if not bool(solution.cost[best].isfinite()):
            break
        z, before = solution.z, problem.deviation
        problem = problem.with_noise(_noise(problem, z[best]))
        if bool((problem.deviation / before - 1).abs().nan_to_num().max() < 1e-3):
            break
    solution = search(problem, z)
    return replace(solution, iterations=taken + solution.iterations), problem


def _warnings_of(residuals: Float[Tensor, " M"], problem: LeastSquares) -> list[str]:
    """What residuals that follow each other in the observation, on a grid neighbours, say if they are alike."""
    observation = problem.observation
    alike = (observation.trajectory.diff() == 0) & (observation.channel.diff() == 0)
    pairs = (residuals[:-1] * residuals[1:])[alike]
    size = float(residuals.square().mean())
    together = float(pairs.mean()) / size if len(pairs) and size > 0 else 0.0
    if together <= 0.1 + 3 / observation.size**0.5:
        return []
    return [
        f"neighbouring residuals hang together (correlation {together:.2f}): the simulator misses something, noisy "
        "starts were taken as exact, or the noise is not independent. The intervals are too narrow, then."
    ]


def _warnings_of_bounds(problem: LeastSquares, raw: Tensor) -> list[str]:
    """Which numbers came to rest on a bound, where the data would have them go on."""
    on_it = []
    for name, own in problem.unknowns.split(raw).items():
        module = problem.stepper.get_submodule(name.rpartition(".")[0])
        if isinstance(module, Elementwise) and math.isfinite(module.upper - module.lower):
            share = (module.to_natural(own).flatten() - module.lower) / (module.upper - module.lower)
            on_it += [bool(low or high) for low, high in zip(share < ON_A_BOUND, share > 1 - ON_A_BOUND, strict=True)]
        else:
            on_it += [False] * own.numel()
    names = [label for label, on in zip(problem.unknowns.labels, on_it, strict=True) if on]
    if not names:
        return []
    return [
        f"on a bound: {', '.join(names)}. Widen the bounds, or the simulator misses something. Laplace's interval "
        "says nothing there, that by profile does."
    ]


def _warnings_of_noise(problem: LeastSquares) -> list[str]:
    """Where so much was taken for noise that it hides a bad fit, which χ² by the degrees of freedom, one, cannot."""
    names = problem.observation.layout.channel_names
    share = (problem.deviation / (10 * _spread(problem))).tolist()
    return [
        f"the estimated noise of {name} is {part:.2f} of what its values vary by: the fit explains little of them. "
        "Start from other values, or from more points; or there is that much noise."
        for name, part in zip(names, share, strict=True)
        if part > LARGEST_NOISE
    ]


def _spread(problem: LeastSquares) -> Tensor:
    """A first guess of the noise: a tenth of what the values of each channel vary by."""
    channel, values = problem.observation.channel, problem.values
    spread = [
        values[channel == c].std(correction=0) if bool((channel == c).any()) else torch.nan
        for c in range(problem.observation.layout.channels)
    ]
    level = 0.1 * torch.as_tensor(spread, dtype=torch.float64)
    return torch.where(level == 0, 1.0, level)


def _information(problem: LeastSquares, z: Tensor) -> tuple[Information | None, Float[Tensor, " M"]]:
    """On the unknowns at a point, and how much of each value its own prediction takes up."""
    size = problem.observation.size
    if not len(problem.unknowns):
        return None, torch.zeros(size, dtype=torch.float64)
    if len(problem.unknowns) <= MOST_BY_JACOBIAN:
        linear = problem.linearise(z[None])
        idle = problem.unknowns.idle(z[: len(problem.unknowns)])
        return FullInformation.of(linear.jacobian()[0], problem.unknowns.labels, idle), linear.leverage()[0]
    low_rank = LowRankInformation.of(problem, z)
    return low_rank, torch.full((size,), low_rank.learned / size, dtype=torch.float64)


def _noise(problem: LeastSquares, z: Tensor) -> Float[Tensor, " C"]:
    """σ_c² = Σ residual² / Σ (1 − leverage) over the values of a channel."""
    channel, channels = problem.observation.channel, problem.observation.layout.channels
    misfit = problem.misfit(z[None])[0]
    left = 1 - _information(*problem.without_closures(z))[1]
    total = torch.zeros(channels, dtype=torch.float64).index_add(0, channel, misfit.square())
    counts = torch.zeros(channels, dtype=torch.float64).index_add(0, channel, left)
    if bool((counts[channel] < 1).any()):
        raise ValueError(
            "the values are too few to estimate the noise as well: fewer than one is left for it. Give the noise, "
            "or observe more."
        )
    # Data without any noise would end in a division by zero; below rounding of the values there is none.
    least = torch.finfo(problem.dtype).eps * _spread(problem)
    return torch.maximum(problem.deviation * (total / counts).sqrt(), least)


def _interval(problem: LeastSquares, name: str, raw: Tensor, information: Information, quantile: float) -> Interval:
    unknowns = problem.unknowns
    parameter = unknowns.parameters[name]

    def value(at: Tensor) -> Tensor:
        return unknowns.value(name, at).double()

    middle = value(raw)
    slope = torch.func.jacfwd(value)(raw).reshape(-1, len(raw))
    deviation = information.deviations(slope).reshape(middle.shape)
    low, high = middle - quantile * deviation, middle + quantile * deviation
    if isinstance(parameter, Elementwise):
        # Through the raw numbers, so that the interval stays within the bounds.
        place = unknowns.place(name)
        spread = quantile * information.deviations(torch.eye(len(raw), dtype=torch.float64)[place])
        ends = [value(raw.index_add(0, torch.arange(len(raw))[place], sign * spread)) for sign in (-1, 1)]
        low, high = ends
    return Interval(name, parameter.unit, middle, deviation, low, high)
