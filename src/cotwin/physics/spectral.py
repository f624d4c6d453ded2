"""Pseudo-spectral steppers for ∂u/∂t = L u + N(u) + f on periodic grids.

L: linear with constant coefficients; the tensor `symbol()`, in 1/time, multiplies the Fourier coefficients.
N: all the rest, evaluated on the grid; `nonlinearity()`. f: what enters from outside, a `source`.
Scheme: real Fourier transforms, spectrally accurate in space, products free of aliasing; exponential Runge-Kutta in
time, exact where N is absent.
Source: Cox & Matthews (2002), J. Comput. Phys. 176; Orszag (1971), J. Atmos. Sci. 28 for the removal of aliases.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from types import MappingProxyType

import torch
from jaxtyping import Bool, Complex, Float, Inexact
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.channels import is_uniform, put_moving, take_moving
from cotwin.physics.exponential import Scheme, SpectralMap, etdrk2, phi_functions, unaliased
from cotwin.physics.marching import MarchingStepper
from cotwin.physics.requirements import require_counts
from cotwin.physics.source import require_source, source_change
from cotwin.physics.stability import largest_stable_step
from cotwin.physics.suggestions import sufficient_substeps


class SpectralStepper(MarchingStepper):
    """∂u/∂t = L u + N(u) + f, periodic, 1 to 3 dimensions. A subclass gives `symbol` and maybe `nonlinearity`.

    substeps: steps of the scheme per layout.dt; of no effect where N is absent.
    scheme: `etdrk2` or `etdrk4`, of second or fourth order (see `cotwin.physics.exponential`).
    source: f in the unit of u over time, scalar or field on the grid, or a vector of one for each channel; exact.

    Where N is present, modes whose products would be aliases are dropped from the start: those above 1/(degree + 1)
    of the points, where N is a polynomial of that degree. In several dimensions spectra then end with the kept modes
    along the last axis, and nothing is spent on the others. The rollout still returns the start as given.
    Coefficients are computed once a rollout, in double precision.
    """

    late = ("source",)
    # Of the polynomial N: 2 for products of two fields, which makes Orszag's 2/3 rule.
    degree = 2
    suggested = MappingProxyType({"substeps": sufficient_substeps})

    def __init__(
        self, layout: Layout, substeps: int = 1, scheme: Scheme = etdrk2, source: Parameter | None = None
    ) -> None:
        super().__init__(layout)
        if layout.kinds != {"periodic"}:
            raise ValueError(
                f"{type(self).__name__} is spectral and needs periodic boundaries, the layout has "
                f"{layout.boundary}; use a finite-volume stepper."
            )
        require_counts(substeps=substeps)
        if any(points <= self.degree + 1 for points in layout.grid):
            raise ValueError(
                f"{type(self).__name__} keeps modes below 1/{self.degree + 1} of the points, which leaves only the "
                f"mean along some axis of the grid {layout.grid}; take at least {self.degree + 2} points along each."
            )
        require_source(source, layout)
        self.substeps, self.scheme, self.source = substeps, scheme, source
        self.axes = tuple(range(-layout.dims, 0))
        # In one dimension cutting a spectrum off and filling it up again costs more than it spares.
        self.is_nonlinear = type(self).nonlinearity is not SpectralStepper.nonlinearity
        self.cut = layout.dims > 1 and self.is_nonlinear
        for axis, points in enumerate(layout.grid):
            half = axis == layout.dims - 1
            frequencies = torch.fft.rfftfreq(points) if half else torch.fft.fftfreq(points)
            # Integers, since .to(dtype) would round floating buffers; double precision is made from them.
            modes = (frequencies * points).round().long()
            if half and self.cut:
                modes = modes[: (points - 1) // (self.degree + 1) + 1]
            shape = [1] * axis + [-1] + [1] * (layout.dims - 1 - axis)
            self.register_buffer(f"modes_{axis}", modes.view(shape), persistent=False)

    @abstractmethod
    def symbol(self) -> Inexact[Tensor, "*M K"]:
        """L on the half spectrum, from the parameters, in double precision; M = 1 if channels share it."""

    def nonlinearity(self, like: Float[Tensor, "B M *S"]) -> SpectralMap | None:
        """N as a map from spectrum to spectrum. Here there is none; a subclass that has one always gives it.

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
        spectrum: Tensor
        if not self.cut:
            spectrum = torch.fft.rfftn(fields, dim=self.axes)
            return spectrum
        kept: Tensor = getattr(self, f"modes_{self.layout.dims - 1}")
        spectrum = torch.fft.fftn(torch.fft.rfft(fields)[..., : kept.shape[-1]], dim=self.axes[:-1])
        return spectrum

    def to_grid(self, spectrum: Complex[Tensor, "B M *K"]) -> Float[Tensor, "B M *S"]:
        fields: Tensor
        if not self.cut:
            fields = torch.fft.irfftn(spectrum, s=self.layout.grid, dim=self.axes)
            return fields
        fields = torch.fft.irfft(torch.fft.ifftn(spectrum, dim=self.axes[:-1]), n=self.layout.grid[-1])
        return fields

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        start = take_moving(state, self.layout)
        spectrum = self.to_spectrum(start)
        if self.is_nonlinear:
            spectrum = spectrum * self.kept_modes()
        states = [start, *map(self.to_grid, self.march(spectrum, start, num_steps))]
        return put_moving(torch.stack(states, dim=1), state, self.layout)

    def prepare(self, like: Float[Tensor, "B M *S"]) -> SpectralMap:
        nonlinear, precision = self.nonlinearity(like), like.dtype.to_complex()
        interval = self.layout.dt / self.substeps_taken()
        entering = source_change(self.source, self.layout, like, 1.0, self._seen)
        carrier = like.new_ones(()) if entering is None else self._carrier(entering(), like)
        if nonlinear is not None:

            def rate(spectrum: Tensor) -> Tensor:
                found = nonlinear(spectrum)
                return found if entering is None else torch.addcmul(found, carrier, entering())

            return self.scheme(self.symbol(), interval, self.kept_modes(), rate, precision)
        if entering is None:
            growth = (interval * self.symbol()).exp().to(precision)
            return lambda spectrum: growth * spectrum
        growth, phi1 = phi_functions(interval * self.symbol(), 1)
        growth, along = growth.to(precision), interval * phi1.to(precision) * carrier
        return lambda spectrum: torch.addcmul(growth * spectrum, along, entering())

    def _seen(self, f: Float[Tensor, "*N"]) -> Complex[Tensor, "*K"]:
        """f as a spectrum; where it is the same everywhere itself."""
        if is_uniform(f, self.layout.dims):
            return f.to(f.dtype.to_complex())
        return self.to_spectrum(f.expand(torch.broadcast_shapes(f.shape, (1, 1, *self.layout.grid))))

    def _carrier(self, seen: Tensor, like: Float[Tensor, "B M *S"]) -> Complex[Tensor, "*K"]:
        """What makes the spectrum of f of what is seen of it: that of one, or one."""
        if is_uniform(seen, self.layout.dims):
            return self.to_spectrum(like.new_ones(1, 1, *self.layout.grid))
        return seen.new_ones(())

    def substeps_taken(self) -> int:
        return self.substeps if self.is_nonlinear else 1

    def largest_stable_step(self, state: Float[Tensor, "B C *S"]) -> float:
        """About the longest substep, up to layout.dt, that is stable at these states with the present parameters.

        Only N is explicit, so the state matters where N is not linear: see `cotwin.physics.stability`. An estimate
        for small perturbations of a state that stands still: no bound, and it says nothing of accuracy. layout.dt
        where N is absent.
        """
        with torch.no_grad():
            start = take_moving(state, self.layout)
            nonlinear = self.nonlinearity(start)
            if nonlinear is None:
                return self.layout.dt
            kept = self.kept_modes()

            def rate(fields: Tensor) -> Tensor:
                return kept * nonlinear(kept * self.to_spectrum(fields))

            return largest_stable_step(rate, start, self.symbol(), self.to_grid, self.layout.dt, self.scheme)

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        substep, stable = self.layout.dt / self.substeps, self.largest_stable_step(before)
        cure = (
            "the equation itself may have no bounded solution from there with these parameters."
            if substep <= stable
            else f"use at least {math.ceil(self.layout.dt / stable)} substeps per dt."
        )
        return f"Before it grew, substeps up to about {stable:.3g} were stable; those taken are {substep:.3g}: {cure}"

    def kept_modes(self) -> Bool[Tensor, "*K"]:
        """Modes whose products do not fold back onto them."""
        return unaliased(
            [getattr(self, f"modes_{axis}") for axis in range(self.layout.dims)], self.layout.grid, self.degree
        )
