"""ω_t + u·∇ω = ν∇²ω − μω − A k cos(ky), periodic: fourth-order differences on three times the points, RK45.

Only the stream function is found by Fourier transforms. The model is pseudo-spectral with exponential Runge-Kutta.
"""

from __future__ import annotations

import numpy as np

from cotwin import Field, Layout
from truth.solved import Array, Truth, complex_normal, curvature, march, slope

LENGTH, STEPS, FINER, MODES = 2 * np.pi, 20, 3, 4
VISCOSITY, DRAG, FORCING, WAVENUMBER = 0.03, 0.1, 1.0, 4
LAYOUT = Layout.box([Field("vorticity")], grid=(32, 32), extent=[(0, LENGTH)] * 2, boundary="periodic", dt=0.1)


def draw(count: int, rng: np.random.Generator) -> Array:
    """Amplitudes of waves, −4 to 4 along x and 0 to 4 along y, deviation 2 all together."""
    amplitudes = complex_normal((count, 2 * MODES + 1, MODES + 1), rng)
    amplitudes[:, : MODES + 1, 0] = 0  # conjugates of others, and the mean
    return amplitudes * 2 / np.sqrt(2 * MODES * (MODES + 1))


def solve(starts: Array, steps: int, finer: int) -> Array:
    every = FINER * finer
    points = LAYOUT.grid[0] * every
    dx = LENGTH / points
    x = dx * np.arange(points)
    k, half = np.fft.fftfreq(points, 1 / points)[:, None], np.arange(points // 2 + 1)
    squared = k**2 + half**2
    squared[0, 0] = 1.0
    force = FORCING * WAVENUMBER * np.cos(WAVENUMBER * x)

    def rate(w: Array) -> Array:
        stream = np.fft.irfft2(np.fft.rfft2(w) / squared, s=w.shape[1:])
        u, v = slope(stream, dx, -1), -slope(stream, dx, -2)
        carried = u * slope(w, dx, -2) + v * slope(w, dx, -1)
        return VISCOSITY * (curvature(w, dx, -1) + curvature(w, dx, -2)) - carried - DRAG * w - force

    along_x = np.exp(1j * np.arange(-MODES, MODES + 1)[:, None] * x)
    along_y = np.exp(1j * np.arange(MODES + 1)[:, None] * x)
    first = np.einsum("nkl,ki,lj->nij", starts, along_x, along_y).real
    states = march(rate, first, LAYOUT, steps, finer)
    return states.swapaxes(0, 1)[:, :, None, ::every, ::every]


SOURCES = {"kolmogorov": Truth(LAYOUT, draw, solve, STEPS, noise=0.02)}
