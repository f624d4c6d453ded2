"""The truth of the default experiment, from a solver that shares nothing with the models to be trained.

No inverse crime: a finer grid, another space discretisation, another time integrator, in double precision
and without torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BurgersReference:
    """u_t + (u²/2)_x = (ν(x) u_x)_x on [0, 2π), periodic, ν(x) = mean · exp(contrast · shape(x)).

    shape(x) = sin x + ½ cos 2x − ¼ sin 3x: smooth, and in no spline's span. Initial states are random sums
    of four Fourier modes, u = c + Σ a_k sin(k x + φ_k) with a_k ~ N(0, 1/k), c ~ N(0, 0.3²).
    Scheme: conservative second-order finite volumes on `refine` times as many cells as there are points,
    adaptive Runge-Kutta 5(4) of Dormand and Prince with relative tolerance 1e-6.

    points: of the sampled trajectories. dt, num_steps: interval and number of sampled steps.
    """

    points: int
    dt: float
    num_steps: int
    mean: float = 0.1
    contrast: float = 0.5
    refine: int = 4

    def viscosity(self, x: Array) -> Array:
        """ν at some places."""
        shape = np.sin(x) + 0.5 * np.cos(2 * x) - 0.25 * np.sin(3 * x)
        return np.asarray(self.mean * np.exp(self.contrast * shape), dtype=np.float64)

    def initial(self, count: int, rng: np.random.Generator) -> Array:
        """Random initial states on the fine grid, (count, refine · points)."""
        x = self._fine_points()
        modes = np.arange(1, 5)
        amplitude = rng.normal(size=(count, 4, 1)) / np.sqrt(modes)[:, None]
        phase = rng.uniform(0, 2 * np.pi, size=(count, 4, 1))
        offset = rng.normal(scale=0.3, size=(count, 1))
        return np.asarray(offset + (amplitude * np.sin(modes[:, None] * x + phase)).sum(axis=1), dtype=np.float64)

    def trajectories(self, initial: Array) -> Array:
        """States at 0, dt, …, num_steps · dt on the coarse points, (count, num_steps + 1, points)."""
        x = self._fine_points()
        dx = x[1]
        viscosity_at_face = self.viscosity(x + dx / 2)

        def tendency(time: float, flat: Array) -> Array:
            u = flat.reshape(initial.shape)
            right = np.roll(u, -1, axis=1)
            flux = 0.25 * (u**2 + right**2) - viscosity_at_face * (right - u) / dx
            return np.asarray(((np.roll(flux, 1, axis=1) - flux) / dx).ravel())

        times = self.dt * np.arange(self.num_steps + 1)
        solution = solve_ivp(tendency, (0.0, times[-1]), initial.ravel(), t_eval=times, rtol=1e-6, atol=1e-8)
        if not solution.success:
            raise ArithmeticError(f"the reference solver failed: {solution.message}")
        states = solution.y.T.reshape(len(times), *initial.shape)
        return np.ascontiguousarray(states.transpose(1, 0, 2)[:, :, :: self.refine], dtype=np.float64)

    def _fine_points(self) -> Array:
        cells = self.refine * self.points
        return np.linspace(0.0, 2 * np.pi, cells, endpoint=False)
