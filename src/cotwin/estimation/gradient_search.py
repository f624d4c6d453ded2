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
    Where priors speak of all unknowns it goes in their units, L of P = L Lᵀ the priors' part of the information:
    in those of the numbers themselves a smooth field takes thousands of iterations.
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

    def search(start: Tensor) -> Found:
        return _descend(
            problem, start, _in_units_of_priors(problem, start), optimizer, iterations, tolerance, patience=3
        )

    return _each(problem, z, search)


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

    def search(start: Tensor) -> Found:
        return _descend(problem, start, lambda change: change, optimizer, iterations, tolerance, patience=100)

    return _each(problem, z, search)


Found = tuple[Tensor, float, bool, int]


def _descend(
    problem: LeastSquares,
    start: Float[Tensor, " Z"],
    change: Callable[[Tensor], Tensor],
    make: Callable[[Tensor], torch.optim.Optimizer],
    iterations: int,
    tolerance: float,
    patience: int,
) -> Found:
    """The best point met, its cost, whether the search came to rest, and how many iterations it took.

    change: from the optimiser's numbers, which start at zero, to how far z is from its start.
    """
    vector = torch.zeros_like(start).requires_grad_()
    optimizer = make(vector)
    best, lowest, idle = start, torch.inf, 0

    def closure() -> Tensor:
        nonlocal best, lowest
        optimizer.zero_grad(set_to_none=False)
        z = start + change(vector)
        cost = _cost(problem, z)
        if cost is None:
            # A bad place for a line search, without a slope; the first point never is one.
            return vector.new_tensor(10 * lowest + 1)
        cost.backward()
        if float(cost.detach()) < lowest:
            best, lowest = z.detach(), float(cost.detach())
        return cost.detach()

    if _cost(problem, start) is None:
        return start, torch.inf, False, 0
    for taken in range(1, iterations + 1):
        before = lowest
        optimizer.step(closure)  # type: ignore[arg-type]
        idle = 0 if before - lowest > tolerance * (lowest + 1) else idle + 1
        if idle >= patience:
            return best, lowest, True, taken
    return best, lowest, False, iterations


def _in_units_of_priors(problem: LeastSquares, start: Float[Tensor, " Z"]) -> Callable[[Tensor], Tensor]:
    """L⁻ᵀ for the parameters; estimated starts are in units of their prior already."""
    prior, count = problem.prior_jacobian(start), len(problem.unknowns)
    factor, failed = torch.linalg.cholesky_ex(prior.mT @ prior)
    if failed:
        return lambda change: change

    def change(vector: Tensor) -> Tensor:
        raw = torch.linalg.solve_triangular(factor.mT, vector[:count, None], upper=True)[:, 0]
        return torch.cat([raw, vector[count:]])

    return change


def _cost(problem: LeastSquares, z: Tensor) -> Tensor | None:
    """The cost, or None where the model diverges."""
    try:
        cost = problem.differentiable_cost(z)
    except DivergenceError:
        return None
    return cost if bool(cost.isfinite()) else None


def _each(problem: LeastSquares, z: Float[Tensor, "P Z"], search: Callable[[Tensor], Found]) -> Solution:
    found, costs, rested, taken = zip(*(search(start) for start in z.unbind()), strict=True)
    return Solution(torch.stack(found), z.new_tensor(costs), torch.tensor(rested, device=z.device), sum(taken))
