"""Smoke that rises: incompressible flow driven by what it carries."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.conservation_law import COURANT
from cotwin.physics.ends import plain_ends
from cotwin.physics.finite_volume import diffusion, face_diffusivities, lower, upper
from cotwin.physics.incompressible import IncompressibleStepper
from cotwin.physics.requirements import require_scalar_coefficients
from cotwin.physics.solids import Disc, Rectangle, cells_around
from cotwin.physics.staggered import carried_change, inner, passing_faces
from cotwin.physics.symmetry import moving_channels
from cotwin.physics.time_steps import CellMap
from cotwin.registry import Count, PositiveFloat, simulator
from cotwin.symmetries import Symmetries


class Smoke(IncompressibleStepper):
    """∂u/∂t + (u·∇)u = −∇p + ν ∇²u + β s ŷ, ∇·u = 0, ∂s/∂t + ∇·(u s) = κ ∇²s + q φ(x), two dimensions.

    u: velocity, length/time, the first moving field. s: smoke at cell centres, any unit, the second.
    viscosity: ν in length²/time. buoyancy: β in length/time² for each unit of smoke, upwards, along the second axis.
    inflow: q, smoke/time, where the given shape φ on the grid is one. diffusivity: κ in length²/time. Scalars; no
    inflow and no diffusion unless given.
    Smoke passes no wall and no face of a solid cell, and enters none: what that holds stays. At open ends it has no
    normal derivative: what enters there is as thick as what is inside.
    The velocity's scheme, boundaries, max_speed, slip, substeps, obstacle are those of IncompressibleStepper.
    Scheme of the smoke: MUSCL, second order where it is smooth; where it is not, overshoots stay below a hundredth.
    Its substeps are shorter than those of a flow alone. Smoke that is the same everywhere weighs on the pressure and
    moves nothing.
    Source: Harlow & Welch (1965), Phys. Fluids 8; van Albada, van Leer & Roberts (1982), Astron. Astrophys. 108.
    """

    moving = MappingProxyType({"velocity": 2, "smoke": 1})
    courant = COURANT

    def __init__(
        self,
        layout: Layout,
        viscosity: Parameter,
        buoyancy: Parameter,
        max_speed: PositiveFloat,
        inflow: Parameter | None = None,
        shape: Float[Tensor, "*S"] | None = None,
        diffusivity: Parameter | None = None,
        slip: bool = False,
        substeps: Count | None = None,
        obstacle: Bool[Tensor, "*S"] | None = None,
    ) -> None:
        super().__init__(layout, viscosity, max_speed, slip, substeps, obstacle)
        if (inflow is None) != (shape is None):
            raise ValueError("an inflow is a rate and the shape of where it enters; give both or neither.")
        if shape is not None and tuple(shape.shape) != layout.grid:
            raise ValueError(f"the inflow's shape has {tuple(shape.shape)} cells, the layout {layout.grid}.")
        if shape is not None and not bool((shape if obstacle is None else shape * ~obstacle).any()):
            raise ValueError(
                "the inflow's shape is zero in every cell that holds fluid; let it reach over the middle of one."
            )
        require_scalar_coefficients("Smoke", buoyancy=buoyancy, inflow=inflow, diffusivity=diffusivity)
        self.buoyancy, self.inflow, self.diffusivity = buoyancy, inflow, diffusivity
        self.register_buffer("shape", shape, persistent=False)

    shape: Tensor | None

    @property
    def symmetries(self) -> Symmetries:
        return super().symmetries if self.shape is None else Symmetries()

    @property
    def conserved(self) -> frozenset[int]:
        kept = "neumann" not in self.layout.kinds and self.inflow is None and self.immersed is None
        return frozenset(moving_channels(self.layout)[2:]) if kept else frozenset()

    def further(self, like: Float[Tensor, "B M *S"], interval: float) -> tuple[CellMap, CellMap]:
        layout = self.layout
        scales = [interval / dx for dx in layout.spacing]
        lift = self.buoyancy().to(like.dtype) * (0.5 * interval)
        entering = self._entering(like, interval)
        passing = [None, None] if self.immersed is None else passing_faces(self.immersed.solid, layout, like)
        faces = self._faces(passing, like, interval)
        ends = plain_ends(["periodic" if kind == "periodic" else "neumann" for kind in layout.axis_kinds])

        def force(padded: Tensor) -> Tensor:
            smoke = inner(padded[:, 2:], 2)
            upwards = lift * lower(lower(smoke, 3) + upper(smoke, 3), 3)
            return torch.cat([torch.zeros_like(upwards), upwards], dim=1)

        def carried(padded: Tensor) -> Tensor:
            smoke = padded[:, 2:, 1 : 1 + layout.grid[0], 1 : 1 + layout.grid[1]]
            change = carried_change(smoke, padded, layout, scales, passing)
            if faces is not None:
                change = change + diffusion(smoke, faces, ends)
            return change if entering is None else change + entering

        return force, carried

    def largest_diffusivity(self) -> Float[Tensor, ""]:
        viscosity = self.viscosity()
        return viscosity if self.diffusivity is None else torch.maximum(viscosity, self.diffusivity())

    def _faces(self, passing: Sequence[Tensor | None], like: Tensor, interval: float) -> list[Tensor] | None:
        """κ interval/Δx² on all faces; None without diffusion."""
        if self.diffusivity is None:
            return None
        faces = face_diffusivities(self.diffusivity().to(like.dtype), self.layout, interval)
        # Of what passes, all but the faces between the ghosts.
        inside = (None if one is None else inner(one, axis + 2) for axis, one in enumerate(passing))
        return [one if open_ is None else one * open_ for one, open_ in zip(faces, inside, strict=True)]

    def _entering(self, like: Tensor, interval: float) -> Float[Tensor, "*S"] | None:
        if self.inflow is None or self.shape is None:
            return None
        entering = self.inflow().to(like.dtype) * self.shape.to(like.dtype) * interval
        return entering if self.immersed is None else entering * ~self.immersed.solid


Box = tuple[tuple[float, float], tuple[float, float]]


@simulator("smoke")
def smoke(
    layout: Layout,
    viscosity: Parameter,
    buoyancy: Parameter,
    max_speed: PositiveFloat,
    inflow: Parameter | None = None,
    inflow_box: Box | None = None,
    diffusivity: Parameter | None = None,
    slip: bool = False,
    substeps: Count | None = None,
    obstacle: str | None = None,
    disc: Disc | None = None,
    solids: tuple[Rectangle, ...] | None = None,
) -> Smoke:
    """Smoke that a flow carries and that drives it upwards, along the second axis; staggered, two dimensions.

    inflow: smoke per time inside inflow_box. inflow_box: where smoke enters, its ends along both axes.
    obstacle, disc, solids: solid cells, as for incompressible_flow; smoke neither passes nor enters them.
    """
    shape = None if inflow_box is None else _inside(inflow_box, layout)
    around = cells_around(layout, obstacle, disc, solids)
    flow = Smoke(layout, viscosity, buoyancy, max_speed, inflow, shape, diffusivity, slip, substeps, around)
    flow.obstacle = obstacle
    return flow


def _inside(ends: Box, layout: Layout) -> Float[Tensor, "*S"]:
    """One inside a box, zero outside, on the grid."""
    along = [torch.tensor(layout.points(axis)) for axis in range(2)]
    x, y = (((points >= low) & (points <= high)).float() for points, (low, high) in zip(along, ends, strict=True))
    return x[:, None] * y
