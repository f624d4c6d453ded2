"""Levenberg-Marquardt for many starting points at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.estimation.linear import LARGEST_MOVE, Linearised
from cotwin.estimation.prediction import Pace
from cotwin.estimation.problem import LeastSquares

SMALL_MOVE = 0.1  # below which a point keeps its pace
ATTEMPTS = 12  # dampings tried before a point is given up
DAMPING = 1e-3  # at first
HIDDEN = 1e-3  # of the cost, that rounding may hide at rest: of any one number a twentieth of a standard deviation
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
        plus one (a cost of ½ is one standard deviation of one value); or where it promises little more, and the slope
        is within what rounding makes of it.

    Derivatives are taken at the start, at the end, and where steps disappoint; in between they follow as secants, so
    that an iteration is mostly one rollout.
    Near its end a point keeps the most demanding pace (stages of a stiff scheme) that it has needed: where the number
    of stages changes the cost has a jump, at which the search would stop. It is let go once, on arrival.
    A point whose first rollout diverges stays where it is, with infinite cost.
    Source: Marquardt (1963), J. SIAM 11; the damping as in Nielsen (1999), Damping Parameter in Marquardt's Method;
    the secants as in Madsen, Nielsen & Tingleff (2004), Methods for Non-Linear Least Squares Problems, section 3.5.
    """
    parts = [
        _Descent(problem[some], z[some], None if free is None else free[some]).run(iterations, tolerance)
        for some in torch.arange(len(z), device=z.device).split(problem.points_at_once)
    ]
    return Solution(
        torch.cat([part.z for part in parts]),
        torch.cat([part.cost for part in parts]),
        torch.cat([part.converged for part in parts]),
        max(part.iterations for part in parts),
    )


class _Descent:
    """The points of one batch on their way down.

    active: those that still move, with `linear`, the problem around each of them. Of all points: fresh, whether it
    was differentiated where it is; doubtful, whether its secants disappointed; eased, whether it was let go to the
    pace that it needs by itself; failed, how many steps in a row lowered nothing.
    """

    def __init__(self, problem: LeastSquares, z: Float[Tensor, "P Z"], free: Bool[Tensor, "P N"] | None) -> None:
        self.problem, self.z, self.free = problem, z.clone(), free
        self.paces = problem.paces(z)
        self.active = torch.arange(len(z), device=z.device)
        self.linear = self._linearise(self.active)
        self.cost = torch.where(self.linear.cost.isfinite(), self.linear.cost, torch.inf)
        nowhere = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        self.converged, self.doubtful, self.eased, self.fresh = (*(nowhere.clone() for _ in range(3)), ~nowhere)
        self.failed = torch.zeros(len(z), dtype=torch.long, device=z.device)
        self.damping, self.growth = torch.full_like(self.cost, DAMPING), torch.full_like(self.cost, 2.0)

    def run(self, iterations: int, tolerance: float) -> Solution:
        """Step until all points rest or are given up."""
        taken = 0
        while taken < iterations:
            # Where a neighbour diverges there is no slope to follow.
            self._keep(self.linear.finite & (self.failed[self.active] < ATTEMPTS))
            if not self._let_rest(tolerance):
                continue
            if not len(self.active):
                break
            taken += self._step()
        return Solution(self.z, self.cost, self.converged, taken)

    def _let_rest(self, tolerance: float) -> bool:
        """Take out what has converged. False where that has to be looked at again, with new derivatives."""
        active = self.active
        promised = _promised(self.linear, self.damping[active].clamp(max=DAMPING))
        # What is tilted may lie below zero.
        done = promised <= tolerance * (self.cost[active].clamp(min=0) + 1)
        # Values with a large offset leave differences so few digits that rounding goes on promising more than that.
        wrong = self.problem[active].rounding([self.paces[at] for at in active.tolist()])
        unsure = (wrong * self.linear.misfit).square().sum(dim=1).sqrt()
        done |= (promised <= HIDDEN) & (self.linear.slope_within(wrong / self.problem.apart) | (promised <= unsure))
        stale = (done | self.doubtful[active]) & ~self.fresh[active]
        for row in (done & ~stale & ~self.eased[active]).nonzero().flatten().tolist():
            at = int(active[row])
            self.eased[at], (own,) = True, self.problem.paces(self.z[at : at + 1])
            stale[row], self.paces[at] = own != self.paces[at], own
        if bool(stale.any()):
            self._restate(stale)
            return False
        self.converged[active] = done
        self._keep(~done)
        return True

    def _step(self) -> int:
        """Try a step of every active point; 1, or 0 where some need another pace before that can be judged."""
        active, linear = self.active, self.linear
        step = _step(linear, self.damping[active])
        needed = self.problem.paces(self.z[active] + step)
        far = (step.abs().amax(dim=1) > SMALL_MOVE).tolist()
        moves = list(zip(active.tolist(), needed, far, strict=True))
        raised = [not wide and _raised(self.paces, at, own) for at, own, wide in moves]
        if any(raised):
            self._restate(torch.tensor(raised, device=active.device))
            return 0
        # Far from rest a jump stops nothing, and what a wild step needs would make every rollout slow.
        held = [own if wide else own and self.paces[at] for at, own, wide in moves]
        there = self.problem[active].moved(linear, self.z[active] + step, step, held)
        if self.free is not None:
            # Secants of what is measured leave what is held alone; priors are differentiated anew.
            there = there.fixed(self.free[active])
        gain = (linear.cost - there.cost) / (linear.cost - linear.cost_after(step))
        better = gain > 1e-4
        self.linear = linear.replaced(better, there)
        self.z[active[better]] += step[better]
        self.cost[active] = torch.where(better, there.cost, self.cost[active])
        self.doubtful[active] = ~(gain > TRUSTED)
        self.failed[active] = torch.where(better, 0, self.failed[active] + 1)
        self.fresh[active] &= ~better
        for (at, own, wide), lower in zip(moves, better.tolist(), strict=True):
            if wide and lower:
                self.doubtful[at] |= own != self.paces[at]
                self.paces[at] = own
        self._damp(gain, better)
        return 1

    def _damp(self, gain: Float[Tensor, " A"], better: Bool[Tensor, " A"]) -> None:
        """Less where the step lowered the cost by what was promised, more where it did not."""
        active = self.active
        shrink = (1 - (2 * gain - 1) ** 3).clamp(min=1 / 10)
        factor = torch.where(better, shrink, self.growth[active])
        self.damping[active] = (self.damping[active] * factor).clamp(min=1e-12)
        self.growth[active] = torch.where(better, 2.0, self.growth[active] * 2)

    def _keep(self, which: Bool[Tensor, " A"]) -> None:
        self.active, self.linear = self.active[which], self.linear[which]

    def _restate(self, which: Bool[Tensor, " A"]) -> None:
        """Differentiate anew where these points are."""
        points = self.active[which]
        self.linear = self.linear.replaced(which, self._linearise(points))
        self.cost[points], self.fresh[points], self.doubtful[points] = self.linear.cost[which], True, False

    def _linearise(self, points: Int[Tensor, " A"]) -> Linearised:
        linear = self.problem[points].sketch(self.z[points], [self.paces[point] for point in points.tolist()])
        return linear if self.free is None else linear.fixed(self.free[points])


def _raised(paces: list[Pace], at: int, needed: Pace) -> bool:
    """Whether a point needed more than the pace it has; it is given that."""
    held = paces[at]
    if held is None or needed is None:
        return False
    paces[at] = tuple(max(counts) for counts in zip(held, needed, strict=True))
    return paces[at] != held


def _promised(linear: Linearised, damping: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """By how much the linear model lowers the cost. Under ever so much damping nothing promises anything."""
    return linear.cost - linear.cost_after(_step(linear, damping))


def _step(linear: Linearised, damping: Float[Tensor, " P"]) -> Float[Tensor, "P Z"]:
    """Of all numbers; or, where that promises more, of those alone that would not go too far.

    One on which little depends, such as one near its bound, would else hold the others where they are.
    """
    step = linear.solve(damping)
    near = step[:, : linear.by_raw.shape[2]].abs() <= LARGEST_MOVE
    together = _limited(step)
    if bool(near.all()):
        return together
    alone = _limited(linear.fixed(near).solve(damping))
    more = linear.cost_after(alone) < linear.cost_after(together)
    return torch.where(more[:, None], alone, together)


def _limited(step: Tensor) -> Tensor:
    """Shortened so that no raw number moves too far; beyond, the linear model means nothing."""
    return step * (LARGEST_MOVE / step.abs().amax(dim=1, keepdim=True)).clamp(max=1.0)
