"""Allen-Cahn equation."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.exponential import Scheme, SpectralMap, etdrk4
from cotwin.physics.requirements import require_fields, require_scalar_coefficients
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.symmetry import all_of
from cotwin.registry import Count, simulator
from cotwin.symmetries import Symmetries


@simulator("allen_cahn")
class AllenCahn(SpectralStepper):
    """∂u/∂t = D ∇²u + r (u − u³), periodic, 1 to 3 dimensions.

    u: order parameter, without unit; it settles at −1 and 1.
    diffusivity: D in length²/time. reaction: r in 1/time. Scalars. Fronts are √(2D/r) wide: the grid should resolve
    them.
    substeps: steps per layout.dt; the diffusion and the linear growth are exact, r times the substep should stay
    below about one.
    Scheme: pseudo-spectral in space (1/2 rule, which is what a cube needs), ETDRK4 in time, fourth order in dt.
    Source: Allen & Cahn (1979), Acta Metall. 27; Kassam & Trefethen (2005), SIAM J. Sci. Comput. 26.
    """

    batched = True
    degree = 3

    def __init__(
        self,
        layout: Layout,
        diffusivity: Parameter,
        reaction: Parameter,
        substeps: Count = 1,
        scheme: Scheme = etdrk4,
    ) -> None:
        super().__init__(layout, substeps, scheme)
        require_fields(layout, "AllenCahn", {"u": 1})
        require_scalar_coefficients("AllenCahn", diffusivity=diffusivity, reaction=reaction)
        self.diffusivity, self.reaction = diffusivity, reaction

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self)

    def symbol(self) -> Float[Tensor, "*M K"]:
        return self.diffusivity().double() * self.laplacian() + self.reaction().double()

    def nonlinearity(self, like: Float[Tensor, "B M *S"]) -> SpectralMap:
        reaction = self.reaction().to(like.dtype)

        def rate(spectrum: Tensor) -> Tensor:
            u = self.to_grid(spectrum)
            return self.to_spectrum(-reaction * u * u * u)

        return rate
