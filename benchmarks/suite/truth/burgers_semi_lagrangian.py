"""u_t + u u_x = ν u_xx by PhiFlow: semi-Lagrangian advection, then explicit diffusion, as its examples have it.

256 points, L = 100, dt = 0.1. What the scheme adds in viscosity of its own is part of this truth, and no field of the
model's, which is pseudo-spectral: here the solver is the system, so twice the grid is another one.
"""

from __future__ import annotations

import numpy as np
from phi.field import CenteredGrid
from phi.geom import Box
from phi.physics import advect, diffuse
from phiml import math
from phiml.math.extrapolation import PERIODIC

from cotwin import Field, Layout
from truth.solved import Array, Truth, complex_normal, waves

LENGTH, STEPS, VISCOSITY = 100.0, 49, 0.3
LAYOUT = Layout.box([Field("u")], grid=(256,), extent=[(0, LENGTH)], boundary="periodic", dt=0.1)


def draw(count: int, rng: np.random.Generator) -> Array:
    """Six waves, of unit deviation in the mean."""
    return complex_normal((count, 6), rng) / np.sqrt(6)


def solve(starts: Array, steps: int, finer: int) -> Array:
    points = LAYOUT.grid[0] * finer
    first = waves(starts, LENGTH / points * np.arange(points), LENGTH)
    with math.use("numpy"), math.precision(64):
        values = math.wrap(first[..., None], math.batch("n"), math.spatial("x"), math.channel(vector="x"))
        velocity = CenteredGrid(values, PERIODIC, bounds=Box(x=LENGTH))
        states = [velocity]
        for _ in range(steps * finer):
            velocity = advect.semi_lagrangian(velocity, velocity, LAYOUT.dt / finer)
            velocity = diffuse.explicit(velocity, VISCOSITY, LAYOUT.dt / finer)
            states.append(velocity)
        numbers = np.stack([one.values.numpy("n,x,vector") for one in states[::finer]])
    return numbers.transpose(1, 0, 3, 2)[..., ::finer]


SOURCES = {"burgers_semi_lagrangian": Truth(LAYOUT, draw, solve, STEPS)}
