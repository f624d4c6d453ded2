"""Kuramoto-Sivashinsky equation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.exponential import Scheme, SpectralMap, etdrk4
from cotwin.physics.requirements import require_fields, require_scalar_coefficients
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.symmetry import all_of, moving_channels, scalars, vector
from cotwin.registry import Count, simulator
from cotwin.symmetries import Symmetries


@simulator("kuramoto_sivashinsky")
class KuramotoSivashinsky(SpectralStepper):
    """∂u/∂t + c u ∂u/∂x + a ∂²u/∂x² + b ∂⁴u/∂x⁴ = 0 in one dimension, ∂h/∂t + c |∇h|²/2 + a ∇²h + b ∇⁴h = 0 in more.

    Periodic. In one dimension the state is the slope u = ∂h/∂x, in more the height h, as is usual; the height's mean
    sinks.
    steepening: c, in length/(time·[u]) in one dimension, in length²/(time·[h]) in more.
    production: a in length²/time, which feeds long waves. hyperviscosity: b in length⁴/time, which damps short ones.
    All scalars.
    substeps: steps per layout.dt; both linear terms are exact.
    Scheme: pseudo-spectral in space (2/3 rule), ETDRK4 in time, fourth order in dt.
    Source: Kuramoto & Tsuzuki (1976), Prog. Theor. Phys. 55; Sivashinsky (1977), Acta Astronautica 4; Kassam &
    Trefethen (2005), SIAM J. Sci. Comput. 26.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        steepening: Parameter,
        production: Parameter,
        hyperviscosity: Parameter,
        substeps: Count = 2,
        scheme: Scheme = etdrk4,
    ) -> None:
        super().__init__(layout, substeps, scheme)
        require_fields(layout, "KuramotoSivashinsky", {"u": 1})
        require_scalar_coefficients(
            "KuramotoSivashinsky", steepening=steepening, production=production, hyperviscosity=hyperviscosity
        )
        self.steepening, self.production, self.hyperviscosity = steepening, production, hyperviscosity

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self, vector() if self.layout.dims == 1 else scalars)

    @property
    def conserved(self) -> frozenset[int]:
        return frozenset(moving_channels(self.layout)) if self.layout.dims == 1 else frozenset()

    def symbol(self) -> Float[Tensor, "*M K"]:
        laplacian = self.laplacian()
        return -self.production().double() * laplacian - self.hyperviscosity().double() * laplacian**2

    def nonlinearity(self, like: Float[Tensor, "B M *S"]) -> SpectralMap:
        dtype = torch.promote_types(like.dtype, torch.complex32)
        half = (-0.5 * self.steepening()).to(like.dtype)
        derivatives = [self.derivative(axis).to(dtype) for axis in range(self.layout.dims)]

        def slope(spectrum: Tensor) -> Tensor:
            return derivatives[0] * self.to_spectrum(half * self.to_grid(spectrum).square())

        def height(spectrum: Tensor) -> Tensor:
            gradient = self.to_grid(torch.cat([along * spectrum for along in derivatives], dim=1))
            return self.to_spectrum(half * gradient.square().sum(dim=1, keepdim=True))

        return slope if self.layout.dims == 1 else height
