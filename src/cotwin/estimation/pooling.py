"""How much groups differ: what makes all measured values most probable, each group's own value integrated out.

The linear problem around a point is all it takes. Of the G numbers u of a `Pooled` unknown the likelihood is
−½ uᵀW u + bᵀu + constant, all other unknowns and starts integrated out. With u = μ + τ e, e white and μ flat,

log p(y | τ) = ½ hᵀA⁻¹h − ½ log det A,  A = ((1ᵀW1, τ 1ᵀW), (τ W1, τ²W + 1)),  h = (1ᵀb, τ b).

To it comes log τ, which keeps the spread from zero as no density that is flat there does, and with fewer than five
groups a half-normal prior.
Source: Chung, Rabe-Hesketh, Dorie, Gelman & Liu (2013), Psychometrika 78, for the penalty.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.linear import Linearised
from cotwin.estimation.priors.pooled import FEW, Pooled
from cotwin.estimation.problem import LeastSquares

SPREADS = torch.logspace(-4, 1.5, 221, dtype=torch.float64)
"""That are tried, in numbers free of bounds, mostly logarithms."""
SETTLED = 0.06
"""Change of the logarithm of a spread below which it stays: that from one of those tried to the next."""


def with_spreads(problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised) -> LeastSquares:
    """With the spreads that are most probable; the same problem where that changes little. linear: around z."""
    twin = problem
    for name, prior in problem.priors.items():
        if isinstance(prior, Pooled):
            normal, pull = quadratic(problem, z, linear)
            likely = SPREADS[log_evidence(problem, name, prior, normal, pull).argmax()].to(prior.spread)
            if abs(float((likely / prior.spread).log())) > SETTLED:
                found = copy.deepcopy(prior)
                # Half of the way: where the problem bends, all of it may lead to and fro.
                found.spread.copy_((likely * prior.spread).sqrt())
                twin = copy.copy(twin)
                twin.priors = {**twin.priors, name: found}
    return twin


def quadratic(
    problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised
) -> tuple[Float[Tensor, "N N"], Float[Tensor, " N"]]:
    """H and b of the cost ½ uᵀH u − bᵀu + constant of all raw unknowns u, priors as they are, starts eliminated."""
    jacobian = linear.jacobian()[0]
    normal = jacobian.mT @ jacobian
    rest = z[: len(problem.unknowns)] + linear.solve(torch.zeros_like(linear.cost))[0, : len(problem.unknowns)]
    return normal, normal @ rest


def change(problem: LeastSquares, name: str, before: float, after: float) -> Float[Tensor, "N N"]:
    """Of H, if the spread of one prior were another."""
    place, count = problem.unknowns.place(name), len(problem.unknowns)
    groups = place.stop - place.start
    apart = torch.eye(groups, dtype=torch.float64, device=problem.level.device) - 1 / groups
    whole = torch.zeros(count, count, dtype=torch.float64, device=problem.level.device)
    whole[place, place] = apart * (after**-2 - before**-2)
    return whole


def log_evidence(
    problem: LeastSquares, name: str, prior: Pooled, normal: Float[Tensor, "N N"], pull: Float[Tensor, " N"]
) -> Float[Tensor, " K"]:
    """Of each of the spreads, its prior included, up to a constant."""
    place = problem.unknowns.place(name)
    bare = normal + change(problem, name, float(prior.spread), float("inf"))
    inside = torch.zeros(len(bare), dtype=torch.bool, device=bare.device)
    inside[place] = True
    own, shared, others = bare[inside][:, inside], bare[inside][:, ~inside], bare[~inside][:, ~inside]
    solved = torch.linalg.lstsq(others, torch.cat([shared.mT, pull[~inside][:, None]], dim=1)).solution
    weight, toward = own - shared @ solved[:, :-1], pull[inside] - shared @ solved[:, -1]
    # What the data hardly tell may come out below zero by rounding.
    sizes, directions = torch.linalg.eigh((weight + weight.mT) / 2)
    weight = (directions * sizes.clamp(min=0)) @ directions.mT
    groups, logs = len(own), []
    ones = torch.ones(groups, 1, dtype=weight.dtype, device=weight.device)
    for spread in SPREADS.tolist():
        to_centre = torch.cat([ones, spread * torch.eye(groups).to(weight)], dim=1)
        matrix = to_centre.mT @ weight @ to_centre
        matrix[1:, 1:] += torch.eye(groups).to(weight)
        h = to_centre.mT @ toward
        factor = torch.linalg.cholesky(matrix)
        gain = torch.linalg.solve_triangular(factor, h[:, None], upper=False).square().sum() / 2
        logs.append(gain - factor.diagonal().log().sum())
    every = torch.stack(logs).cpu() + SPREADS.log()
    return every - (SPREADS / prior.scale).square() / 2 if groups < FEW else every
