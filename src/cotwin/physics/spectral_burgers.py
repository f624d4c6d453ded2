"""Viscous Burgers equation on periodic grids, pseudo-spectral."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, as_vector
from cotwin.physics.channels import is_uniform
from cotwin.physics.exponential import SpectralMap
from cotwin.physics.requirements import require_coefficient, require_fields
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.symmetry import all_of, moving_channels, shifts, vector
from cotwin.registry import Count, simulator
from cotwin.symmetries import Symmetries


@simulator("spectral_burgers")
class SpectralBurgers(SpectralStepper):
    """∂u/∂t + (u·∇)u = ∇·(ν ∇u) + f, periodic, one to three dimensions.

    u: velocity, length/time, one component for each axis.
    viscosity: ν in length²/time, scalar or field on the grid.
    substeps: steps per layout.dt. Explicit in the advection, so substeps must keep the speed times the
    substep below about the spacing; no viscosity makes it unstable.
    source: f in length/time², a scalar or a field for each component of u.
    Scheme: pseudo-spectral in space (2/3 rule), ETDRK2 in time, second order in dt. In one dimension the
    advection is −∂x(u²/2), so the mean is conserved to rounding.
    Source: Cox & Matthews (2002), J. Comput. Phys. 176; Zang (1991), Appl. Numer. Math. 7 for the forms of
    the advection.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        viscosity: Parameter,
        substeps: Count = 3,
        source: Parameter | tuple[Parameter, ...] | None = None,
    ) -> None:
        super().__init__(layout, substeps, source=None if source is None else as_vector(source))
        require_fields(layout, "SpectralBurgers", {"u": layout.dims})
        require_coefficient(viscosity, layout, "viscosity")
        self.viscosity = viscosity

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self, vector()) if self.source is None else shifts(self)

    @property
    def conserved(self) -> frozenset[int]:
        return (
            frozenset(moving_channels(self.layout)) if self.layout.dims == 1 and self.source is None else frozenset()
        )

    def symbol(self) -> Float[Tensor, "*M K"]:
        # The largest ν is taken implicitly and the rest, ∇·((ν − max ν) ∇u), explicitly. With c = 1 − ν/max ν
        # in [0, 1), ETDRK2 multiplies a stiff mode by c²: stable whatever ν and dt are.
        viscosity: Tensor = self.viscosity().double()
        return self._largest(viscosity) * self.laplacian()

    def nonlinearity(self, like: Float[Tensor, "B M *S"]) -> SpectralMap:
        viscosity: Tensor = self.viscosity()
        # ν itself is not dealiased: at the points it stays positive, so the discrete term dissipates energy.
        uniform = is_uniform(viscosity, self.layout.dims)
        excess = None if uniform else (viscosity - self._largest(viscosity)).to(like.dtype)
        dtype = torch.promote_types(like.dtype, torch.complex32)
        along = [self.derivative(axis).to(dtype) for axis in range(self.layout.dims)]
        if self.layout.dims == 1:
            return self._conservative(along[0], excess)
        if excess is not None:
            return self._advective(along, excess)
        return self._rotational_plane(*along) if self.layout.dims == 2 else self._rotational_space(along)

    def _largest(self, viscosity: Float[Tensor, "*S"]) -> Float[Tensor, "*ones"]:
        return viscosity if is_uniform(viscosity, self.layout.dims) else viscosity.amax(dim=self.axes, keepdim=True)

    def _conservative(self, dx: Tensor, excess: Tensor | None) -> SpectralMap:
        """∂x(−u²/2 + excess ∂x u)."""

        def rate(spectrum: Tensor) -> Tensor:
            u = self.to_grid(spectrum)
            flux = -0.5 * u * u
            if excess is not None:
                flux = torch.addcmul(flux, excess, self.to_grid(dx * spectrum))
            return dx * self.to_spectrum(flux)

        return rate

    def _rotational_plane(self, dx: Tensor, dy: Tensor) -> SpectralMap:
        """−(u·∇)u = −∇|u|²/2 + u × ω: six transforms, where the advective form takes eight."""

        def rate(spectrum: Tensor) -> Tensor:
            vorticity = dx * spectrum[:, 1:] - dy * spectrum[:, :1]
            u, v, w = self.to_grid(torch.cat([spectrum, vorticity], dim=1)).unbind(1)
            energy = -0.5 * torch.addcmul(u * u, v, v)
            products = self.to_spectrum(torch.stack([energy, v * w, -u * w], dim=1))
            gradient = torch.cat([dx * products[:, :1], dy * products[:, :1]], dim=1)
            return gradient.add_(products[:, 1:])

        return rate

    def _rotational_space(self, along: list[Tensor]) -> SpectralMap:
        """The same in three dimensions: ten transforms, where the advective form takes fifteen."""

        def rate(spectrum: Tensor) -> Tensor:
            u, v, w = (spectrum[:, a : a + 1] for a in range(3))
            dx, dy, dz = along
            curl = torch.cat([dy * w - dz * v, dz * u - dx * w, dx * v - dy * u], dim=1)
            velocity, vorticity = self.to_grid(torch.cat([spectrum, curl], dim=1)).chunk(2, dim=1)
            energy = -0.5 * velocity.square().sum(dim=1, keepdim=True)
            turning = torch.linalg.cross(velocity, vorticity, dim=1)
            products = self.to_spectrum(torch.cat([energy, turning], dim=1))
            return torch.cat([d * products[:, :1] for d in along], dim=1) + products[:, 1:]

        return rate

    def _advective(self, along: list[Tensor], excess: Tensor) -> SpectralMap:
        """−(u·∇)u + ∇·(excess ∇u): with a field both need the same gradients."""
        parts = self.layout.dims + 1

        def rate(spectrum: Tensor) -> Tensor:
            on_grid = self.to_grid(torch.cat([spectrum, *(d * spectrum for d in along)], dim=1))
            u, *gradients = on_grid.chunk(parts, dim=1)
            advection = -u[:, :1] * gradients[0]
            for axis, gradient in enumerate(gradients[1:], start=1):
                advection = torch.addcmul(advection, u[:, axis : axis + 1], gradient, value=-1)
            fluxes = [excess * gradient for gradient in gradients]
            total, *divergences = self.to_spectrum(torch.cat([advection, *fluxes], dim=1)).chunk(parts, dim=1)
            for d, divergence in zip(along, divergences, strict=True):
                total = total + d * divergence
            return total

        return rate
