"""h_t + (hu)_x = 0, (hu)_t + (hu² + gh²/2)_x = −c |u| u, periodic: WENO of fifth order on eight times the cells.

The model's drag is wrong: it is proportional to the momentum. The model is MUSCL on the data's cells.
"""

from __future__ import annotations

import numpy as np

from cotwin import Field, Layout
from truth.solved import Array, Truth, complex_normal, waves
from truth.weno import divergence, ssp_rk3

LENGTH, STEPS, FINER = 2.0, 30, 8
GRAVITY, ROUGHNESS, FASTEST = 1.0, 4.0, 2.0
LAYOUT = Layout.box(
    [Field("depth"), Field("velocity", components=1)],
    grid=(96,),
    extent=[(0, LENGTH)],
    boundary="periodic",
    dt=0.05,
)


def draw(count: int, rng: np.random.Generator) -> Array:
    """Two waves of depth and of velocity, and a mean velocity; their size differs up to threefold."""
    size = rng.uniform(0.5, 1.5, (count, 1, 1))
    drawn = size * np.array([[0.05], [0.1]]) * complex_normal((count, 2, 3), rng)
    drawn[:, 0, 0] = 0
    return drawn


def solve(starts: Array, steps: int, finer: int) -> Array:
    every = FINER * finer
    cells = LAYOUT.grid[0] * every
    dx = LENGTH / cells
    x = dx * np.arange(cells)
    depth, velocity = np.moveaxis(waves(starts[..., 1:], x, LENGTH) + starts[..., :1].real, 1, 0)
    depth = depth + 1

    def rate(state: Array) -> Array:
        h, m = state
        u = m / h
        moved = -divergence(state, np.stack([m, m * u + GRAVITY * h * h / 2]), FASTEST, dx)
        moved[1] -= ROUGHNESS * abs(u) * u
        return moved

    substeps = int(np.ceil(LAYOUT.dt * FASTEST / (0.5 * dx)))
    h, m = np.moveaxis(ssp_rk3(rate, np.stack([depth, depth * velocity]), LAYOUT.dt, substeps, steps), 1, 0)
    return np.stack([h, m / h], axis=2).swapaxes(0, 1)[..., ::every]


SOURCES = {"shallow_water_drag": Truth(LAYOUT, draw, solve, STEPS, noise=0.02)}
