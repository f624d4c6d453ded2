"""How long a step of an exponential scheme may be at given states, about.

The scheme is exact in L and explicit in N. Through N a perturbation v of a state u grows by h φ₁(h L) N′(u) v.
Power iterations give ρ(h), the largest modulus of that operator's eigenvalues. The estimate is the longest step whose
ρ(h) the scheme bears. Of L only the damping counts, since its oscillation may be in resonance with N.
N′(u) v is a central difference, exact where N is quadratic: it needs no derivative, which a model may lack.
In trials on Burgers, Korteweg-de Vries, Navier-Stokes, Kuramoto-Sivashinsky and Allen-Cahn the estimate was 0.5 to
1.4 times the true limit. A stiff diffusion with a field of coefficients may bear far more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from cotwin.physics.exponential import Scheme, SpectralMap, phi_functions

FIRST_ITERATIONS, ITERATIONS = 20, 8
MOST_HALVINGS = 60

GridMap = Callable[[Float[Tensor, "B M *S"]], Float[Tensor, "B M *S"]]


def largest_stable_step(
    rate: SpectralMap,
    state: Float[Tensor, "B M *S"],
    symbol: Inexact[Tensor, "#M *K"],
    to_grid: GridMap,
    longest: float,
    scheme: Scheme,
) -> float:
    """The largest h up to `longest` with ρ(h) within the scheme's limit, to a tenth; of the samples the least.

    rate: from fields on the grid to the spectrum of N.
    """
    limit = oscillation_limit(scheme)
    damping = (symbol.real if symbol.is_complex() else symbol).clamp(max=0)
    # On the CPU, so that the estimate is the same on every device.
    perturbation = torch.randn(state.shape, generator=torch.Generator().manual_seed(0)).to(state)

    # Of the largest state; where all are at rest there is none.
    reach = 0.01 * (float(state.abs().max()) or 1.0)

    def linearised(direction: Tensor) -> Tensor:
        size = reach / _largest(direction)
        return (rate(state + size * direction) - rate(state - size * direction)) / (2 * size)

    def exceeds(interval: float, iterations: int) -> bool:
        nonlocal perturbation
        weights = (interval * phi_functions(interval * damping, 1)[1]).to(state.dtype)
        radius, perturbation = _radius(lambda v: to_grid(weights * linearised(v)), perturbation, iterations)
        return not radius <= limit

    step = longest
    iterations = FIRST_ITERATIONS
    for _ in range(MOST_HALVINGS):
        if not exceeds(step, iterations):
            break
        step, iterations = step / 2, ITERATIONS
    if step == longest:
        return longest
    above = 2 * step
    for _ in range(3):
        middle = math.sqrt(step * above)
        step, above = (step, middle) if exceeds(middle, ITERATIONS) else (middle, above)
    return step


def oscillation_limit(scheme: Scheme) -> float:
    """The largest y for which a step of length one multiplies the solution of du/dt = i y u by at most 1.2.

    More than 1, since schemes of second order multiply it by a little more than that for every y.

    >>> from cotwin.physics.exponential import etdrk2, etdrk4
    >>> round(oscillation_limit(etdrk2), 2), round(oscillation_limit(etdrk4), 2)
    (1.15, 2.9)
    """
    y = torch.arange(1, 1001, dtype=torch.float64) / 100
    ones = torch.ones_like(y)
    step = scheme(0 * y, 1.0, ones, lambda u: 1j * y * u, torch.complex128)
    beyond = step(ones.to(torch.complex128)).abs() > 1.2
    return float(y[max(0, int(beyond.nonzero()[0]) - 1)]) if bool(beyond.any()) else float(y[-1])


def _radius(apply: GridMap, start: Tensor, iterations: int) -> tuple[float, Tensor]:
    """Of the samples' spectral radii the largest, and the perturbations that grow most."""
    logarithms = []
    for _ in range(iterations):
        start = apply(start)
        sizes = start.flatten(1).norm(dim=1).clamp(min=torch.finfo(start.dtype).tiny)
        start = start / sizes.view(-1, *[1] * (start.ndim - 1))
        logarithms.append(sizes.log())
    # Eigenvalues come in pairs, and the size of a perturbation swings: of several iterations the mean.
    settled = torch.stack(logarithms[iterations // 2 :])
    return float(settled.mean(dim=0).max().exp()), start


def _largest(fields: Float[Tensor, "B M *S"]) -> Float[Tensor, "B 1 *1"]:
    """|u| of each sample, to divide it by; one where it is zero."""
    sizes = fields.abs().flatten(1).amax(dim=1)
    return torch.where(sizes > 0, sizes, 1.0).view(-1, *[1] * (fields.ndim - 1))
