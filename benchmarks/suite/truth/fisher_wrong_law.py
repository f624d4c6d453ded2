"""Porous Fisher, u_t = (D (u/K) u_x)_x + r u (1 − u/K), insulated: finite volumes on four times the cells, RK45.

The model's law is wrong: it has one diffusivity for all densities.
"""

from __future__ import annotations

import numpy as np

from cotwin import Field, Layout
from truth.solved import Array, Truth, march

LENGTH, STEPS, FINER = 10.0, 25, 4
DIFFUSIVITY, GROWTH, CAPACITY = 0.5, 0.8, 1.5
LAYOUT = Layout.box([Field("density")], grid=(64,), extent=[(0, LENGTH)], boundary="neumann", dt=0.2)


def draw(count: int, rng: np.random.Generator) -> Array:
    """Three colonies each: height, place, width."""
    lower, upper = np.array([0.2, 0, 0.3]), np.array([1.2, LENGTH, 0.8])
    return lower + (upper - lower) * rng.random((count, 3, 3))


def solve(starts: Array, steps: int, finer: int) -> Array:
    every = FINER * finer
    dx = LENGTH / (LAYOUT.grid[0] * every)
    x = dx * (np.arange(LAYOUT.grid[0] * every) + 0.5)
    height, place, width = starts[..., None].transpose(2, 0, 1, 3)

    def rate(u: Array) -> Array:
        # D (u/K) u_x is a slope itself, of D u²/2K.
        flux = np.diff(DIFFUSIVITY * u * u / (2 * CAPACITY), prepend=np.nan, append=np.nan) / dx
        flux[:, [0, -1]] = 0
        return np.diff(flux) / dx + GROWTH * u * (1 - u / CAPACITY)

    first = (height * np.exp(-(((x - place) / width) ** 2))).max(axis=1)
    states = march(rate, first, LAYOUT, steps, finer).swapaxes(0, 1)
    return states.reshape(len(starts), steps + 1, 1, -1, every).mean(axis=-1)


SOURCES = {"fisher_wrong_law": Truth(LAYOUT, draw, solve, STEPS, noise=0.02)}
