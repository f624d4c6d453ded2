"""u_t + (u²/2)_x = (ν u_x)_x, periodic, ν a field that no spline of the model is: fourth-order differences, RK45.

The model is pseudo-spectral with exponential Runge-Kutta, on a third of the points.
"""

from __future__ import annotations

import numpy as np

from cotwin import Field, Layout
from truth.solved import Array, Truth, complex_normal, march, slope, waves

LENGTH, FINER, STEPS = 2 * np.pi, 3, 40
LAYOUT = Layout.box([Field("u")], grid=(128,), extent=[(0, LENGTH)], boundary="periodic", dt=0.05)


def draw(count: int, rng: np.random.Generator) -> Array:
    """Three waves, of unit deviation in the mean."""
    return complex_normal((count, 3), rng) / np.sqrt(3)


def viscosity(x: Array) -> Array:
    return 0.08 * np.exp(0.6 * np.sin(x) + 0.3 * np.cos(2 * x + 1))


def solve(starts: Array, steps: int, finer: int) -> Array:
    every = FINER * finer
    points = LAYOUT.grid[0] * every
    dx = LENGTH / points
    x = dx * np.arange(points)
    nu = viscosity(x + dx / 2)

    def rate(u: Array) -> Array:
        inward = 27 * (np.roll(u, -1, -1) - u) - (np.roll(u, -2, -1) - np.roll(u, 1, -1))
        flux = nu * inward / (24 * dx)
        diffusion = 27 * (flux - np.roll(flux, 1, -1)) - (np.roll(flux, -1, -1) - np.roll(flux, 2, -1))
        return diffusion / (24 * dx) - slope(u * u / 2, dx)

    states = march(rate, waves(starts, x, LENGTH), LAYOUT, steps, finer)
    return states.swapaxes(0, 1)[:, :, None, ::every]


SOURCES = {
    "burgers_field_2": Truth(LAYOUT, draw, solve, STEPS, noise=0.02),
    "burgers_field_10": Truth(LAYOUT, draw, solve, STEPS, noise=0.1),
}
