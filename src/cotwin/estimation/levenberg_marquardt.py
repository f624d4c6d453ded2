"""Levenberg-Marquardt for many starting points at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation.linear import Linearised
from cotwin.estimation.problem import LeastSquares

LARGEST_MOVE = 2.0  # of a raw number in one iteration: a factor e² of what is learned through its logarithm
ATTEMPTS = 12  # dampings tried before an iteration gives a point up
DAMPING = 1e-3  # at first


@dataclass(frozen=True)
class Solution:
    """Where P points came to rest.

    z: the points. cost: ½ ‖r‖² there. converged: whether no step promises to lower the cost any more, by more than
    the tolerance. iterations: linearisations taken, of all points together.
    """

    z: Float[Tensor, "P Z"]
    cost: Float[Tensor, " P"]
    converged: Bool[Tensor, " P"]
    iterations: int


Search = Callable[[LeastSquares, Tensor], Solution]
"""From points (P, Z) to where they come to rest."""


def levenberg_marquardt(
    problem: LeastSquares,
    z: Float[Tensor, "P Z"],
    *,
    free: Bool[Tensor, "P N"] | None = None,
    iterations: int = 50,
    tolerance: float = 1e-9,
) -> Solution:
    """Lower the cost from each point by damped Gauss-Newton steps, all points in one batch.

    free: raw parameters that may move; all if not given.
    iterations: at most so many linearisations.
    tolerance: a point has converged when the linear model promises a reduction of less than this part of its cost,
        plus one (a cost of ½ is one standard deviation of one value).

    A point whose first rollout diverges stays where it is, with infinite cost.
    Source: Marquardt (1963), J. SIAM 11; the damping as in Nielsen (1999), Damping Parameter in Marquardt's Method.
    """
    z = z.clone()
    cost = problem.cost(z)
    converged = torch.zeros(len(z), dtype=torch.bool)
    damping, growth = torch.full_like(cost, DAMPING), torch.full_like(cost, 2.0)
    active = cost.isfinite().nonzero().flatten()
    taken = 0
    while len(active) and taken < iterations:
        linear = problem[active].linearise(z[active])
        if free is not None:
            linear = linear.fixed(free[active])
        # Where a neighbour diverges there is no slope to follow.
        active, linear = active[linear.finite], linear[linear.finite]
        moved, done = _advance(problem, linear, active, z, cost, damping, growth, tolerance)
        converged[active[done]] = True
        active = active[moved & ~done]
        taken += 1
    return Solution(z, cost, converged, taken)


def _advance(
    problem: LeastSquares,
    linear: Linearised,
    active: Tensor,
    z: Tensor,
    cost: Tensor,
    damping: Tensor,
    growth: Tensor,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """One accepted step of each active point, in place; which moved, and which have nothing left to gain."""
    moved = torch.zeros(len(active), dtype=torch.bool)
    # Not with more damping than at first: under ever so much of it nothing promises anything.
    hopeful = _limited(linear.solve(damping[active].clamp(max=DAMPING)))
    done = linear.cost - linear.cost_after(hopeful) <= tolerance * (cost[active] + 1)
    ended = torch.zeros_like(done)
    for _ in range(ATTEMPTS):
        tried = (~moved & ~ended).nonzero().flatten()
        if not len(tried):
            break
        at = active[tried]
        step = _limited(linear[tried].solve(damping[at]))
        promised = cost[at] - linear[tried].cost_after(step)
        ended[tried] = done[tried]  # the last step is worth one attempt, no more
        after = problem[at].cost(z[at] + step)
        gain = (cost[at] - after) / promised
        better = gain > 1e-4
        z[at[better]] += step[better]
        cost[at[better]] = after[better]
        moved[tried[better]] = True
        shrink = (1 - (2 * gain - 1) ** 3).clamp(min=1 / 3)
        damping[at] = torch.where(better, damping[at] * shrink, damping[at] * growth[at]).clamp(min=1e-12)
        growth[at] = torch.where(better, 2.0, growth[at] * 2)
    return moved, done


def _limited(step: Tensor) -> Tensor:
    """Shortened so that no raw number moves too far; beyond, the linear model means nothing."""
    return step * (LARGEST_MOVE / step.abs().amax(dim=1, keepdim=True)).clamp(max=1.0)
