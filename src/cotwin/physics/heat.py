"""Heat equation with constant or variable diffusivity."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.channels import require_coefficient
from cotwin.physics.finite_volume import (
    CellMap,
    FiniteVolumeStepper,
    diffusion,
    diffusion_bound,
    face_diffusivities,
    rkl2_stages,
    rkl2_step,
)


class Heat(FiniteVolumeStepper):
    """∂u/∂t = ∇·(κ ∇u), 1 to 3 dimensions, any boundary on each axis, any number of channels.

    diffusivity: κ in length²/time, scalar or field on the grid, shared by the channels.
    Scheme: finite volumes, second order in space; RKL2, second order in dt, with as many stages as the
    largest κ needs, so no κ makes it unstable. The number of stages grows with √(κ dt)/Δx.
    Source: Meyer, Balsara & Aslam (2014), J. Comput. Phys. 257.
    """

    def __init__(self, layout: Layout, diffusivity: Parameter) -> None:
        super().__init__(layout)
        require_coefficient(diffusivity, layout, "diffusivity")
        self.diffusivity = diffusivity

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        diffusivity = self.diffusivity().to(like.dtype)
        faces = face_diffusivities(diffusivity, self.layout, self.layout.dt)
        stages = rkl2_stages(diffusion_bound(diffusivity, self.layout), self.layout.dt)

        def change(cells: Tensor) -> Tensor:
            return diffusion(cells, faces, self.layout.boundary)

        return lambda cells: rkl2_step(change, cells, stages)
