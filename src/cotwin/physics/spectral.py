"""Pseudo-spectral steppers for ∂u/∂t = L u + N(u) on periodic grids.

L: linear with constant coefficients; the tensor `symbol()`, in 1/time, multiplies the Fourier coefficients.
N: all the rest, evaluated on the grid; `nonlinearity()`.
Scheme: real Fourier transforms, spectrally accurate in space, products of two fields free of aliasing by the
2/3 rule; ETDRK2 in time, second order, exact where N is absent.
Source: Cox & Matthews (2002), J. Comput. Phys. 176; Orszag (1971), J. Atmos. Sci. 28 for the 2/3 rule.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float, Inexact
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.channels import put_moving, take_moving
from cotwin.stepper import Stepper

SpectralMap = Callable[[Complex[Tensor, "B M *K"]], Complex[Tensor, "B M *K"]]


class SpectralStepper(Stepper):
    """∂u/∂t = L u + N(u), periodic, 1 to 3 dimensions. A subclass gives `symbol` and maybe `nonlinearity`.

    substeps: ETDRK2 steps per layout.dt; of no effect where N is absent.

    Where N is present, the modes above the 2/3 limit are dropped from the start; the rollout still returns
    the start as given. Coefficients are computed once a rollout, in double precision.
    """

    def __init__(self, layout: Layout, substeps: int = 1) -> None:
        super().__init__(layout)
        if any(kind != "periodic" for kind in layout.boundary):
            raise ValueError(
                f"{type(self).__name__} is spectral and needs periodic boundaries, the layout has "
                f"{layout.boundary}; use a finite-volume stepper."
            )
        if substeps < 1:
            raise ValueError(f"substeps is {substeps}; at least one is needed.")
        self.substeps = substeps
        self.axes = tuple(range(-layout.dims, 0))
        for axis, points in enumerate(layout.grid):
            half = axis == layout.dims - 1
            frequencies = torch.fft.rfftfreq(points) if half else torch.fft.fftfreq(points)
            # Integers, since .to(dtype) would round floating buffers; double precision is made from them.
            modes = (frequencies * points).round().long()
            shape = [1] * axis + [-1] + [1] * (layout.dims - 1 - axis)
            self.register_buffer(f"modes_{axis}", modes.view(shape), persistent=False)

    @abstractmethod
    def symbol(self) -> Inexact[Tensor, "M *K"]:
        """L on the half spectrum, from the parameters, in double precision; M = 1 if channels share it."""

    def nonlinearity(self, like: Float[Tensor, "B M *S"]) -> SpectralMap | None:
        """N as a map from spectrum to spectrum, or None where there is none.

        Called once a rollout: what depends on the parameters alone is computed here, in the precision and on
        the device of `like`, and the map closes over it. The map need not remove aliases from its result.
        """
        return None

    def wavenumber(self, axis: int) -> Float[Tensor, "*K"]:
        """k = 2π mode / length along one axis, in radians/length, shaped to broadcast."""
        length = self.layout.upper[axis] - self.layout.lower[axis]
        modes: Tensor = getattr(self, f"modes_{axis}")
        return modes.double() * (2 * math.pi / length)

    def laplacian(self) -> Float[Tensor, "1 *K"]:
        """−|k|², in double precision."""
        total = self.wavenumber(0) ** 2
        for axis in range(1, self.layout.dims):
            total = total + self.wavenumber(axis) ** 2
        return -total[None]

    def derivative(self, axis: int) -> Complex[Tensor, "1 *K"]:
        """i k along one axis, in double precision, shaped to broadcast."""
        modes: Tensor = getattr(self, f"modes_{axis}")
        # On an even grid the derivative of the highest mode, cos(π i), vanishes at every point; i k would
        # make the field complex.
        highest = 2 * modes.abs() == self.layout.grid[axis]
        k = self.wavenumber(axis).masked_fill(highest, 0.0)
        return torch.complex(torch.zeros_like(k), k)[None]

    def to_spectrum(self, fields: Float[Tensor, "B M *S"]) -> Complex[Tensor, "B M *K"]:
        spectrum: Tensor = torch.fft.rfftn(fields, dim=self.axes)
        return spectrum

    def to_grid(self, spectrum: Complex[Tensor, "B M *K"]) -> Float[Tensor, "B M *S"]:
        fields: Tensor = torch.fft.irfftn(spectrum, s=self.layout.grid, dim=self.axes)
        return fields

    def forward(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        return self.rollout(state, 1)[:, 1]

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        start = take_moving(state, self.layout)
        spectrum = self.to_spectrum(start)
        nonlinear = self.nonlinearity(start)
        if nonlinear is None:
            advance = self._exponential(spectrum.dtype)
        else:
            advance = self._etdrk2(nonlinear, spectrum.dtype)
            spectrum = spectrum * self._unaliased()
        states = [start]
        for _ in range(num_steps):
            spectrum = advance(spectrum)
            states.append(self.to_grid(spectrum))
        return put_moving(torch.stack(states, dim=1), state, self.layout)

    def _exponential(self, dtype: torch.dtype) -> SpectralMap:
        growth = (self.layout.dt * self.symbol()).exp().to(dtype)
        return lambda spectrum: growth * spectrum

    def _etdrk2(self, nonlinear: SpectralMap, dtype: torch.dtype) -> SpectralMap:
        h = self.layout.dt / self.substeps
        # With the mask in the coefficients every substep removes the aliases, whatever `nonlinear` returns.
        mask = self._unaliased()
        exponential, phi1, phi2 = phi_functions(h * self.symbol())
        growth, first, second = ((mask * c).to(dtype) for c in (exponential, h * phi1, h * phi2))

        def advance(spectrum: Tensor) -> Tensor:
            for _ in range(self.substeps):
                rate = nonlinear(spectrum)
                predicted = torch.addcmul(growth * spectrum, first, rate)
                spectrum = torch.addcmul(predicted, second, nonlinear(predicted) - rate)
            return spectrum

        return advance

    def _unaliased(self) -> Tensor:
        """Modes whose products with each other do not fold back onto them: 3 |mode| < points."""
        kept = torch.ones((), dtype=torch.bool)
        for axis, points in enumerate(self.layout.grid):
            modes: Tensor = getattr(self, f"modes_{axis}")
            kept = kept.to(modes.device) & (3 * modes.abs() < points)
        return kept


def phi_functions(
    z: Inexact[Tensor, "*K"],
) -> tuple[Inexact[Tensor, "*K"], Inexact[Tensor, "*K"], Inexact[Tensor, "*K"]]:
    """e^z, φ₁ = (e^z − 1)/z and φ₂ = (e^z − 1 − z)/z², accurate and differentiable at every z, 0 included.

    >>> [float(value) for value in phi_functions(torch.zeros((), dtype=torch.float64))]
    [1.0, 1.0, 0.5]
    """
    near = z.detach().abs() < 1
    # Each branch gets harmless values where the other is used: 0/0 would reach the gradient through `where`.
    small = torch.where(near, z, torch.zeros_like(z))
    large = torch.where(near, torch.ones_like(z), z)
    series = torch.zeros_like(z)
    for n in range(17, -1, -1):  # Σ zⁿ / (n + 2)!, to rounding for |z| < 1
        series = series * small + 1 / math.factorial(n + 2)
    exponential = large.exp()
    phi1 = torch.where(near, 1 + small * series, (exponential - 1) / large)
    phi2 = torch.where(near, series, (exponential - 1 - large) / large**2)
    return z.exp(), phi1, phi2
