"""Starting points spread through what is thought possible."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.priors import Independent
from cotwin.estimation.problem import LeastSquares
from cotwin.parameters import Elementwise, Unknown

MANY = 8
"""Starting points, unless told otherwise."""
FEW_UNKNOWNS = 20
"""Unknown numbers up to which some points spread through their ranges tell anything of these."""


def suggested(problem: LeastSquares) -> int:
    """Starting points that cost little more than one: most are given up early."""
    spread = 0 < len(problem.unknowns) <= FEW_UNKNOWNS and not problem.unknowns.closures
    return MANY if spread and problem.stepper.differentiable else 1


def sobol_points(problem: LeastSquares, count: int, seed: int) -> Float[Tensor, "P Z"]:
    """Points of a scrambled Sobol sequence, through the quantiles of the priors, or of the parameters themselves.

    A parameter without a prior of its own kind is searched where its class says: a `Bounded` one between its bounds,
    a `Positive` one from a tenth to ten times its present value. Noisy starts begin as guessed, weights of networks
    as they are.
    """
    points = problem.present().repeat(count, 1)
    if count == 0:
        return points
    unknowns = problem.unknowns
    engine = torch.quasirandom.SobolEngine(len(unknowns), scramble=True, seed=seed)
    # Never at the ends, to which no finite value of a normal prior belongs.
    cube = engine.draw(count, dtype=torch.float64).clamp(1e-6, 1 - 1e-6).to(points.device)
    names = {path: name for name, path in unknowns.paths.items()}
    first = 0
    for raw, shape, size in zip(unknowns.names, unknowns.shapes, unknowns.sizes, strict=True):
        own, path = slice(first, first + size), raw.rpartition(".")[0]
        first += size
        module = unknowns.stepper.get_submodule(path)
        if not isinstance(module, Unknown):
            continue
        q, prior = cube[:, own].reshape(count, *shape), problem.priors.get(names.get(path, ""))
        if isinstance(module, Elementwise) and isinstance(prior, Independent):
            values = prior.quantile(q, module.lower, module.upper)
        else:
            values = module.quantile(q)
        points[:, own] = module.to_raw(values).reshape(count, -1)
    return points
