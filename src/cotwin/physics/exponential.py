"""Exponential Runge-Kutta schemes for ∂û/∂t = L û + N(û) in Fourier space: L exactly, N explicitly.

Source: Cox & Matthews (2002), J. Comput. Phys. 176, equations 22 and 26 to 29.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Complex, Inexact
from torch import Tensor

SpectralMap = Callable[[Complex[Tensor, "B M *K"]], Complex[Tensor, "B M *K"]]
Scheme = Callable[[Inexact[Tensor, "*M K"], float, Tensor, SpectralMap, torch.dtype], SpectralMap]
"""(L, the interval h, which modes are kept, N, precision) -> the map of a spectrum to one h later.

With the kept modes in the coefficients every step removes aliases, whatever N returns.
"""


def etdrk2(
    symbol: Inexact[Tensor, "*M K"], interval: float, kept: Tensor, nonlinear: SpectralMap, dtype: torch.dtype
) -> SpectralMap:
    """Second order; two evaluations of N."""
    exponential, phi1, phi2 = phi_functions(interval * symbol, 2)
    growth, first, second = ((kept * c).to(dtype) for c in (exponential, interval * phi1, interval * phi2))

    def advance(spectrum: Tensor) -> Tensor:
        rate = nonlinear(spectrum)
        predicted = torch.addcmul(growth * spectrum, first, rate)
        return torch.addcmul(predicted, second, nonlinear(predicted) - rate)

    return advance


def etdrk4(
    symbol: Inexact[Tensor, "*M K"], interval: float, kept: Tensor, nonlinear: SpectralMap, dtype: torch.dtype
) -> SpectralMap:
    """Fourth order; four evaluations of N."""
    z, h = interval * symbol, interval
    half_growth, half_phi1 = phi_functions(z / 2, 1)
    growth, phi1, phi2, phi3 = phi_functions(z, 3)
    parts = (half_growth, h / 2 * half_phi1, growth, h * (phi1 - 3 * phi2 + 4 * phi3))
    middle, last = 2 * h * (phi2 - 2 * phi3), h * (4 * phi3 - phi2)
    e2, q, e, f1, f2, f3 = ((kept * c).to(dtype) for c in (*parts, middle, last))

    def advance(spectrum: Tensor) -> Tensor:
        rate = nonlinear(spectrum)
        halfway = e2 * spectrum
        a = torch.addcmul(halfway, q, rate)
        rate_a = nonlinear(a)
        rate_b = nonlinear(torch.addcmul(halfway, q, rate_a))
        rate_c = nonlinear(torch.addcmul(e2 * a, q, 2 * rate_b - rate))
        total = torch.addcmul(e * spectrum, f1, rate)
        return torch.addcmul(torch.addcmul(total, f2, rate_a + rate_b), f3, rate_c)

    return advance


def phi_functions(z: Inexact[Tensor, "*K"], count: int) -> list[Inexact[Tensor, "*K"]]:
    """e^z, φ₁, …, φ_count, where φ₀ = e^z and φ_{n+1} = (φ_n − 1/n!)/z; accurate and differentiable, at 0 too.

    >>> [round(float(value), 6) for value in phi_functions(torch.zeros((), dtype=torch.float64), 3)]
    [1.0, 1.0, 0.5, 0.166667]
    """
    near = z.detach().abs() < 1
    # Each branch gets harmless values where the other is used: 0/0 would reach the gradient through `where`.
    small = torch.where(near, z, torch.zeros_like(z))
    large = torch.where(near, torch.ones_like(z), z)
    series = torch.zeros_like(z)
    for n in range(17, -1, -1):  # Σ zⁿ / (n + count)!, to rounding for |z| < 1
        series = series * small + 1 / math.factorial(n + count)
    inside = [series]
    for n in range(count - 1, 0, -1):
        inside.insert(0, 1 / math.factorial(n) + small * inside[0])
    outside = [(large.exp() - 1) / large]
    for n in range(1, count):
        outside.append((outside[-1] - 1 / math.factorial(n)) / large)
    return [z.exp(), *(torch.where(near, one, other) for one, other in zip(inside, outside, strict=True))]


def unaliased(modes: list[Tensor], grid: tuple[int, ...], degree: int) -> Bool[Tensor, "*K"]:
    """Modes whose products of `degree` fields do not fold back onto them: (degree + 1) |mode| < points.

    Source: Orszag (1971), J. Atmos. Sci. 28, for products of two, the 2/3 rule.
    """
    kept = torch.ones((), dtype=torch.bool, device=modes[0].device)
    for along, points in zip(modes, grid, strict=True):
        kept = kept & ((degree + 1) * along.abs() < points)
    return kept
