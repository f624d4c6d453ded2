"""The correlation along one axis of a random field, and its square root."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout


def correlation(layout: Layout, axis: int, length: float) -> Float[Tensor, "N N"]:
    """Matérn correlation with ν = 3/2 between the points of one axis, c(r) = (1 + √3 r/length) exp(−√3 r/length).

    Around a periodic axis of circumference P, Σ_n c(|r + n P|), which the geometric series sums, divided by its value
    at r = 0. With length 0, the identity.
    """
    points = torch.tensor(layout.points(axis), dtype=torch.float64)
    if 1000 * length <= layout.spacing[axis]:  # c(1000 length) is zero in floating point
        return torch.eye(len(points), dtype=torch.float64)
    rate = math.sqrt(3) / length
    apart = (points[:, None] - points[None, :]).abs()
    if not layout.is_periodic(axis):
        return (1 + rate * apart) * torch.exp(-rate * apart)
    around = layout.upper[axis] - layout.lower[axis]
    # Of the images, those at r, r + P, … and those at P − r, 2 P − r, …; `rest` sums exp(−rate n P), n from 0.
    rest = -1 / math.expm1(-rate * around)
    farther = rate * around * math.exp(-rate * around) * rest**2
    sums = [(1 + rate * r) * rest + farther for r in (apart, around - apart)]
    total = sums[0] * torch.exp(-rate * apart) + sums[1] * torch.exp(-rate * (around - apart))
    return total / total[0, 0]


def smoother(apart: Float[Tensor, "*K"], length: float, around: float | None = None) -> Float[Tensor, "*K"]:
    """Matérn correlation with ν = 5/2 of points r apart, c(r) = (1 + a + a²/3) exp(−a), a = √5 r/length.

    Around a circumference it is summed over all images, and one at r = 0.

    >>> smoother(torch.tensor([0.0, 1.0]), length=1.0)
    tensor([1.0000, 0.5240])
    """
    if around is None:
        a = math.sqrt(5) / length * apart.abs()
        return (1 + a + a.square() / 3) * torch.exp(-a)
    # A circle of a quarter of a length is one place to within 1e-6; 20 lengths away there is nothing.
    length = min(length, 4 * around)
    most = math.ceil(20 * length / around)
    sums = [
        torch.stack([smoother(r + image * around, length) for image in range(-most, most + 1)]).sum(dim=0)
        for r in (apart.abs() % around, apart.new_zeros(()))
    ]
    return sums[0] / sums[1]


def circumference(layout: Layout, axis: int) -> float | None:
    """Of a periodic axis; None for others."""
    return layout.upper[axis] - layout.lower[axis] if layout.is_periodic(axis) else None


def roots(layout: Layout, axis: int, length: float) -> tuple[Float[Tensor, "N N"], Float[Tensor, "N N"], float]:
    """C^(1/2) and C^(−1/2) of the correlation along one axis, both symmetric, and the norm of the latter.

    Raises ValueError where rounding hides the smallest eigenvalue.
    """
    values, vectors = torch.linalg.eigh(correlation(layout, axis, length))
    if not float(values[0]) > 1e-13 * float(values[-1]):
        raise ValueError(
            f"length {length} is too long for {layout.grid[axis]} points on [{layout.lower[axis]}, "
            f"{layout.upper[axis]}]: to within rounding the field would be a constant; shorten the length, or "
            "estimate one number."
        )
    root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
    return root, inverse, float(values[0]) ** -0.5
