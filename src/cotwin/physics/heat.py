"""Heat equation with constant or variable diffusivity."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Source, Walls
from cotwin.physics.finite_volume import diffusion, diffusion_bound
from cotwin.physics.parabolic import ParabolicStepper
from cotwin.physics.requirements import require_coefficient
from cotwin.physics.symmetry import all_of, closed, moving_channels
from cotwin.physics.time_steps import CellMap
from cotwin.registry import Count, Few, simulator
from cotwin.symmetries import Symmetries


@simulator("heat")
class Heat(ParabolicStepper):
    """∂u/∂t = ∇·(κ ∇u) + f, 1 to 3 dimensions, any boundary on each axis, any number of channels.

    diffusivity: κ in length²/time, scalar or field on the grid, shared by the channels.
    source: f in the unit of u over time, scalar or field on the grid, or a vector of one for each channel.
    walls: what stands at the ends of the axes (`physics.walls`); without, zero.
    obstacle: the name of a static field, one in solid cells, which nothing passes; zero in others.
    Scheme: finite volumes, second order in space; RKL2, second order in dt, with as many stages as the
    largest κ needs, so no κ makes it unstable. The number of stages grows with √(κ dt)/Δx.
    substeps: RKL2 steps per layout.dt. Stable at 1, but RKL2 only about halves the modes that dt is far too
    long for; where such modes matter (noise, steps), a few substeps damp them as a power of that.
    Source: Meyer, Balsara & Aslam (2014), J. Comput. Phys. 257.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        diffusivity: Parameter,
        substeps: Count = 1,
        stages: Few | None = None,
        source: Source | None = None,
        walls: Walls | None = None,
        obstacle: str | None = None,
    ) -> None:
        super().__init__(layout, substeps, stages, source, walls, obstacle)
        require_coefficient(diffusivity, layout, "diffusivity")
        self.diffusivity = diffusivity

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self)

    @property
    def conserved(self) -> frozenset[int]:
        inside = closed(self.layout, self.walls) and self.source is None and self.obstacle is None
        return frozenset(moving_channels(self.layout)) if inside else frozenset()

    def change(self, like: Float[Tensor, "B M *S"], interval: float) -> CellMap:
        faces = self.faces(self.diffusivity().to(like.dtype), interval)
        ends = self.conducting(faces, like, interval)
        return lambda cells: diffusion(cells, faces, ends)

    def decay(self) -> float:
        return diffusion_bound(self.diffusivity(), self.layout)
