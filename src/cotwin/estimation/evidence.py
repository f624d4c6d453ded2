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
from cotwin.estimation.measurements import SHARE, NoisyStarts, mode_covariance, num_modes
from cotwin.estimation.problem import LeastSquares

SHORTER, LARGER = 1 / 3, 100.0
"""By which factors a length and a deviation may change at a time: shorter waves are not in the linear problem."""
FINE = 1 / 3
"""Of the noise, the deviation that modes of a start that are left out may have."""
JITTER = 1e-9
"""Added to covariances, which are singular to rounding where a length is long."""
MOST = 512
"""Numbers in a start, for which modes above the noise are left out after all."""
FEW = 6
"""Parameters up to which differences take less time than reverse mode."""
LITTLE = 1.0
"""Of log p, for which it is not worth while to change the prior of the starts."""


def slope(problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised) -> Float[Tensor, " N"]:
    """Derivative of ½ Σ log det (JᵀJ + 1) to the raw parameters, the starts following as they best do.

    linear: around z. For few parameters by differences, at the cost of one Jacobian for each, and where gradients do
    not reach the start of a rollout; for more by reverse mode, at that of some six.
    """
    following = linear.following(torch.eye(len(problem.unknowns), dtype=z.dtype, device=z.device))
    if problem.stepper.differentiable and len(following) > FEW:
        return _gradient(problem, z, linear, following)
    apart, paces = problem.difference**0.5, 2 * problem.paces(z[None])
    heights = [
        problem.sketch(torch.stack([z + apart * one, z - apart * one]), paces).half_log_determinant()
        for one in following
    ]
    ahead, behind = torch.stack(heights).unbind(1)
    by_differences: Tensor = (ahead - behind) / (2 * apart)
    return by_differences


def _gradient(
    problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised, along: Float[Tensor, "K Z"]
) -> Float[Tensor, " K"]:
    """½ d log det H = Σ_k ⟨(J H⁻¹)_k, dJ_k⟩ along each of these directions, with these weights held."""
    z, total = z.detach().requires_grad_(), torch.zeros_like(z)
    moves = torch.eye(problem.starts.size, dtype=z.dtype, device=z.device)
    at_once = problem.differentiable_at_once
    for some, held in zip(moves.split(at_once), linear.pull()[0].mT.split(at_once), strict=True):
        total += torch.autograd.grad((problem.along_starts(z, some) * held).sum(), z)[0]
    return along @ total


def with_adapted(
    problem: LeastSquares, z: Float[Tensor, "P Z"], linear: Linearised
) -> tuple[LeastSquares, Float[Tensor, "P W"]]:
    """With starts whose prior suits the values, where that is left open, and points with nearly the same starts."""
    if problem.starts.noisy is None or not problem.starts.noisy.adapt:
        return problem, z
    starts = adapted(problem, linear)
    return (problem, z) if starts is problem.starts.noisy else problem.with_starts(starts, z)


def adapted(problem: LeastSquares, linear: Linearised) -> NoisyStarts:
    """Starts whose length and deviations make the values most likely, as the linear problem of one point has it.

    The values say of the weights ε of a start that they are normal, with precision JᵀJ. In a field of another length
    and deviation these weights have another covariance than 1. Of a field longer than the domain only the ratio of
    deviation² to length³ matters, so it is no longer than that. What was said of guesses that are off together bounds
    the deviation too.
    """
    noisy, layout = problem.starts.noisy, problem.observation.layout
    assert noisy is not None
    if not bool(linear.finite.all()):
        return noisy
    said = [linear.about_start(index) for index in range(linear.white.shape[1])]

    def unlikely(change: Float[np.ndarray, " K"]) -> float:
        longer, *larger = (math.exp(one) for one in change)
        covariance = mode_covariance(layout, noisy.length, noisy.share, longer * noisy.length).to(linear.misfit)
        covariance += JITTER * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)
        root, _ = torch.linalg.cholesky_ex(covariance)
        whole = torch.block_diag(*(size * root for size in larger))
        return sum(_unlikely(whole, precision, towards) for precision, towards in said)

    same = np.zeros(1 + len(problem.starts.moving))
    widest = _widest(problem, noisy)
    domain = max(points * spacing for points, spacing in zip(layout.grid, layout.spacing, strict=True))
    longest = max(0.0, math.log(domain / noisy.length))
    found = scipy.optimize.minimize(
        unlikely,
        same,
        method="Nelder-Mead",
        bounds=[(math.log(SHORTER), longest), *((-math.log(LARGER), one) for one in widest)],
        options={
            "initial_simplex": np.vstack([same, np.diag([0.5, *(0.5 if one > 0.5 else -0.5 for one in widest)])]),
            "xatol": 0.02,
            "fatol": LITTLE / 10,
        },
    )
    length, deviation = noisy.length, noisy.deviation.clone()
    if unlikely(same) - found.fun > LITTLE:
        longer, *larger = (math.exp(one) for one in found.x)
        length, deviation[problem.starts.moving.cpu()] = (
            longer * length,
            deviation[problem.starts.moving.cpu()] * torch.tensor(larger),
        )
    noise = problem.deviation.cpu()[problem.starts.moving.cpu()].nan_to_num(nan=torch.inf)
    share = min(SHARE, float((FINE * noise / deviation[problem.starts.moving.cpu()]).min()) ** 2)
    while share < SHARE and num_modes(layout, length, share) * len(problem.starts.moving) > MOST:
        share = min(SHARE, 2 * share)
    if length == noisy.length and share > noisy.share / 4:
        return noisy
    return replace(noisy, length=length, deviation=deviation, share=share)


def _widest(problem: LeastSquares, noisy: NoisyStarts) -> list[float]:
    """How much larger, as a logarithm, the deviation of each moving channel may become: no larger than was said."""
    common = torch.zeros_like(noisy.deviation) if noisy.common is None else noisy.common.to(noisy.deviation)
    most = torch.where(common > 0, common / noisy.deviation, torch.inf).clamp(1.0, LARGER).log()
    return [float(most[channel]) for channel in problem.starts.moving.tolist()]


def _unlikely(root: Float[Tensor, "n n"], precision: Float[Tensor, "n n"], towards: Float[Tensor, " n"]) -> float:
    """−log p of what says of ε = root · white that it has this precision and lies that way, up to a constant."""
    identity = torch.eye(len(root), dtype=root.dtype, device=root.device)
    factor, failed = torch.linalg.cholesky_ex(identity + root.mT @ precision @ root)
    if failed:
        return math.inf
    pulled = torch.linalg.solve_triangular(factor, (root.mT @ towards)[:, None], upper=False)
    return float(factor.diagonal().log().sum() - 0.5 * pulled.square().sum())
