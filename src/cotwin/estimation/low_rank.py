"""What data determine of fields with many unknowns: few combinations, on top of what the priors say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from cotwin.estimation.information import Information
from cotwin.estimation.note import Note
from cotwin.estimation.problem import LeastSquares

FIRST_RANK = 32
SMALL = 0.1
"""Eigenvalue below which data add next to nothing to what a prior says."""


@dataclass(frozen=True)
class LowRankInformation(Information):
    """JᵀJ + P ≈ L (1 + V Λ Vᵀ) Lᵀ: P = L Lᵀ the priors' part, Λ the largest eigenvalues of L⁻¹ JᵀJ L⁻ᵀ.

    factor: L, (N, N). values: Λ, (k,), largest first; vectors: V, (N, k).

    A product with JᵀJ costs two rollouts and a backward pass, an eigenvalue some three products, however many
    unknowns there are. Eigenvalues are sought until the last is below a tenth, which changes a standard deviation by
    less than a twentieth.
    Source: Bui-Thanh, Ghattas, Martin & Stadler (2013), SIAM J. Sci. Comput. 35.
    """

    factor: Float[Tensor, "N N"]
    values: Float[Tensor, " k"]
    vectors: Float[Tensor, "N k"]

    @classmethod
    def of(cls, problem: LeastSquares, z: Float[Tensor, " Z"]) -> LowRankInformation:
        """At a point. Raises ValueError for noisy starts, and where priors leave some combination open."""
        factor = _factor(problem, z)
        size, rank = len(factor), FIRST_RANK

        def product(vector: np.ndarray) -> np.ndarray:
            inner = torch.linalg.solve_triangular(factor.mT, torch.from_numpy(vector).double()[:, None], upper=True)
            outer = torch.linalg.solve_triangular(factor, _normal(problem, z, inner[:, 0])[:, None], upper=False)
            return np.asarray(outer[:, 0])

        operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
        while True:
            values, vectors = eigsh(operator, k=min(rank, size - 1), tol=1e-3)
            if values.min() < SMALL or rank >= size - 1:
                break
            rank *= 2
        order = np.argsort(-values)
        return cls(
            factor, torch.from_numpy(values[order].copy()).clamp(min=0), torch.from_numpy(vectors[:, order].copy())
        )

    @property
    def learned(self) -> float:
        """Degrees of freedom that the data determine, Σ λ/(1 + λ)."""
        return float((self.values / (1 + self.values)).sum())

    @property
    def condition(self) -> float:
        """By how much the best known combination is better known than by the priors alone."""
        return float((1 + self.values[0]).sqrt())

    @property
    def weakest(self) -> str:
        """In words."""
        return f"all but {int((self.values > 1).sum())} combinations of {len(self.factor)}, known by their priors"

    def deviations(self, slope: Float[Tensor, "K N"]) -> Float[Tensor, " K"]:
        """Standard deviations of quantities with these derivatives to the raw unknowns."""
        rows = torch.linalg.solve_triangular(self.factor, slope.mT, upper=False).mT
        gained = (rows @ self.vectors).square() @ (self.values / (1 + self.values))
        variance: Tensor = rows.square().sum(dim=1) - gained
        return variance.clamp(min=0).sqrt()

    def warnings(self, on_bound: Collection[str]) -> list[Note]:
        """How many combinations of the unknowns the data determine."""
        count = int((self.values > 1).sum())
        return [
            Note(
                "few_determined",
                f"the data determine {count} combinations of the {len(self.factor)} unknowns; of the rest only the "
                "priors speak.",
            )
        ]


def require_priors(problem: LeastSquares) -> None:
    """Raise ValueError, before anything is searched, where intervals of so many unknowns could not be had."""
    _factor(problem, problem.present()[0])


def _factor(problem: LeastSquares, z: Tensor) -> Float[Tensor, "N N"]:
    count = len(problem.unknowns)
    if problem.starts.size:
        raise ValueError(f"intervals of {count} unknowns need known starts; estimate fewer, or give exact starts.")
    prior = problem.prior_jacobian(z)
    factor, failed = torch.linalg.cholesky_ex(prior.mT @ prior)
    if failed:
        open_ones = [name for name in problem.unknowns.parameters if name not in problem.priors]
        which = f"those of {', '.join(open_ones)}" if open_ones else "the constants that a smoothness prior leaves"
        raise ValueError(
            f"intervals of {count} unknowns need priors on all combinations of them, {which} too; give them a "
            "GaussianField, Gaussian or LogNormal prior, or estimate at most 300 unknown numbers."
        )
    lower: Tensor = factor
    return lower


def _normal(problem: LeastSquares, z: Tensor, direction: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """JᵀJ v: J v by a central difference along v, Jᵀ in reverse mode."""
    size = float(direction.abs().max())
    if size == 0:
        return direction
    move = problem.difference / size * direction
    there, back = problem.misfit(torch.stack([z + move, z - move])).unbind()
    along = (there - back) * size / (2 * problem.difference)
    leaf = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(problem.differentiable_misfit(leaf), leaf, along)
    return slope
