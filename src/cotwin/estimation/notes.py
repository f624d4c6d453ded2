"""What a person should know before using estimates: where they, or their intervals, cannot be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.ensemble import Ensemble
from cotwin.estimation.information import FullInformation
from cotwin.estimation.linear import Linearised, half_square, solve_symmetric
from cotwin.estimation.noise import first_guess
from cotwin.estimation.note import Note
from cotwin.estimation.observation import Observation
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.spectrum import looks
from cotwin.estimation.unknowns import ON_A_BOUND, VANISHED

LARGEST_DISCREPANCY = 2.5
"""Scales of its prior, beyond which a discrepancy's deviation lies once in 80."""
MOSTLY = 1.5
"""Times as wide as by noise alone, from which on an interval is mostly of a discrepancy."""
DECIDED = 0.5
"""Half widths by which a discrepancy may move an unknown: of such a bias it may leave as much as it takes."""
LARGEST_NOISE = 0.7
"""Of the deviation of the values, half of their variance: from there on an estimated noise says more than the fit."""
BY_CHANCE = 1e-4
"""How rarely trajectories that share their unknowns disagree by as much as is pointed out."""
RIVAL = 5.0
"""Of the log-likelihood, up to which another minimum may be the right one: odds of 1 to 150."""
FALSE_ALARMS = 1 / 500
"""How often independent residuals are called correlated, in all looks at them together."""
CURVED = 2.0
"""How much more or less than in its linear model the cost may rise to the ends of intervals."""
LOWER = 0.01
"""A cost lower than the estimate's by so much is no matter of rounding."""


def on_search(converged: bool, iterations: int) -> Iterator[Note]:
    """A search that did not come to rest."""
    if not converged:
        yield Note(
            "not_converged",
            f"the search had not come to rest after {iterations} iterations; start from other values, from more "
            "points, or allow more iterations.",
        )


def on_minima(agreeing: int, points: int, behind: float, second: Mapping[str, float]) -> Iterator[Note]:
    """A minimum that fits nearly as well, or of several the best, to which no second search came.

    second, behind: the unknowns at the second-best minimum, and by how much its log-likelihood is less.
    """
    if behind < RIVAL:
        there = ", ".join(f"{name} {value:.4g}" for name, value in second.items())
        yield Note(
            "second_minimum",
            f"another minimum fits nearly as well: {there}. Its log-likelihood is less by {behind:.2g}. Intervals "
            "are of the best one alone. Say with priors or bounds which one is meant, or observe more.",
        )
    elif agreeing == 1:
        yield Note(
            "lone_minimum",
            f"only one of {points} starting points came to this minimum; there may be better ones. Search from more "
            "points, or within narrower bounds.",
        )


def on_fit(fit: float, freedom: float) -> Iterator[Note]:
    """Residuals beyond the noise that was given."""
    if freedom > 0 and fit > 1 + 5 * (2 / freedom) ** 0.5:
        yield Note(
            "residuals_large",
            f"residuals are {fit**0.5:.3g} times as large as the noise that was given. The simulator misses "
            "something, the search missed the best fit, or there is more noise. The intervals are too narrow.",
        )


def on_residuals(
    residuals: Float[Tensor, " M"], taken: Float[Tensor, " M"], observation: Observation, widened: bool = False
) -> Iterator[Note]:
    """Residuals that are not independent, by the waves in which they are farthest from it; on the CPU.

    taken: how much of each value its own prediction takes up. Their size is taken from themselves, by the channel.
    widened: whether the intervals count it in.
    """
    total, left = (
        residuals.new_zeros(observation.layout.channels).index_add(0, observation.channel, part)
        for part in (residuals.square(), 1 - taken)
    )
    if not bool(((total > 0) & (left > 0))[observation.channel].all()):
        return
    white = residuals * (left / total).sqrt()[observation.channel]
    seen = [look for own, lattice in observation.lattices() for look in looks(lattice, white[own])]
    farthest = min(seen, key=lambda look: (look.chance, -look.excess / look.expected), default=None)
    meaning = "The intervals are widened for it, but not for a bias" if widened else "The intervals are too narrow"
    if farthest is not None and farthest.chance * len(seen) < FALSE_ALARMS:
        times, size = 1 + farthest.excess / farthest.expected, (farthest.excess / len(white)) ** 0.5
        yield Note(
            "residuals_correlated",
            f"residuals are correlated {farthest}. Such waves hold {times:.2g} times what independent residuals "
            f"would, as by a misfit of {size:.2g} of the noise. The simulator misses something, noisy starts were "
            f"taken as exact, or the noise is not independent. {meaning}.",
        )


def on_noise(problem: LeastSquares) -> Iterator[Note]:
    """Where so much was taken for noise that it hides a bad fit, which χ² by the degrees of freedom, one, cannot."""
    names = problem.observation.layout.channel_names
    share = (problem.deviation / (10 * first_guess(problem))).tolist()
    for name, part in zip(names, share, strict=True):
        if part > LARGEST_NOISE:
            yield Note(
                "noise_hides_fit",
                f"the estimated noise of {name} is {part:.2f} of what its values vary by: the fit explains little "
                "of them. Start from other values, or from more points; or there is that much noise.",
            )


def on_discrepancy(
    problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised, known: FullInformation, quantile: float
) -> Iterator[Note]:
    """Whether estimates hang on what is supposed of the simulator's error. linear, known: around z.

    They do where without it an unknown would lie elsewhere in its interval, or where the interval is mostly of it.
    """
    process, size = problem.discrepancy, len(problem.unknowns)
    if process is None or not process.present:
        return
    bare = linear.with_rows(process.plain)
    each = torch.eye(size, dtype=z.dtype, device=z.device)
    by_noise = FullInformation.of(bare.jacobian()[0], problem.unknowns.labels, problem.unknowns.idle(z[:size]))
    deviation = known.deviations(each)
    moved = (bare.solve(torch.zeros_like(bare.cost))[0, :size].abs() / (quantile * deviation)).nan_to_num()
    wider = (deviation / by_noise.deviations(each)).nan_to_num()
    if float(moved.max()) > DECIDED or float(wider.max()) > MOSTLY:
        one, other = (problem.unknowns.labels[int(part.argmax())] for part in (moved, wider))
        yield Note(
            "discrepancy_decides",
            f"the estimates hang on what is supposed of the simulator's error: without it {one} would lie about "
            f"{float(moved.max()):.2g} half widths elsewhere, and {other} have an interval {float(wider.max()):.2g} "
            "times as narrow. An error that looks like a change of the unknowns biases them, and no interval holds "
            "that. Mend the simulator, or say what is known beforehand (priors; the discrepancy's settings).",
        )
    names, beyond = problem.observation.layout.channel_names, process.ratio * problem.deviation / process.scale
    for name, part in zip(names, beyond.tolist(), strict=True):
        if part > LARGEST_DISCREPANCY:
            yield Note(
                "discrepancy_large",
                f"the discrepancy of {name} has a deviation of {part:.2g} times the scale of its prior: the "
                "simulator errs more than was supposed. Give a larger deviation if that may be, or mend it.",
            )


def on_trajectories(problem: LeastSquares, raw: Float[Tensor, " N"], linear: Linearised) -> Iterator[Note]:
    """Trajectories that by themselves would have other parameters: one common value does not fit.

    By the score test: at the common estimate of the data the slope g of a trajectory's own cost has its own JᵀJ for
    covariance, so that gᵀ(JᵀJ)⁻¹g is distributed as χ².
    """
    count = problem.observation.num_trajectories
    if count < 2:
        return
    normals, slopes = linear.by_trajectory(count)
    # Where the data alone would have the common estimate; a prior pulls all trajectories alike.
    common = solve_symmetric(normals.sum(dim=0, keepdim=True), slopes.sum(dim=0, keepdim=True))[0]
    slopes = slopes - normals @ common
    alone = -solve_symmetric(normals, slopes)
    statistic = -(alone * slopes).sum(dim=1)
    freedom = normals.diagonal(dim1=1, dim2=2).gt(0).sum(dim=1)
    pairs = enumerate(zip(statistic.tolist(), freedom.tolist(), strict=True))
    apart = [index for index, (square, degrees) in pairs if scipy.stats.chi2.sf(square, degrees) < BY_CHANCE / count]
    if apart:
        most = int(statistic.argmax())
        place = int(alone[most].abs().argmax())
        here, there = (problem.unknowns.naturally(one)[place] for one in (raw, raw + alone[most]))
        which = ", ".join(map(str, apart[:6])) + (" and more" if len(apart) > 6 else "")
        yield Note(
            "trajectories_disagree",
            f"trajectories disagree: one common value of each unknown is fitted to all {count}, and it does not fit "
            f"{which} (counted from 0). {most} alone asks for a {problem.unknowns.labels[place]} of about "
            f"{there:.3g}, all together for {here:.3g}. The intervals are too narrow. Where it may differ, let it: "
            "per: trajectory (in Python Grouped).",
        )


def on_bounds(problem: LeastSquares, raw: Float[Tensor, " N"], begin: dict[str, float]) -> Iterator[Note]:
    """Which numbers came to rest at an end of their range, where the data would have them go on.

    begin: the values that the search began with, by their labels.
    """
    on_it, gone = [], []
    values, ranges = problem.unknowns.naturally(raw), problem.unknowns.ranges()
    for label, value, (lower, upper) in zip(problem.unknowns.labels, values, ranges, strict=True):
        if math.isfinite(upper - lower):
            share = (value - lower) / (upper - lower)
            on_it += [label] if not ON_A_BOUND <= share <= 1 - ON_A_BOUND else []
        elif lower == 0:
            gone += [f"{label} = {value:.2g}"] if not VANISHED < value / begin[label] < 1 / VANISHED else []
    if on_it:
        yield Note(
            "on_bound",
            f"on a bound: {', '.join(on_it)}. The interval is open there, and its other end is a rough one; that of "
            "a profile, for numbers of their own, is not. Widen the bounds, or the simulator misses something.",
        )
    if gone:
        yield Note(
            "out_of_range",
            f"at the end of its range: {', '.join(gone)}, which is no estimate. The interval is open there. What it "
            "stands for is not in the data, or the data contradict the simulator (its boundaries, its terms), or the "
            "search went astray.",
        )


def on_ensemble(problem: LeastSquares, z: Float[Tensor, " Z"], ensemble: Ensemble) -> Iterator[Note]:
    """That slopes are by regression, how far predictions are from it, and whether costs rise as it has them."""
    seen, linear = ensemble.seen(problem), ensemble.linear(problem, z)
    yield Note(
        "by_ensemble",
        f"intervals are by regression on {len(ensemble.z)} members of the ensemble, not by derivatives. Predictions "
        f"depart from it by {seen.departure:.2g} of the noise: the program's own noise and steps, or curvature.",
    )
    costs = half_square(problem.weighted(ensemble.predicted), problem.prior_residuals(ensemble.z))
    expected = torch.cat([linear.cost_after((one - z)[None]) for one in ensemble.z]) - linear.cost
    if not bool(expected.mean() > 0):  # all numbers lie on bounds
        return
    # What noise adds to the cost of each member it adds at the estimate too.
    ratio = float((costs - linear.cost).mean() / expected.mean())
    scatter = float((costs - expected).std()) / (len(costs) ** 0.5 * float(expected.mean()))
    if not 1 / CURVED - 2 * scatter <= ratio <= CURVED + 2 * scatter:
        yield Note(
            "nonlinear",
            f"the problem is not linear within the ensemble: the cost rises by {ratio:.2g} times what intervals "
            "suppose. Give what is known beforehand (priors), or observe more.",
        )


def on_shape(
    problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised, reach: Float[Tensor, "K N"]
) -> Iterator[Note]:
    """Whether the cost rises to the ends of the intervals as the linear model has it, by one batch of rollouts.

    reach: steps of the raw parameters to the ends of the intervals of some of them.
    """
    if not len(reach):
        return
    steps = linear.following(torch.cat([reach, -reach]))
    here = float(linear.cost[0])
    rise = problem.cost(z + steps) - here
    expected = torch.cat([linear.cost_after(step[None]) for step in steps]) - here
    if bool((rise < -LOWER).any()):
        yield Note(
            "not_at_minimum",
            f"the search did not end at the best fit: within the intervals the cost is lower by "
            f"{-float(rise.min()):.3g}. Start from other values, or from more points.",
        )
    elif bool(((rise > CURVED * expected) | (rise < expected / CURVED)).any()):
        ratio = rise / expected
        yield Note(
            "nonlinear",
            f"the problem is not linear within the intervals: the cost rises by {float(ratio.min()):.2g} to "
            f"{float(ratio.max()):.2g} times what they suppose. Intervals by profile do not suppose it, and there "
            "may be better fits elsewhere: search from more points.",
        )
