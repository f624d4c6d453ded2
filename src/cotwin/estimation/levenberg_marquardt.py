"""Levenberg-Marquardt for many starting points at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation.linear import Linearised
from cotwin.estimation.problem import LeastSquares, Pace

LARGEST_MOVE = 2.0  # of a raw number in one iteration: a factor e² of what is learned through its logarithm
SMALL_MOVE = 0.1  # below which a point keeps its pace
ATTEMPTS = 12  # dampings tried before a point is given up
DAMPING = 1e-3  # at first
TRUSTED = 0.5  # part of what was promised that must come true, else secants do not pass for derivatives any more


@dataclass(frozen=True)
class Solution:
    """Where P points came to rest.

    z: the points. cost: ½ ‖r‖² there. converged: whether no step promises to lower the cost any more, by more than
    the tolerance. iterations: steps tried, all points at once.
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
    iterations: int = 100,
    tolerance: float = 1e-9,
) -> Solution:
    """Lower the cost from each point by damped Gauss-Newton steps, all points in one batch, or as many as fit.

    free: raw parameters that may move; all if not given.
    iterations: at most so many steps are tried.
    tolerance: a point has converged when the linear model promises a reduction of less than this part of its cost,
        plus one (a cost of ½ is one standard deviation of one value).

    Derivatives are taken at the start, at the end, and where steps disappoint; in between they follow as secants, so
    that an iteration is mostly one rollout.
    Near its end a point keeps the most demanding pace (stages of a stiff scheme) that it has needed: where the number
    of stages changes the cost has a jump, at which the search would stop. It is let go once, on arrival.
    A point whose first rollout diverges stays where it is, with infinite cost.
    Source: Marquardt (1963), J. SIAM 11; the damping as in Nielsen (1999), Damping Parameter in Marquardt's Method;
    the secants as in Madsen, Nielsen & Tingleff (2004), Methods for Non-Linear Least Squares Problems, section 3.5.
    """
    if len(z) > problem.points_at_once:
        parts = [
            levenberg_marquardt(
                problem[some],
                z[some],
                free=None if free is None else free[some],
                iterations=iterations,
                tolerance=tolerance,
            )
            for some in torch.arange(len(z)).split(problem.points_at_once)
        ]
        return Solution(
            torch.cat([part.z for part in parts]),
            torch.cat([part.cost for part in parts]),
            torch.cat([part.converged for part in parts]),
            max(part.iterations for part in parts),
        )

    def linearise(points: Tensor) -> Linearised:
        linear = problem[points].sketch(z[points], [paces[point] for point in points.tolist()])
        return linear if free is None else linear.fixed(free[points])

    def restated(linear: Linearised, which: Bool[Tensor, " A"]) -> Linearised:
        points = active[which]
        linear = linear.replaced(which, linearise(points))
        cost[points], fresh[points], doubtful[points] = linear.cost[which], True, False
        return linear

    z = z.clone()
    active, taken, paces = torch.arange(len(z)), 0, problem.paces(z)
    linear = linearise(active)
    cost = torch.where(linear.cost.isfinite(), linear.cost, torch.inf)
    converged, fresh = torch.zeros(len(z), dtype=torch.bool), torch.ones(len(z), dtype=torch.bool)
    doubtful, eased, failed = torch.zeros_like(fresh), torch.zeros_like(fresh), torch.zeros(len(z), dtype=torch.long)
    damping, growth = torch.full_like(cost, DAMPING), torch.full_like(cost, 2.0)
    while taken < iterations:
        # Where a neighbour diverges there is no slope to follow.
        able = linear.finite & (failed[active] < ATTEMPTS)
        active, linear = active[able], linear[able]
        done = _promised(linear, damping[active].clamp(max=DAMPING)) <= tolerance * (cost[active] + 1)
        stale = (done | doubtful[active]) & ~fresh[active]
        for row in (done & ~stale & ~eased[active]).nonzero().flatten().tolist():
            at = int(active[row])
            eased[at], (own,) = True, problem.paces(z[at : at + 1])
            stale[row], paces[at] = own != paces[at], own
        if bool(stale.any()):
            linear = restated(linear, stale)
            continue
        converged[active] = done
        active, linear = active[~done], linear[~done]
        if not len(active):
            break
        step = _limited(linear.solve(damping[active]))
        needed = problem.paces(z[active] + step)
        slower = torch.tensor([_raised(paces, at, own) for at, own in zip(active.tolist(), needed, strict=True)])
        if bool(slower.any()):
            linear = restated(linear, slower)
            continue
        held = [own and paces[at] for at, own in zip(active.tolist(), needed, strict=True)]
        there = problem[active].moved(linear, z[active] + step, step, held)
        if free is not None:
            # Secants of what is measured leave what is held alone; priors are differentiated anew.
            there = there.fixed(free[active])
        gain = (linear.cost - there.cost) / (linear.cost - linear.cost_after(step))
        better = gain > 1e-4
        linear = linear.replaced(better, there)
        z[active[better]] += step[better]
        cost[active] = torch.where(better, there.cost, cost[active])
        doubtful[active], failed[active] = ~(gain > TRUSTED), torch.where(better, 0, failed[active] + 1)
        fresh[active] &= ~better
        for row in (better & (step.abs().amax(dim=1) > SMALL_MOVE)).nonzero().flatten().tolist():
            at = int(active[row])
            # Far from rest a jump stops nothing, and what a wild step needed would make each rollout slow.
            doubtful[at], paces[at] = doubtful[at] or needed[row] != paces[at], needed[row]
        shrink = (1 - (2 * gain - 1) ** 3).clamp(min=1 / 10)
        damping[active] = (damping[active] * torch.where(better, shrink, growth[active])).clamp(min=1e-12)
        growth[active] = torch.where(better, 2.0, growth[active] * 2)
        taken += 1
    return Solution(z, cost, converged, taken)


def _raised(paces: list[Pace], at: int, needed: Pace) -> bool:
    """Whether a point needed more than the pace it has; it is given that."""
    held = paces[at]
    if held is None or needed is None:
        return False
    paces[at] = tuple(max(counts) for counts in zip(held, needed, strict=True))
    return paces[at] != held


def _promised(linear: Linearised, damping: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """By how much the linear model lowers the cost. Under ever so much damping nothing promises anything."""
    return linear.cost - linear.cost_after(_limited(linear.solve(damping)))


def _limited(step: Tensor) -> Tensor:
    """Shortened so that no raw number moves too far; beyond, the linear model means nothing."""
    return step * (LARGEST_MOVE / step.abs().amax(dim=1, keepdim=True)).clamp(max=1.0)
