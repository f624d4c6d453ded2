"""Searches along gradients in reverse mode, whose cost does not grow with the number of unknowns."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.levenberg_marquardt import Solution
from cotwin.estimation.problem import LeastSquares
from cotwin.stepper import DivergenceError


def lbfgs(
    problem: LeastSquares, z: Float[Tensor, "P Z"], *, iterations: int = 300, tolerance: float = 1e-9
) -> Solution:
    """L-BFGS with a strong Wolfe line search, point by point: for fields of hundreds of unknowns and more.

    tolerance: a point has converged when three iterations in a row lower its cost by less than this part of it, plus
        one.
    Source: Liu & Nocedal (1989), Math. Programming 45.
    """

    def optimizer(vector: Tensor) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            [vector],
            max_iter=1,
            max_eval=25,
            history_size=50,
            line_search_fn="strong_wolfe",
            tolerance_grad=0.0,
            tolerance_change=0.0,
        )

    return _each(problem, z, lambda start: _descend(problem, start, optimizer, iterations, tolerance, patience=3))


def adam(
    problem: LeastSquares,
    z: Float[Tensor, "P Z"],
    *,
    iterations: int = 2000,
    rate: float = 0.01,
    tolerance: float = 1e-6,
) -> Solution:
    """Adam, point by point: for closures by networks.

    rate: of learning. tolerance: a point has converged when a hundred iterations in a row find no cost that is lower
        by more than this part of it, plus one.
    Source: Kingma & Ba (2015), ICLR.
    """

    def optimizer(vector: Tensor) -> torch.optim.Optimizer:
        return torch.optim.Adam([vector], lr=rate)

    return _each(problem, z, lambda start: _descend(problem, start, optimizer, iterations, tolerance, patience=100))


Found = tuple[Tensor, float, bool, int]


def _descend(
    problem: LeastSquares,
    start: Float[Tensor, " Z"],
    make: Callable[[Tensor], torch.optim.Optimizer],
    iterations: int,
    tolerance: float,
    patience: int,
) -> Found:
    """The best point met, its cost, whether the search came to rest, and how many iterations it took."""
    vector = start.clone().requires_grad_()
    optimizer = make(vector)
    best, lowest, idle = start, torch.inf, 0

    def closure() -> Tensor:
        nonlocal best, lowest
        optimizer.zero_grad(set_to_none=False)
        cost = _cost(problem, vector)
        if cost is None:
            # A bad place for a line search, without a slope; the first point never is one.
            return torch.tensor(10 * lowest + 1, dtype=vector.dtype)
        cost.backward()
        if float(cost.detach()) < lowest:
            best, lowest = vector.detach().clone(), float(cost.detach())
        return cost.detach()

    if _cost(problem, vector) is None:
        return start, torch.inf, False, 0
    for taken in range(1, iterations + 1):
        before = lowest
        optimizer.step(closure)  # type: ignore[arg-type]
        idle = 0 if before - lowest > tolerance * (lowest + 1) else idle + 1
        if idle >= patience:
            return best, lowest, True, taken
    return best, lowest, False, iterations


def _cost(problem: LeastSquares, vector: Tensor) -> Tensor | None:
    """The cost, or None where the model diverges."""
    try:
        cost = problem.differentiable_cost(vector)
    except DivergenceError:
        return None
    return cost if bool(cost.isfinite()) else None


def _each(problem: LeastSquares, z: Float[Tensor, "P Z"], search: Callable[[Tensor], Found]) -> Solution:
    found, costs, rested, taken = zip(*(search(start) for start in z.unbind()), strict=True)
    return Solution(torch.stack(found), torch.tensor(costs, dtype=z.dtype), torch.tensor(rested), sum(taken))
