"""Incompressible Navier-Stokes equations in two dimensions, as vorticity, with Kolmogorov forcing and drag."""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Source
from cotwin.physics.exponential import Scheme, SpectralMap, etdrk2
from cotwin.physics.requirements import require_fields, require_scalar_coefficients
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.symmetry import all_of, moving_channels, shifts
from cotwin.registry import Count, simulator
from cotwin.symmetries import Symmetries


@simulator("navier_stokes")
class NavierStokes(SpectralStepper):
    """∂ω/∂t + (u·∇)ω = ν ∇²ω − μ ω − A k cos(k (y − y₀)) + f, periodic, two dimensions.

    ω = ∂v/∂x − ∂u/∂y: vorticity, 1/time, anticlockwise positive; x is the first axis, y the second.
    u = (∂ψ/∂y, −∂ψ/∂x) with ∇²ψ = −ω: velocity, length/time, without mean.
    viscosity: ν in length²/time. drag: μ in 1/time.
    forcing: A in length/time², the amplitude of the force A sin(k (y − y₀)) along x, whose curl stands above;
    y₀ the lower end.
    wavenumber: k · length/(2π), periods of the force along y; not an integer, the force jumps at the period's end.
    All scalars; no drag and no force unless given.
    source: f in 1/time², scalar or field on the grid: the curl of any other force.
    substeps: steps per layout.dt. Explicit in the advection, so that the substep times the speed should stay below
    about the spacing. Viscosity and drag are exact.
    Scheme: pseudo-spectral in space (2/3 rule), the advection as (∂²/∂x² − ∂²/∂y²)(u v) + ∂²/∂x∂y (v² − u²), which
    takes four transforms; ETDRK2 in time, second order in dt. The mean vorticity decays with the drag alone.
    Source: Basdevant (1983), J. Comput. Phys. 50 for the form of the advection; Cox & Matthews (2002), J. Comput.
    Phys. 176; Meshalkin & Sinai (1961) for the force.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        viscosity: Parameter,
        drag: Parameter | None = None,
        forcing: Parameter | None = None,
        wavenumber: Parameter | None = None,
        substeps: Count = 1,
        scheme: Scheme = etdrk2,
        source: Source | None = None,
    ) -> None:
        super().__init__(layout, substeps, scheme, source)
        require_fields(layout, "NavierStokes", {"vorticity": 1}, dims=(2,))
        if (forcing is None) != (wavenumber is None):
            raise ValueError("forcing is an amplitude and a wavenumber; give both or neither.")
        self.viscosity, self.drag, self.forcing, self.periods = viscosity, drag, forcing, wavenumber
        require_scalar_coefficients(
            "NavierStokes", viscosity=viscosity, drag=drag, forcing=forcing, wavenumber=wavenumber
        )

    @property
    def symmetries(self) -> Symmetries:
        # Turned round, a curl changes its sign.
        if self.forcing is None and self.source is None:
            return all_of(self, lambda axis: (0,), (0,))
        return shifts(self) if self.forcing is None else Symmetries(shifts(self).shifts - {1})

    @property
    def conserved(self) -> frozenset[int]:
        free = self.drag is None and self.forcing is None and self.source is None
        return frozenset(moving_channels(self.layout)) if free else frozenset()

    def symbol(self) -> Float[Tensor, "*M K"]:
        diffusion = self.viscosity().double() * self.laplacian()
        return diffusion if self.drag is None else diffusion - self.drag().double()

    def velocity(self, vorticity: Float[Tensor, "B 1 *S"]) -> Float[Tensor, "B 2 *S"]:
        """u from the modes of ω that the rollout keeps."""
        to_u, to_v = self._velocity_symbols()
        spectrum = self.to_spectrum(vorticity.double())
        velocity: Tensor = self.to_grid(torch.cat([to_u * spectrum, to_v * spectrum], dim=1))
        return velocity.to(vorticity.dtype)

    def nonlinearity(self, like: Float[Tensor, "B M *S"]) -> SpectralMap:
        dtype = torch.promote_types(like.dtype, torch.complex32)
        to_u, to_v = self._velocity_symbols()
        to_velocity = torch.cat([to_u, to_v]).to(dtype)
        dx, dy = self.derivative(0), self.derivative(1)
        # −(u·∇)ω, from the products u v and v² − u².
        from_products = torch.cat([-(dx * dx - dy * dy), -dx * dy]).to(dtype)
        force = self._curl_of_force(dtype)

        def rate(spectrum: Tensor) -> Tensor:
            u, v = self.to_grid(to_velocity * spectrum).unbind(1)
            products = self.to_spectrum(torch.stack([u * v, (v - u) * (v + u)], dim=1))
            advection = (from_products * products).sum(dim=1, keepdim=True)
            return advection if force is None else advection + force

        return rate

    def _velocity_symbols(self) -> tuple[Tensor, Tensor]:
        laplacian = self.laplacian()
        # The mean vorticity moves nothing; one there, so that zero is not divided by.
        stream = torch.where(laplacian == 0, 0.0, -1 / torch.where(laplacian == 0, 1.0, laplacian))
        return self.derivative(1) * stream, -self.derivative(0) * stream

    def _curl_of_force(self, dtype: torch.dtype) -> Complex[Tensor, "*M K"] | None:
        if self.forcing is None or self.periods is None:
            return None
        length = self.layout.upper[1] - self.layout.lower[1]
        wavenumber = self.periods().double() * (2 * math.pi / length)
        points = torch.arange(self.layout.grid[1], device=wavenumber.device, dtype=torch.float64)
        curl = -self.forcing().double() * wavenumber * torch.cos(wavenumber * self.layout.spacing[1] * points)
        shape = torch.broadcast_shapes(curl.shape, (1, *self.layout.grid))
        return self.to_spectrum(curl.expand(shape)).to(dtype)
