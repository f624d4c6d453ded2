"""Advection and diffusion with coefficient fields, between walls or on periodic axes."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Source, as_vector
from cotwin.physics.finite_volume import (
    CellMap,
    FiniteVolumeStepper,
    diffusion,
    diffusion_bound,
    face_diffusivities,
    on_faces,
    rkl2_stages,
    rkl2_step,
    whole_substeps,
)
from cotwin.physics.requirements import require_coefficient, require_counts
from cotwin.physics.source import require_source, source_change, with_source
from cotwin.physics.walls import Walls, require_walls
from cotwin.registry import Count, simulator

PARTS = (1 / 3, 1 / 2, 1.0)


@simulator("advection_diffusion")
class AdvectionDiffusion(FiniteVolumeStepper):
    """∂u/∂t + ∇·(c u) = ∇·(κ ∇u) + f, 1 to 3 dimensions, any boundary on each axis, any number of channels.

    velocity: c in length/time, of shape (dims,) or (dims, *grid): constant, or a field at the cells; or a parameter
    for each axis.
    diffusivity: κ in length²/time, scalar or field on the grid, shared by the channels.
    source: f in the unit of u over time, scalar or field on the grid, or a vector of one for each channel.
    walls: what stands at the ends of the axes (`physics.walls`); without, zero. What flows in at a dirichlet end has
    its value; at others what flows passes besides the flux, with u as it is there. A flow that brings u_in is a robin
    end with transfer |c| and outside u_in. Through an outflow end fluid only leaves.
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
    ) -> None:
        super().__init__(layout, walls)
        velocity = as_vector(velocity)
        shape = tuple(velocity().shape)
        if shape not in ((layout.dims,), (layout.dims, *layout.grid)):
            raise ValueError(
                f"velocity of shape {shape} needs one value for each of {layout.dims} axes, ({layout.dims},), or a "
                f"field of such, ({layout.dims}, {', '.join(map(str, layout.grid))})."
            )
        require_coefficient(diffusivity, layout, "diffusivity")
        require_source(source, layout)
        require_walls(walls, layout, "AdvectionDiffusion")
        require_counts(substeps=substeps)
        _require_outflow(velocity(), layout)
        self.velocity, self.diffusivity, self.substeps, self.source = velocity, diffusivity, substeps, source

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        needed = self._stable_substeps()
        if self.substeps is None or needed <= self.substeps:
            return ""
        return (
            f"The present velocity needs {needed:.1f} substeps per dt, and {self.substeps} are taken: give more, or "
            "leave them open."
        )

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        substeps, *stages = self.pace()
        interval = self.layout.dt / substeps
        speeds = self._face_speeds(interval, like.dtype)
        diffusivity = self.diffusivity().to(like.dtype)
        faces = [face_diffusivities(diffusivity, self.layout, part * interval) for part in PARTS]
        ends = [self.ends(like, part * interval) for part in PARTS]

        def carry(cells: Tensor) -> Tensor:
            total = torch.zeros_like(cells)
            for speed, kappa, along in zip(speeds, faces[-1], ends[-1], strict=True):
                total = total - along.gained(speed * along.twice_on_faces(cells, kappa))
            return total

        def spread(cells: Tensor, part: int, carried: Tensor) -> Tensor:
            return diffusion(cells, faces[part], ends[part]).add_(carried)

        moved = with_source(carry, source_change(self.source, self.layout, like, interval))

        def advance(cells: Tensor) -> Tensor:
            after = cells
            for part, count in enumerate(stages):
                carried = PARTS[part] * moved(after)
                after = rkl2_step(partial(spread, part=part, carried=carried), cells, count)
            return after

        return advance

    def substeps_taken(self) -> int:
        return self.pace()[0]

    def needed_pace(self) -> tuple[int, ...]:
        """The substeps, and the stages of RKL2 in each of the three parts of one.

        Raises DivergenceError beyond all reason.
        """
        substeps = self.substeps
        if substeps is None:
            cause = f"the velocity reaches {float(self.velocity().detach().abs().max()):.3g}"
            substeps = whole_substeps(self._stable_substeps(), "AdvectionDiffusion", cause)
        rate, interval = diffusion_bound(self.diffusivity(), self.layout), self.layout.dt / substeps
        return (substeps, *(rkl2_stages(rate, part * interval) for part in PARTS))

    def _stable_substeps(self) -> float:
        """For the present velocity."""
        velocity = self.velocity().detach().abs()
        rate = sum(float(velocity[axis].max()) / dx for axis, dx in enumerate(self.layout.spacing))
        # The three parts are stable to 1.73 on the imaginary axis.
        return rate * self.layout.dt / 1.73

    def _face_speeds(self, interval: float, dtype: torch.dtype) -> list[Float[Tensor, "*F"]]:
        """c · interval / (2 Δx) on the faces of each axis; a constant stays a scalar."""
        velocity = self.velocity().to(dtype)
        return [
            on_faces(velocity[axis] * (interval / (2 * dx)), axis, self.layout)
            for axis, dx in enumerate(self.layout.spacing)
        ]


def _require_outflow(velocity: Float[Tensor, "D *S"], layout: Layout) -> None:
    """Raise ValueError where fluid enters through an outflow end."""
    for axis in range(layout.dims):
        for end, (kind, outwards) in enumerate(zip(layout.sides(axis), (-1, 1), strict=True)):
            along = velocity[axis].detach() * outwards
            there = along if along.ndim == 0 else along.select(axis, -end)
            if kind == "outflow" and bool((there < 0).any()):
                raise ValueError(
                    f"through the {('lower', 'upper')[end]} end along {'xyz'[axis]} fluid enters, at up to "
                    f"{-float(there.min()):.3g}, and an outflow end says nothing of what it brings; make the end "
                    "dirichlet, with its value, or robin."
                )
