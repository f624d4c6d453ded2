"""Raw numbers that the data push towards an end of their range, where less and less depends on them."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.levenberg_marquardt import HIDDEN, Solution
from cotwin.estimation.linear import Linearised
from cotwin.estimation.problem import LeastSquares

LEFT = (1e-7, 1e-8, 1e-9, 1e-10)
"""How much may be left to a bound: the first of these parts that costs nothing."""
LOST = 100.0
"""Standard deviations of a logarithm or logit, from which on nothing near it says where it should be."""


def kept_in_reach(problem: LeastSquares, solution: Solution) -> Solution:
    """The same, with raw numbers that went far to their bounds brought back to as near as makes no difference."""
    z, best, size = solution.z, solution.cost, len(problem.unknowns)
    far = torch.ones_like(solution.converged)
    for left in LEFT:
        back = torch.cat([z[:, :size].clamp(*problem.unknowns.ends(left)), z[:, size:]], dim=1)
        far = far & (back != z).any(dim=1)
        if not bool(far.any()):
            break
        cost = problem.cost(back)
        same = far & (cost <= solution.cost + HIDDEN)
        z, best, far = torch.where(same[:, None], back, z), torch.where(same, cost, best), far & ~same
    return replace(solution, z=z, cost=best)


def in_sight(problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised) -> Float[Tensor, " Z"]:
    """A place from which numbers that are lost at a bound could come back: as near to it as the data can tell.

    linear: around z. Near a bound what depends on a logarithm or logit falls as it does; so one of deviation s goes
    log s towards the middle of its range, to where its deviation is about one, and no farther than the middle.
    """
    raw, middle = z[: len(problem.unknowns)], problem.unknowns.middle
    spread = linear.jacobian()[0].norm(dim=0).reciprocal()
    away = raw - middle
    nearer = middle + away.sign() * (away.abs() - spread.log()).clamp(min=0)
    return torch.cat([torch.where(problem.unknowns.bounded & (spread > LOST), nearer, raw), z[len(raw) :]])
