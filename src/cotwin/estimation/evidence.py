"""What is left of noisy starts when they are integrated out, by Laplace's approximation of the marginal likelihood.

−log p(y | θ) = min_ε ½ ‖r(θ, ε)‖² + ½ Σ_b log det (J_bᵀ J_b + 1) + constant,

J_b the Jacobian of trajectory b to its start. Fitted along with θ instead, many numbers of a start bias what smooths
it: the determinant is missing then, which tells how many starts fit.
Source: MacKay (2003), Information Theory, Inference, and Learning Algorithms, chapters 27 and 28.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.linear import Linearised
from cotwin.estimation.measurements import NoisyStarts, mode_covariance
from cotwin.estimation.problem import LeastSquares

RANGE = (1 / 3, 30.0)
"""By which factors a length may change at a time: the linear problem knows no shorter waves than its own."""
JITTER = 1e-9
"""Added to covariances, which are singular to rounding where a length is long."""
LITTLE = 0.1
"""Of log p, for which it is not worth while to change the prior of the starts."""


def slope(problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised) -> Float[Tensor, " N"]:
    """Derivative of ½ Σ log det (JᵀJ + 1) to the raw parameters, the starts following as they best do.

    linear: around z. By reverse mode, at the cost of some four Jacobians to the starts; where gradients do not reach
    the start of a rollout, by differences, at that of two Jacobians for each parameter.
    """
    following = linear.following(torch.eye(len(problem.unknowns), dtype=z.dtype, device=z.device))
    if problem.stepper.differentiable:
        total: Tensor = following @ _gradient(problem, z, linear)
    else:
        apart = problem.difference**0.5
        ends = torch.cat([z + apart * following, z - apart * following])
        ahead, behind = problem.linearise(ends).half_log_determinant().chunk(2)
        total = (ahead - behind) / (2 * apart)
    return total


def _gradient(problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised) -> Float[Tensor, " Z"]:
    """½ d log det H = Σ_k ⟨(J H⁻¹)_k, dJ_k⟩, with these weights held."""
    z, total = z.detach().requires_grad_(), torch.zeros_like(z)
    moves = torch.eye(problem.start_size, dtype=z.dtype, device=z.device)
    at_once = problem.differentiable_at_once
    for some, held in zip(moves.split(at_once), linear.pull()[0].mT.split(at_once), strict=True):
        total += torch.autograd.grad((problem.along_starts(z, some) * held).sum(), z)[0]
    return total


def adapted(problem: LeastSquares, linear: Linearised) -> NoisyStarts:
    """Starts whose length and deviations make the values most likely, as the linear problem of one point has it.

    The values say of the weights ε of a start that they are normal, with precision JᵀJ. In a field of another length
    and deviation these weights have another covariance than 1.
    """
    noisy, layout = problem.noisy, problem.observation.layout
    assert noisy is not None
    said = [linear.about_start(index) for index in range(linear.white.shape[1])]

    def unlikely(change: Float[np.ndarray, " K"]) -> float:
        longer, *larger = (math.exp(one) for one in change)
        covariance = mode_covariance(layout, noisy.length, longer * noisy.length).to(linear.misfit)
        covariance += JITTER * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)
        root = torch.linalg.cholesky(covariance)
        whole = torch.block_diag(*(size * root for size in larger))
        return sum(_unlikely(whole, precision, towards) for precision, towards in said)

    same = np.zeros(1 + len(problem.moving))
    found = scipy.optimize.minimize(
        unlikely,
        same,
        method="Nelder-Mead",
        bounds=[(math.log(RANGE[0]), math.log(RANGE[1]))] * len(same),
        options={"initial_simplex": np.vstack([same, 0.5 * np.eye(len(same))]), "xatol": 0.02, "fatol": LITTLE / 10},
    )
    if unlikely(same) - found.fun < LITTLE:
        return noisy
    longer, *larger = (math.exp(one) for one in found.x)
    deviation = noisy.deviation.clone()
    deviation[problem.moving.cpu()] *= torch.tensor(larger, dtype=deviation.dtype)
    return replace(noisy, length=longer * noisy.length, deviation=deviation)


def _unlikely(root: Float[Tensor, "n n"], precision: Float[Tensor, "n n"], towards: Float[Tensor, " n"]) -> float:
    """−log p of what says of ε = root · white that it has this precision and lies that way, up to a constant."""
    identity = torch.eye(len(root), dtype=root.dtype, device=root.device)
    factor = torch.linalg.cholesky(identity + root.mT @ precision @ root)
    pulled = torch.linalg.solve_triangular(factor, (root.mT @ towards)[:, None], upper=False)
    return float(factor.diagonal().log().sum() - 0.5 * pulled.square().sum())
