"""u_t = κ∇²u on [−3, 3]², zero on the walls, κ = min(0.1 + Σ A exp(−|x − c|²), 2.5): five points, exact in time.

scipy's exponential of the sparse matrix on three times the model's points; the model is finite volumes with RKL2.
Sixty sensors begin on a lattice of one quarter and move with ẋ = M(x − c); each reads the cell that it is in.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse
from scipy.sparse.linalg import expm_multiply

from cotwin import Field, Layout
from truth.solved import Array, Truth

STEPS, CLIP, BASE = 20, 2.5, 0.1
AMPLITUDES, CENTRES = (3.0, 2.5), ((1.0, 1.0), (-2.0, -2.0))
LAYOUT = Layout.box([Field("u")], grid=(24, 24), extent=[(-3, 3)] * 2, boundary="dirichlet", dt=1 / STEPS)
MOTION = np.array([[-0.1, -1.0], [1.0, -0.1]])


def draw(count: int, rng: np.random.Generator) -> Array:
    """Four bumps each: height and place."""
    return np.concatenate([rng.standard_normal((count, 4, 1)), rng.uniform(-2, 2, (count, 4, 2))], axis=2)


def bumps(heights: Array, centres: Array, x: Array) -> Array:
    """Σ A exp(−|x − c|²) on the square of points x; heights (…, K), centres (…, K, 2)."""
    along = np.exp(-((x - centres[..., None]) ** 2))
    product: Array = np.einsum("...k,...ki,...kj->...ij", heights, along[..., 0, :], along[..., 1, :])
    return product


def solve(starts: Array, steps: int, finer: int) -> Array:
    every = 1 + 2 * finer  # odd, so that the data's points are among these
    points = LAYOUT.grid[0] * every
    dx = 6 / points
    x = -3 + dx * (np.arange(points) + 0.5)
    second = scipy.sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(points, points)).tolil()
    second[0, 0] = second[-1, -1] = -3.0  # the wall is half a cell away
    kappa = np.minimum(BASE + bumps(np.array(AMPLITUDES), np.array(CENTRES), x), CLIP)
    matrix = scipy.sparse.csr_array(kappa.reshape(-1, 1) * scipy.sparse.kronsum(second, second) / dx**2)
    first = bumps(starts[..., 0], starts[..., 1:], x) * np.outer(1 - (x / 3) ** 4, 1 - (x / 3) ** 4)
    columns = expm_multiply(matrix, first.reshape(len(starts), -1).T, 0, steps * LAYOUT.dt, steps + 1)
    states = columns.transpose(2, 0, 1).reshape(len(starts), steps + 1, 1, points, points)
    return states[..., every // 2 :: every, every // 2 :: every]


def seen(rng: np.random.Generator) -> Array:
    lattice = np.stack(np.meshgrid(np.linspace(0, 3, 10), np.linspace(0, 3, 10)), axis=-1).reshape(-1, 2)
    first = lattice[rng.permutation(100)[:60]] - 1.5
    mask = np.zeros((STEPS + 1, 1, *LAYOUT.grid), dtype=bool)
    mask[0] = True
    for step in range(1, STEPS + 1):
        places = first @ scipy.linalg.expm(step * LAYOUT.dt * MOTION).T + 1.5
        i, j = np.floor((places[(abs(places) < 3).all(axis=1)] + 3) / LAYOUT.spacing[0]).astype(int).T
        mask[step, 0, i, j] = True
    return mask


SOURCES = {"heat_sensors": Truth(LAYOUT, draw, solve, STEPS, seen=seen)}
