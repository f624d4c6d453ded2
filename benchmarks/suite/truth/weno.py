"""Hyperbolic equations with shocks: WENO of fifth order on cell means, Lax-Friedrichs splitting, SSP Runge-Kutta.

Source: Jiang & Shu (1996), J. Comput. Phys. 126.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from truth.solved import Array


def upwind(f: Array) -> Array:
    """At the upper end of each cell of the last axis, periodic, from the cells below and beside it."""
    a, b, d, e = (np.roll(f, shift, -1) for shift in (2, 1, -1, -2))
    smooth = (
        13 / 12 * (a - 2 * b + f) ** 2 + (a - 4 * b + 3 * f) ** 2 / 4,
        13 / 12 * (b - 2 * f + d) ** 2 + (b - d) ** 2 / 4,
        13 / 12 * (f - 2 * d + e) ** 2 + (3 * f - 4 * d + e) ** 2 / 4,
    )
    weights = [share / (1e-6 + one) ** 2 for share, one in zip((0.1, 0.6, 0.3), smooth, strict=True)]
    parts = ((2 * a - 7 * b + 11 * f) / 6, (-b + 5 * f + 2 * d) / 6, (2 * f + 5 * d - e) / 6)
    return sum(w * p for w, p in zip(weights, parts, strict=True)) / sum(weights)


def divergence(u: Array, flux: Array, speed: float, dx: float) -> Array:
    """∂F/∂x of conserved u; speed: none of the waves is faster."""
    forward = upwind((flux + speed * u) / 2)
    backward = np.roll(upwind(((flux - speed * u) / 2)[..., ::-1])[..., ::-1], -1, -1)
    through = forward + backward
    return (through - np.roll(through, 1, -1)) / dx


def ssp_rk3(rate: Callable[[Array], Array], state: Array, interval: float, substeps: int, count: int) -> Array:
    """States (T, *state.shape), `count` intervals of so many steps each."""
    states, dt = [state], interval / substeps
    for _ in range(count):
        for _ in range(substeps):
            first = state + dt * rate(state)
            second = (3 * state + first + dt * rate(first)) / 4
            state = (state + 2 * second + 2 * dt * rate(second)) / 3
        states.append(state)
    return np.stack(states)
