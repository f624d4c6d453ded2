"""Gray-Scott, periodic: fourth-order differences on four times the points, RK45. One value in twenty is seen.

The model is pseudo-spectral with exponential Runge-Kutta.
"""

from __future__ import annotations

import numpy as np

from cotwin import Field, Layout
from truth.solved import Array, Truth, curvature, march

LENGTH, STEPS, PART, FINER = 32.0, 20, 0.05, 2
DIFFUSIVITY_U, DIFFUSIVITY_V, FEED, KILL = 0.2, 0.08, 0.03, 0.057
LAYOUT = Layout.box([Field("U"), Field("V")], grid=(32, 32), extent=[(0, LENGTH)] * 2, boundary="periodic", dt=10.0)


def draw(count: int, rng: np.random.Generator) -> Array:
    """Five smooth patches each, by their places."""
    return rng.uniform(0, LENGTH, (count, 5, 2))


def solve(starts: Array, steps: int, finer: int) -> Array:
    every = FINER * finer
    dx = LENGTH / (LAYOUT.grid[0] * every)
    x = dx * np.arange(LAYOUT.grid[0] * every)
    away = 2 * np.pi / LENGTH * (x - starts[..., None])
    # A Gaussian on a circle, nearly: exp(−d²/2·2.5²) where it is not small.
    along = np.exp((np.cos(away) - 1) / (2 * np.pi * 2.5 / LENGTH) ** 2)
    patches = np.minimum(np.einsum("nki,nkj->nij", along[:, :, 0], along[:, :, 1]), 1.0)

    def rate(state: Array) -> Array:
        u, v = state
        eaten = u * v * v
        both = [curvature(one, dx, -1) + curvature(one, dx, -2) for one in (u, v)]
        return np.stack(
            [
                DIFFUSIVITY_U * both[0] - eaten + FEED * (1 - u),
                DIFFUSIVITY_V * both[1] + eaten - (FEED + KILL) * v,
            ]
        )

    states = march(rate, np.stack([1 - 0.5 * patches, 0.25 * patches]), LAYOUT, steps, finer)
    return states.transpose(2, 0, 1, 3, 4)[..., ::every, ::every]


def seen(rng: np.random.Generator) -> Array:
    mask = np.repeat(rng.random((STEPS + 1, 1, *LAYOUT.grid)) < PART, 2, axis=1)
    mask[0] = True
    return mask


SOURCES = {"gray_scott_points": Truth(LAYOUT, draw, solve, STEPS, noise=0.01, seen=seen)}
