"""Swift-Hohenberg equation."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.exponential import SpectralMap, etdrk4
from cotwin.physics.requirements import require_fields, require_scalar_coefficients
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.symmetry import all_of
from cotwin.registry import Count, simulator
from cotwin.symmetries import Symmetries


@simulator("swift_hohenberg")
class SwiftHohenberg(SpectralStepper):
    """∂u/∂t = r u − (1 + ℓ² ∇²)² u − u³, periodic, 1 to 3 dimensions.

    u: amplitude of a pattern, without unit; time in units of its relaxation.
    growth: r, a scalar. The pattern grows where it is positive: give it bounds where it may be negative.
    length: ℓ, a scalar, the pattern's wavelength over 2π.
    substeps: steps per layout.dt; all linear terms are exact, u² times the substep should stay below about one.
    Scheme: pseudo-spectral in space (1/2 rule, which is what a cube needs), ETDRK4 in time, fourth order in dt.
    Source: Swift & Hohenberg (1977), Phys. Rev. A 15; Kassam & Trefethen (2005), SIAM J. Sci. Comput. 26.
    """

    batched = True
    degree = 3

    def __init__(self, layout: Layout, growth: Parameter, length: Parameter, substeps: Count = 2) -> None:
        super().__init__(layout, substeps, etdrk4)
        require_fields(layout, "SwiftHohenberg", {"u": 1})
        require_scalar_coefficients("SwiftHohenberg", growth=growth, length=length)
        self.growth, self.length = growth, length

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self)

    def symbol(self) -> Float[Tensor, "*M K"]:
        return self.growth().double() - (1 + self.length().double() ** 2 * self.laplacian()) ** 2

    def nonlinearity(self, like: Float[Tensor, "B M *S"]) -> SpectralMap:
        def rate(spectrum: Tensor) -> Tensor:
            u = self.to_grid(spectrum)
            return self.to_spectrum(-u * u * u)

        return rate
