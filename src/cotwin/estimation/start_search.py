"""The search where starts are estimated too: many numbers, whose Jacobian costs as many rollouts."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.levenberg_marquardt import HIDDEN, Solution, levenberg_marquardt
from cotwin.estimation.linear import Linearised
from cotwin.estimation.problem import LeastSquares
from cotwin.stepper import DivergenceError

ITERATIONS = 60
"""Of L-BFGS, after which the problem is linearised anew."""
TURNS = 4
"""Most linearisations after the first descent."""


def with_starts(problem: LeastSquares, z: Float[Tensor, "P Z"], *, tolerance: float = 1e-9) -> Solution:
    """Levenberg-Marquardt until it promises less than a deviation; from there L-BFGS along gradients.

    Where a start has many numbers, second derivatives that Gauss-Newton leaves out are as large as those it has along
    some of them, and it comes nearer by little in each step of hundreds of rollouts. A gradient by reverse mode costs
    about four. Numbers are those in which the linear problem is round, so few are needed.
    tolerance: a point has converged when Gauss-Newton promises a reduction of less than this part of its cost, plus
        one.
    """
    solution = levenberg_marquardt(problem, z, tolerance=max(tolerance, 1 / problem.observation.size))
    points, costs, rested = list(solution.z.unbind()), solution.cost.tolist(), solution.converged.tolist()
    taken = solution.iterations
    for place, cost in enumerate(costs):
        if cost < torch.inf:
            points[place], costs[place], rested[place], more = _settled(problem, points[place], tolerance)
            taken += more
    at_rest = torch.tensor(rested, device=z.device)
    return Solution(torch.stack(points), solution.cost.new_tensor(costs), at_rest, taken)


def _settled(problem: LeastSquares, z: Float[Tensor, " Z"], tolerance: float) -> tuple[Tensor, float, bool, int]:
    """Where it rests, the cost there, whether it does, and iterations."""
    taken, cost, promised = 0, torch.inf, torch.inf
    for _ in range(TURNS):
        linear = problem.sketch(z[None], problem.paces(z[None]))
        slope = _Slope(problem, z, linear)
        # Of the residuals: what is tilted may lie below zero.
        small = (2 * tolerance * (float(linear.cost - linear.height) + 1) / len(z)) ** 0.5
        found = scipy.optimize.minimize(
            slope,
            np.zeros(len(z)),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": ITERATIONS, "ftol": 0.0, "gtol": small},
        )
        taken += found.nit
        z, cost = slope.at(found.x), float(found.fun)
        if np.abs(found.jac).max() <= small:
            return z, cost, True, taken
        promised = 0.5 * float(np.square(found.jac).sum())
    # Rounding, of a simulator in single precision above all, leaves slopes that no search can lower.
    return z, cost, promised <= HIDDEN, taken


class _Slope:
    """The cost and its gradient by numbers w in which the linear problem is round: z = origin + L⁻ᵀ w."""

    def __init__(self, problem: LeastSquares, origin: Float[Tensor, " Z"], linear: Linearised) -> None:
        self.problem, self.origin, self.step = problem, origin, linear.unwhitening()
        self.highest = 0.0

    def at(self, w: np.ndarray) -> Float[Tensor, " Z"]:
        return self.origin + self.step(torch.as_tensor(w).to(self.origin))

    def __call__(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        vector = torch.as_tensor(w).to(self.origin).requires_grad_()
        try:
            cost = self.problem.differentiable_cost(self.origin + self.step(vector))
            (slope,) = torch.autograd.grad(cost, vector)
            value = float(cost.detach())
        except DivergenceError:
            value = torch.inf
        if not value < torch.inf:
            # A bad place for a line search, without a slope; the first point never is one.
            return 10 * self.highest + 1, np.zeros_like(w)
        self.highest = max(self.highest, value)
        return value, slope.cpu().numpy()
