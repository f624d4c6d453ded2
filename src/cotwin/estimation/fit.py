"""The search for the best fit: by which method, through which parts of the time, and in turn with what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation import evidence, noise
from cotwin.estimation.gradient_search import adam, lbfgs
from cotwin.estimation.known import MOST_BY_JACOBIAN, Known
from cotwin.estimation.levenberg_marquardt import Search, Solution, levenberg_marquardt
from cotwin.estimation.linear import Linearised
from cotwin.estimation.problem import LeastSquares

HORIZONS = (1 / 8, 1 / 4, 1 / 2)
NEARLY = 1e-2
"""Part of the cost that a fit of part of the time may leave to be gained."""
ROUNDS = 20
"""Most searches in turn with what follows from them."""
SETTLED = 0.02
"""Of a standard deviation, by which unknowns would still move, below which they stay."""


def search_for(problem: LeastSquares) -> Search:
    """The method that suits the unknowns: Adam for networks, else by how many there are."""
    if problem.unknowns.closures:
        return adam
    return levenberg_marquardt if len(problem.unknowns) <= MOST_BY_JACOBIAN else lbfgs


def approach(
    problem: LeastSquares, z: Float[Tensor, "P Z"], search: Search, horizons: Sequence[float]
) -> tuple[LeastSquares, Float[Tensor, "P W"]]:
    """Points brought near by fitting the first part of the measurements, and more and more of them."""
    first, last = float(problem.observation.time.min()), float(problem.observation.time.max())
    if problem.start_size and first == 0:
        # At first the starts alone, from what was seen of them.
        held = torch.zeros(len(z), len(problem.unknowns), dtype=torch.bool, device=z.device)
        begin = problem.until(0.0)
        z = levenberg_marquardt(begin, z, free=held).z
        problem, z = _adapted(problem, z, begin.linearise(z[:1]))
    if search is levenberg_marquardt:
        # The next part begins from there, however nearly it is the minimum.
        search = partial(levenberg_marquardt, tolerance=NEARLY)
    for part in horizons:
        shorter = problem.until(first + part * (last - first))
        # A few values say little of many unknowns, and would lead astray.
        if len(shorter.values) >= 2 * len(problem.unknowns):
            z = search(shorter, z).z
    return problem, z


def fit(
    problem: LeastSquares, z: Float[Tensor, "P Z"], search: Search, noise_is_known: bool
) -> tuple[Solution, LeastSquares]:
    """Search, in turn with what follows from where it came to rest, until all stays.

    That is the noise where it is not known, the prior of starts that adapt, and what integrating the starts out adds
    to the cost. Returns the problem with what was found.
    """
    taken = 0
    for _ in range(ROUNDS):
        solution = search(problem, z)
        taken += solution.iterations
        best = int(solution.cost.argmin())
        if not bool(solution.cost[best].isfinite()):
            break
        revised, z = _revised(problem, solution.z, best, noise_is_known)
        if revised is problem:
            break
        problem = revised
    else:
        solution = search(problem, z)
        taken += solution.iterations
    return replace(solution, iterations=taken), problem


def _revised(
    problem: LeastSquares, z: Float[Tensor, "P Z"], best: int, noise_is_known: bool
) -> tuple[LeastSquares, Float[Tensor, "P W"]]:
    """The problem with what follows from the best point; the same one where that changes nothing."""
    if noise_is_known and not problem.start_size:
        return problem, z
    held, at = problem.without_closures(z[best])
    known, revised = Known.at(held, at), problem
    if not noise_is_known:
        deviation = noise.remaining(problem, z[best], known.taken)
        if bool((deviation / problem.deviation - 1).abs().nan_to_num().max() > noise.SETTLED):
            revised = problem.with_noise(deviation)
    if known.linear is None or not problem.start_size:
        return revised, z
    revised, z = _adapted(revised, z, known.linear)
    if revised is problem and not problem.unknowns.closures:
        tilt = evidence.slope(problem, at, known.linear)
        if known.moved(tilt - problem.tilt) > SETTLED:
            revised = problem.tilted(tilt, at[: len(tilt)])
    return revised, z


def _adapted(
    problem: LeastSquares, z: Float[Tensor, "P Z"], linear: Linearised
) -> tuple[LeastSquares, Float[Tensor, "P W"]]:
    """With starts whose prior suits the values, where that is left open."""
    if problem.noisy is None or not problem.noisy.adapt:
        return problem, z
    starts = evidence.adapted(problem, linear)
    return (problem, z) if starts is problem.noisy else problem.with_starts(starts, z)
