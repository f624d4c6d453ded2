"""Explicit time steps of finite volumes: how many are stable, RKL2 for stiff diffusion, SSP-RK3 for all else.

RKL2: Runge-Kutta-Legendre super-time-stepping, second order; s stages are stable up to (s² + s − 2)/4 times the
explicit limit, so the number of stages follows from κ.
Source: Meyer, Balsara & Aslam (2014), J. Comput. Phys. 257, equations 16 to 21; Gottlieb, Shu & Tadmor (2001), SIAM
Review 43.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters.clock import Instant
from cotwin.stepper import DivergenceError

CellMap = Callable[[Float[Tensor, "B M *S"]], Float[Tensor, "B M *S"]]

MAX_STAGES, MAX_SUBSTEPS = 400, 1000


def substeps_for_speed(equation: str, layout: Layout, max_speed: float, courant: float, allowed: int | None) -> int:
    """The fewest that keep Σ max_speed · substep/Δx within `courant`, or those that are allowed.

    Raises ValueError where they are more than those allowed, or than 1000.
    """
    needed = math.ceil(layout.dt * max_speed * sum(1 / dx for dx in layout.spacing) / courant)
    most = MAX_SUBSTEPS if allowed is None else allowed
    if needed > most:
        raise ValueError(
            f"{equation} needs {needed} substeps per dt to be stable, and may take {most}: the largest stable "
            f"substep for max_speed {max_speed:.3g} and spacing {layout.spacing} is {layout.dt / needed:.3g}. Allow "
            "more substeps, or expect a lower speed."
        )
    return max(1, needed) if allowed is None else allowed


def whole_substeps(needed: float, equation: str, cause: str, allowed: int | None = None) -> int:
    """The fewest whole ones, or those that are allowed.

    Raises DivergenceError, with the cause, where more are needed than allowed, or than 1000.
    """
    most = MAX_SUBSTEPS if allowed is None else allowed
    whole = math.ceil(needed) if math.isfinite(needed) else math.inf
    if whole > most:
        raise DivergenceError(
            f"{equation} needs {whole} substeps per dt to be stable, and may take {most}: {cause}. Allow more "
            "substeps, bound the parameter (parameters.Bounded), or use a shorter dt."
        )
    return max(1, int(whole)) if allowed is None else allowed


def rkl2_stages(rate: float, interval: float) -> int:
    """The least odd number of stages, at least 3, that is stable for rates in [−rate, 0] over the interval.

    Odd, since these damp the highest modes better. Raises DivergenceError beyond MAX_STAGES.

    >>> rkl2_stages(rate=4000.0, interval=0.01)
    9
    """
    product = rate * interval
    # (s² + s − 2)/2 ≥ rate · interval, with a hair for rounding.
    needed = (math.sqrt(9 + 8.001 * product) - 1) / 2 if math.isfinite(product) else math.inf
    if needed > MAX_STAGES:
        raise DivergenceError(
            f"diffusion over dt = {interval:.3g} needs {needed:.0f} stages, more than {MAX_STAGES}: its "
            f"fastest mode decays at {rate:.3g}/time. Bound the diffusivity "
            "(parameters.Bounded), or use a shorter dt or a coarser grid."
        )
    return max(3, 2 * math.ceil((needed - 1) / 2) + 1)


def ssp_rk3_step(change: CellMap, cells: Float[Tensor, "B M *S"]) -> Float[Tensor, "B M *S"]:
    """One step of SSP-RK3 by Shu and Osher; `change` is the right-hand side times the interval, in new memory."""
    # In place on fresh tensors: sums keep nothing for their gradient.
    first = change(cells).add_(cells)
    second = change(first).add_(first).mul_(1 / 4).add_(cells, alpha=3 / 4)
    return change(second).add_(second).mul_(2 / 3).add_(cells, alpha=1 / 3)


def rkl2_step(change: CellMap, cells: Float[Tensor, "B M *S"], stages: int) -> Float[Tensor, "B M *S"]:
    """One RKL2 step; `change` is the right-hand side times the interval, linear with rates in [−rate, 0]."""
    b = [1 / 3 if j < 2 else (j * j + j - 2) / (2 * j * (j + 1)) for j in range(stages + 1)]
    w = 4 / (stages * stages + stages - 2)
    first_change = change(cells)
    before, current = cells, torch.add(cells, first_change, alpha=b[1] * w)
    for j in range(2, stages + 1):
        mu, nu = (2 * j - 1) / j * b[j] / b[j - 1], -(j - 1) / j * b[j] / b[j - 2]
        following = change(current).mul_(mu * w)
        following.add_(first_change, alpha=-(1 - b[j - 1]) * mu * w)
        following.add_(current, alpha=mu).add_(before, alpha=nu).add_(cells, alpha=1 - mu - nu)
        before, current = current, following
    return current


@cache
def rkl2_instants(stages: int, share: float = 1.0) -> tuple[Instant, ...]:
    """What its stages meet of what changes along a substep, of which the step is the first share.

    The mean, and at a stage's time how much more there is than in the middle: second order, and all that enters.
    """
    time, times = torch.zeros(1, 1, 1, dtype=torch.float64), []

    def clock(now: Tensor) -> Tensor:
        times.append(float(now))
        return torch.ones_like(now)

    rkl2_step(clock, time, stages)
    return tuple((0.5 - share * time, 1.0, share * time - 0.5) for time in times)
