"""u_t + u u_x = −φ_x, periodic, φ = sin(2πx/100), before shocks: exact along characteristics, x' = u, u' = −φ'(x).

The model is MUSCL on cells. One trajectory trains, of which x < 50 is seen after the start.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from cotwin import Field, Layout
from truth.solved import Array, Truth, complex_normal, march, waves

LENGTH, STEPS, CORRELATION = 100.0, 49, 25.0
LAYOUT = Layout.box([Field("u")], grid=(256,), extent=[(0, LENGTH)], boundary="periodic", dt=0.1)
WAVE = 2 * np.pi / LENGTH


def draw(count: int, rng: np.random.Generator) -> Array:
    """Of a Gaussian field of unit variance, exp(−d²/2ℓ²): its mean first, then waves."""
    power = np.exp(-((WAVE * CORRELATION * np.arange(8)) ** 2) / 2) * np.array([1] + [2] * 7)
    return np.sqrt(power / power.sum()) * complex_normal((count, 8), rng)


def solve(starts: Array, steps: int, finer: int) -> Array:
    x = LENGTH / (4 * LAYOUT.grid[0] * finer) * np.arange(4 * LAYOUT.grid[0] * finer)
    u = starts[:, :1].real + waves(starts[:, 1:], x, LENGTH)

    def rate(state: Array) -> Array:
        return np.stack([state[1], -WAVE * np.cos(WAVE * state[0])])

    carried = march(rate, np.stack([np.broadcast_to(x, u.shape), u]), LAYOUT, steps, finer)
    places = np.array(LAYOUT.points(0))
    states = np.array([[_at(places, *one) for one in carried[:, :, row]] for row in range(len(u))])
    return states[:, :, None]


def _at(places: Array, x: Array, u: Array) -> Array:
    """What the characteristics carry to these places. Raises ArithmeticError where they have crossed."""
    if not (np.diff(x) > 0).all() or x[-1] - x[0] >= LENGTH:
        raise ArithmeticError("a shock has formed, where characteristics say nothing; draw smoother starts")
    around = CubicSpline(np.append(x, x[0] + LENGTH), np.append(u, u[0]), bc_type="periodic")
    found: Array = around(places)
    return found


def seen(rng: np.random.Generator) -> Array:
    mask = np.zeros((STEPS + 1, 1, *LAYOUT.grid), dtype=bool)
    mask[0], mask[1:, :, 1 : LAYOUT.grid[0] // 2] = True, True
    return mask


SOURCES = {"potential": Truth(LAYOUT, draw, solve, STEPS, seen=seen, test=5)}
