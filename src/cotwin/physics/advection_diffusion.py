"""Advection and diffusion with coefficient fields, between walls or on periodic axes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Source, Walls, as_vector
from cotwin.physics.requirements import require_coefficient
from cotwin.physics.symmetry import moving_channels, shifts
from cotwin.physics.transport import TransportStepper
from cotwin.registry import Count, simulator
from cotwin.symmetries import Symmetries


@simulator("advection_diffusion")
class AdvectionDiffusion(TransportStepper):
    """∂u/∂t + ∇·(c u) = ∇·(κ ∇u) + f, 1 to 3 dimensions, any boundary on each axis, any number of channels.

    velocity: c in length/time, of shape (dims,) or (dims, *grid): constant, or a field at the cells; or a parameter
    for each axis.
    diffusivity: κ in length²/time, scalar or field on the grid, shared by the channels.
    source: f in the unit of u over time, scalar or field on the grid, or a vector of one for each channel.
    walls: what stands at the ends of the axes (`physics.walls`); without, zero. What flows in at a dirichlet end has
    its value; at others what flows passes besides the flux, with u as it is there. A flow that brings u_in is a robin
    end with transfer |c| and outside u_in. Through an outflow end fluid only leaves.
    obstacle: the name of a static field, one in solid cells, which nothing passes; zero in others.
    substeps: steps per layout.dt; None for the fewest that are stable for the present velocity.
    Scheme: finite volumes, central fluxes, second order in space. In time three parts, of a third, a half and all of
    the step, each from its beginning: RKL2 diffuses, with the advection of the part before. Second order in dt, at
    walls too, where splitting the two would lose it. No κ makes it unstable. What must be resolved: central fluxes
    oscillate where |c| Δx > 2κ.
    Where κ and c are constant and all axes periodic, `Advection` is exact.
    Source: Wicker & Skamarock (2002), Mon. Weather Rev. 130; Meyer, Balsara & Aslam (2014), J. Comput. Phys. 257.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        velocity: Parameter | tuple[Parameter, ...],
        diffusivity: Parameter,
        substeps: Count | None = None,
        source: Source | None = None,
        walls: Walls | None = None,
        obstacle: str | None = None,
    ) -> None:
        super().__init__(layout, as_vector(velocity), substeps, source, walls, obstacle)
        require_coefficient(diffusivity, layout, "diffusivity")
        self.diffusivity = diffusivity

    @property
    def symmetries(self) -> Symmetries:
        return shifts(self)

    @property
    def conserved(self) -> frozenset[int]:
        inside = self.layout.kinds == {"periodic"} and self.source is None and self.obstacle is None
        return frozenset(moving_channels(self.layout)) if inside else frozenset()

    def spreading(self) -> Float[Tensor, "*F"]:
        return self.diffusivity()
