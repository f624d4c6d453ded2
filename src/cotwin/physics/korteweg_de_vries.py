"""Korteweg-de Vries equation, in two dimensions the Zakharov-Kuznetsov equation."""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.exponential import Scheme, SpectralMap, etdrk4
from cotwin.physics.requirements import require_fields, require_scalar_coefficients
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.symmetry import moving_channels, shifts
from cotwin.registry import Count, simulator
from cotwin.symmetries import Symmetries


@simulator("korteweg_de_vries")
class KortewegDeVries(SpectralStepper):
    """∂u/∂t + λ₁ u ∂u/∂x + λ₂ ∂(∇²u)/∂x = 0, periodic, 1 to 3 dimensions.

    u: in a unit [u] of the data's. x: the first axis.
    steepening: λ₁ in length/(time·[u]), a scalar. dispersion: λ₂ in length³/time, a scalar.
    substeps: steps per layout.dt. The dispersion is exact; explicit in λ₁, so that the substep times λ₁ max |u|
    should stay below about the spacing.
    Scheme: pseudo-spectral in space (2/3 rule), ETDRK4 in time, fourth order in dt. The mean is conserved to
    rounding.
    Source: Korteweg & de Vries (1895), Phil. Mag. 39; Zakharov & Kuznetsov (1974), Sov. Phys. JETP 39; Kassam &
    Trefethen (2005), SIAM J. Sci. Comput. 26.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        steepening: Parameter,
        dispersion: Parameter,
        substeps: Count = 4,
        scheme: Scheme = etdrk4,
    ) -> None:
        super().__init__(layout, substeps, scheme)
        require_fields(layout, "KortewegDeVries", {"u": 1})
        require_scalar_coefficients("KortewegDeVries", steepening=steepening, dispersion=dispersion)
        self.steepening, self.dispersion = steepening, dispersion

    @property
    def symmetries(self) -> Symmetries:
        return Symmetries(shifts(self).shifts, {axis: frozenset() for axis in range(1, self.layout.dims)})

    @property
    def conserved(self) -> frozenset[int]:
        return frozenset(moving_channels(self.layout)) if True else frozenset()

    def symbol(self) -> Complex[Tensor, "*M K"]:
        dispersion: Tensor = self.dispersion().double()
        return -dispersion * self.derivative(0) * self.laplacian()

    def nonlinearity(self, like: Float[Tensor, "B M *S"]) -> SpectralMap:
        dtype = torch.promote_types(like.dtype, torch.complex32)
        dx = (-0.5 * self.steepening().double() * self.derivative(0)).to(dtype)

        def rate(spectrum: Tensor) -> Tensor:
            return dx * self.to_spectrum(self.to_grid(spectrum).square())

        return rate
