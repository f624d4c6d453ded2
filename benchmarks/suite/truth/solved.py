"""A truth: initial states as numbers that know no grid, and a solver that is refined at will."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from cotwin import Layout
from cotwin.data.trajectories import Trajectories

Array = NDArray[Any]
DRAW = 14
"""The seed of all that is drawn."""


@dataclass(frozen=True)
class Truth:
    """layout: of the data. draw: so many initial states, (N, …), as numbers of no grid, such as waves' amplitudes.

    solve: of these, how many steps of the layout's, how many times finer than need be → states at the data's points,
        (N, T, C, *S). steps: of each trajectory.
    noise: of what trains and validates, relative to the deviation of each channel; what tests is clean.
    seen: of one trajectory that trains or validates which values are measured, (T, C, *S); None: all.
        The first state is measured whole, and so are the states that test.
    pool: trajectories that train and validate, of which a seed draws some. test: that test, whatever the seed.
    """

    layout: Layout
    draw: Callable[[int, np.random.Generator], Array]
    solve: Callable[[Array, int, int], Array]
    steps: int
    noise: float = 0.0
    seen: Callable[[np.random.Generator], Array] | None = None
    pool: int = 40
    test: int = 8

    def trajectories(self) -> Trajectories:
        """Those that train and validate first, those that test last."""
        pool, test = self.pool, self.test
        rng = np.random.default_rng(DRAW)
        states = self.solve(self.draw(pool + test, rng), self.steps, 1)
        over = (0, 1, *range(3, states.ndim))
        noise = self.noise * states.std(axis=over, keepdims=True) * rng.standard_normal(states.shape)
        noise[pool:] = 0
        mask = None
        if self.seen is not None:
            mask = torch.ones(states.shape, dtype=torch.bool)
            mask[:pool] = torch.from_numpy(np.stack([self.seen(rng)[: self.steps + 1] for _ in range(pool)]))
        return Trajectories(torch.from_numpy(states + noise).float(), self.layout, mask)

    def unresolved(self, count: int = 4) -> float:
        """By how much twice the grid and half the step move the states, relative to their deviation."""
        starts = self.draw(count, np.random.default_rng(DRAW))
        states, refined = (self.solve(starts, self.steps, finer) for finer in (1, 2))
        return float(np.sqrt(np.mean((states - refined) ** 2)) / states.std())


def march(rate: Callable[[Array], Array], start: Array, layout: Layout, num_steps: int, finer: int) -> Array:
    """States (T, *start.shape) of a whole batch at once, by scipy's Dormand-Prince pair of order 5, step by error."""
    times = layout.dt * np.arange(num_steps + 1)
    found = solve_ivp(
        lambda _, flat: rate(flat.reshape(start.shape)).ravel(),
        (0.0, times[-1]),
        start.ravel(),
        t_eval=times,
        rtol=1e-5 / finer**4,
        atol=1e-7 / finer**4,
    )
    if not found.success:
        raise ArithmeticError(f"the truth cannot be solved: {found.message}")
    states: Array = found.y.T.reshape(-1, *start.shape)
    return states


def slope(u: Array, dx: float, axis: int = -1) -> Array:
    """∂u/∂x by central differences of fourth order, periodic."""
    return (8 * (np.roll(u, -1, axis) - np.roll(u, 1, axis)) - (np.roll(u, -2, axis) - np.roll(u, 2, axis))) / (
        12 * dx
    )


def curvature(u: Array, dx: float, axis: int = -1) -> Array:
    """∂²u/∂x² by central differences of fourth order, periodic."""
    near = np.roll(u, -1, axis) + np.roll(u, 1, axis)
    return (16 * near - (np.roll(u, -2, axis) + np.roll(u, 2, axis)) - 30 * u) / (12 * dx**2)


def waves(amplitudes: Array, x: Array, length: float) -> Array:
    """Σ_k Re(a_k exp(2πikx/L)), k from 1 on; amplitudes (…, K) complex, x (X,)."""
    k = np.arange(1, amplitudes.shape[-1] + 1)
    return (amplitudes @ np.exp(2j * np.pi * k[:, None] * x / length)).real


def complex_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Independent normal real and imaginary parts of unit deviation."""
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
