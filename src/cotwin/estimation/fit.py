"""The search for the best fit: by which method, through which parts of the time, and in turn with the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation import noise
from cotwin.estimation.gradient_search import adam, lbfgs
from cotwin.estimation.known import MOST_BY_JACOBIAN, Known
from cotwin.estimation.levenberg_marquardt import Search, Solution, levenberg_marquardt
from cotwin.estimation.problem import LeastSquares

HORIZONS = (1 / 8, 1 / 4, 1 / 2)
NEARLY = 1e-2
"""Part of the cost that a fit of part of the time may leave to be gained."""


def search_for(problem: LeastSquares) -> Search:
    """The method that suits the unknowns: Adam for networks, else by how many there are."""
    if problem.unknowns.closures:
        return adam
    return levenberg_marquardt if len(problem.unknowns) <= MOST_BY_JACOBIAN else lbfgs


def approach(
    problem: LeastSquares, z: Float[Tensor, "P Z"], search: Search, horizons: Sequence[float]
) -> Float[Tensor, "P Z"]:
    """Points brought near by fitting the first part of the measurements, and more and more of them."""
    first, last = float(problem.observation.time.min()), float(problem.observation.time.max())
    if problem.start_size and first == 0:
        # At first the starts alone, from what was seen of them.
        held = torch.zeros(len(z), len(problem.unknowns), dtype=torch.bool, device=z.device)
        z = levenberg_marquardt(problem.until(0.0), z, free=held).z
    if search is levenberg_marquardt:
        # The next part begins from there, however nearly it is the minimum.
        search = partial(levenberg_marquardt, tolerance=NEARLY)
    for part in horizons:
        shorter = problem.until(first + part * (last - first))
        # A few values say little of many unknowns, and would lead astray.
        if len(shorter.values) >= 2 * len(problem.unknowns):
            z = search(shorter, z).z
    return z


def fit(
    problem: LeastSquares, z: Float[Tensor, "P Z"], search: Search, noise_is_known: bool
) -> tuple[Solution, LeastSquares]:
    """Search; where the noise is not known, search and measure it in turn until both stay.

    Returns the problem at the noise that was found.
    """
    if noise_is_known:
        return search(problem, z), problem
    problem, taken = problem.with_noise(noise.first_guess(problem)), 0
    for _ in range(noise.ROUNDS):
        solution = search(problem, z)
        taken += solution.iterations
        best = int(solution.cost.argmin())
        if not bool(solution.cost[best].isfinite()):
            break
        z, before = solution.z, problem.deviation
        leverage = Known.at(*problem.without_closures(z[best])).taken
        problem = problem.with_noise(noise.remaining(problem, z[best], leverage))
        if bool((problem.deviation / before - 1).abs().nan_to_num().max() < noise.SETTLED):
            break
    solution = search(problem, z)
    return replace(solution, iterations=taken + solution.iterations), problem
