"""Incompressible flow on a staggered grid, between walls, open ends and on periodic axes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls, as_vector
from cotwin.physics.channels import put_moving, side_by_side, take_moving
from cotwin.physics.finite_volume import diffusion_bound
from cotwin.physics.immersed import Immersed
from cotwin.physics.marching import MarchingStepper
from cotwin.physics.projection import Projection, divergence, without_gradient
from cotwin.physics.requirements import (
    require_counts,
    require_fields,
    require_positive,
    require_scalar_coefficients,
)
from cotwin.physics.solids import Disc, Rectangle, cells_around, solid_rectangles
from cotwin.physics.staggered import inner, momentum_change, wall_signs, wall_speeds, with_flow_ghosts
from cotwin.physics.suggestions import beyond_fastest
from cotwin.physics.symmetry import moving_channels, shifts
from cotwin.physics.time_steps import CellMap, ssp_rk3_step, substeps_for_speed, whole_substeps
from cotwin.physics.walls import require_walls
from cotwin.registry import Count, PositiveFloat, simulator
from cotwin.symmetries import Symmetries


class IncompressibleStepper(MarchingStepper, ABC):
    """∂u/∂t + (u·∇)u = −∇p + ν ∇²u + f, ∇·u = 0, two dimensions, and what the flow carries.

    A subclass gives `further`, the force f and the change of channels beyond the velocity, and `moving`, its fields.

    u: velocity, length/time, the first moving field; component a at index i lies on the face below cell i along axis
    a, as `cotwin.physics.phiflow.to_fields` has it. p: pressure over density.
    Ends of an axis: dirichlet is a closed wall, at which the fluid rests, or with `slip` passes without friction. The
    first face along the axis is the wall: what a state has there is not read, and written as zero. neumann is open,
    without normal derivative. The pressure there is zero where fluid leaves, and −u²/2 where it enters, straight, as
    if drawn from rest: the ends never add energy. At most one axis has open ends.
    viscosity: ν in length²/time, a scalar. slip: whether the fluid passes walls without friction.
    max_speed: the largest |u| of one component that is to remain stable, length/time. Given, never measured: substeps
    that depended on a batch would make its samples influence each other.
    substeps: steps per layout.dt; None for the fewest that are stable for max_speed and the present ν. Fixed, they do
    not follow ν, which may then be batched (`torch.func.vmap`).
    walls: the velocity at which a closed wall moves along itself, `value`, a scalar (`parameters.Walls`); without, it
    stands still.
    Scheme: central differences that conserve momentum, and without friction energy; SSP-RK3 with an exact projection
    (`projection.py`) in each stage, third order in time. What must be resolved: central differences oscillate where
    |u| Δx > 2ν. The start is projected first.
    obstacle: which cells are solid, on the grid. The fluid rests on their faces, of both components, and is without
    divergence everywhere (`immersed.py`). First order: friction is that of a wall up to half a cell inside the solid.
    """

    moving: ClassVar[Mapping[str, int]] = MappingProxyType({"velocity": 2})
    # The largest stable Σ|u| dt/Δx: of SSP-RK3 on the imaginary axis, where central differences are.
    courant = 1.73
    # The name of the static field that its solid cells came from.
    obstacle: str | None = None
    suggested = MappingProxyType({"max_speed": beyond_fastest, "solids": solid_rectangles})

    def __init__(
        self,
        layout: Layout,
        viscosity: Parameter,
        max_speed: PositiveFloat,
        slip: bool = False,
        substeps: Count | None = None,
        obstacle: Bool[Tensor, "*S"] | None = None,
        walls: Walls | None = None,
    ) -> None:
        super().__init__(layout)
        name = type(self).__name__
        _require_walls(walls, layout, name, slip)
        require_fields(layout, name, self.moving, dims=(2,))
        require_scalar_coefficients(name, viscosity=viscosity)
        require_positive(max_speed=max_speed)
        require_counts(substeps=substeps)
        substeps_for_speed(name, layout, max_speed, self.courant, substeps)
        self.projection = Projection(layout)
        self.immersed = None if obstacle is None else Immersed(obstacle, self.projection)
        self.staggered = frozenset({next(field.name for field in layout.fields if not field.static)})
        self.viscosity, self.max_speed, self.slip, self.substeps = viscosity, max_speed, slip, substeps
        self.walls = walls

    @property
    def symmetries(self) -> Symmetries:
        """Shifts alone: turned round, faces would lie above their cells."""
        return shifts(self) if self.immersed is None else Symmetries()

    @abstractmethod
    def further(self, like: Float[Tensor, "B M *S"], interval: float) -> tuple[CellMap | None, CellMap | None]:
        """interval · f, on the faces of `momentum_change`, and the change of the channels beyond the velocity.

        Both are maps from states with ghosts, or None where there is nothing. Called once a rollout.
        """

    def largest_diffusivity(self) -> Float[Tensor, ""]:
        """Of all that moves, with the present parameters; length²/time."""
        return self.viscosity()

    def admits(self, states: Float[Tensor, "B C *S"]) -> Bool[Tensor, "B"]:
        return take_moving(states, self.layout)[:, :2].abs().flatten(1).amax(dim=1) <= self.max_speed

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        needed = self._stable_substeps()
        if self.substeps is not None and needed > self.substeps:
            return (
                f"The present parameters need {needed:.1f} substeps per dt, and {self.substeps} are taken: give "
                "more, or leave them open."
            )
        fastest = float(take_moving(before, self.layout)[:, :2].abs().max())
        if fastest > self.max_speed:
            return f"Before it grew |u| was up to {fastest:.3g}, and max_speed is {self.max_speed:.3g}: raise it."
        return f"Before it grew |u| was up to {fastest:.3g}; what follows may be faster than max_speed: raise it."

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        start = take_moving(state, self.layout)
        project = self.projection.mapping(start)
        velocity = project(start[:, :2])
        if self.immersed is not None:
            velocity = (velocity - self.immersed.prepare(start, project)(velocity)) * ~self.immersed.faces
        cells = torch.cat([velocity, start[:, 2:]], dim=1)
        states = torch.stack([start, *self.march(cells, start, num_steps)], dim=1)
        return put_moving(states, state, self.layout)

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        change = self.change(like, self.layout.dt / self.substeps_taken())
        return lambda cells: ssp_rk3_step(change, cells)

    def substeps_taken(self) -> int:
        return self.pace()[0]

    def change(self, like: Float[Tensor, "B M *S"], interval: float) -> CellMap:
        """The right-hand side over the interval; its velocity leaves what it is added to without divergence."""
        layout = self.layout
        viscosity = self.viscosity().to(like.dtype)
        scales = [interval / dx for dx in layout.spacing]
        frictions = [viscosity * (interval / dx**2) for dx in layout.spacing]
        signs, speeds = wall_signs(layout, like.shape[1], self.slip, like), wall_speeds(layout, self.walls, like)
        free, pressure = self.projection.free_faces(like), self.projection.prepare(like)
        force, carried = self.further(like, interval)
        immersed = self.immersed
        passing = None if immersed is None else immersed.prepare(like, self.projection.mapping(like))

        def change(cells: Tensor) -> Tensor:
            padded = with_flow_ghosts(cells, layout, signs, speeds)
            moved = momentum_change(padded, layout, scales, frictions)
            if force is not None:
                moved = moved + force(padded)
            # Of the sum, not of the change alone: rounding would add up from step to step.
            surplus = divergence(moved + inner(inner(padded[:, :2], 2), 3), layout)
            moved = without_gradient(moved, pressure(surplus), layout) * free
            if immersed is not None and passing is not None:
                moved = (moved - passing(moved + cells[:, :2])) * ~immersed.faces
            return moved if carried is None else torch.cat([moved, carried(padded)], dim=1)

        return change

    def needed_pace(self) -> tuple[int, ...]:
        """The substeps: those given, or the fewest that are stable for the present viscosity.

        Raises DivergenceError beyond all reason.
        """
        if self.substeps is not None:
            return (self.substeps,)
        largest = float(self.largest_diffusivity().detach())
        cause = (
            f"the largest diffusivity is {largest:.3g}, max_speed {self.max_speed:.3g}, spacing "
            f"{self.layout.spacing}, dt {self.layout.dt:.3g}"
        )
        return (whole_substeps(self._stable_substeps(), type(self).__name__, cause),)

    def _stable_substeps(self) -> float:
        """For max_speed and the present parameters."""
        # SSP-RK3 is stable to 2.51 on the real axis, where diffusion is, and between it and the imaginary one.
        advection = self.max_speed * sum(1 / dx for dx in self.layout.spacing) / self.courant
        return self.layout.dt * (advection + diffusion_bound(self.largest_diffusivity(), self.layout) / 2.51)


def _require_walls(walls: Walls | None, layout: Layout, name: str, slip: bool) -> None:
    if walls is None:
        return
    require_walls(walls, layout, name, {"dirichlet": ("value",), "neumann": ()})
    shapes = {path: tuple(one().shape) for path, one in walls.outermost()}
    for path, shape in shapes.items():
        if shape != () or path.count(".") > 1:
            raise ValueError(f"walls.{path} of shape {shape} is the speed of a wall along itself; give one number.")
    if slip and shapes:
        raise ValueError(f"walls.{next(iter(shapes))} drags the fluid along, and with slip it passes; leave one out.")


class IncompressibleFlow(IncompressibleStepper):
    """∂u/∂t + (u·∇)u = −∇p + ν ∇²u + f, ∇·u = 0: a velocity alone.

    force: f in length/time², the same everywhere, a scalar for each axis: a pressure that falls along a channel.
    Between closed walls it moves nothing. None for none.
    Symbols, boundaries, scheme: see IncompressibleStepper. On periodic axes `NavierStokes` is more accurate.
    Source: Harlow & Welch (1965), Phys. Fluids 8; Gottlieb, Shu & Tadmor (2001), SIAM Review 43; Sanderse & Koren
    (2012), J. Comput. Phys. 231 for the order of projected Runge-Kutta steps.
    """

    def __init__(
        self,
        layout: Layout,
        viscosity: Parameter,
        max_speed: PositiveFloat,
        slip: bool = False,
        substeps: Count | None = None,
        obstacle: Bool[Tensor, "*S"] | None = None,
        walls: Walls | None = None,
        force: Parameter | tuple[Parameter, ...] | None = None,
    ) -> None:
        super().__init__(layout, viscosity, max_speed, slip, substeps, obstacle, walls)
        self.force = None if force is None else as_vector(force)
        if self.force is not None and tuple(self.force().shape) != (2,):
            raise ValueError(f"force of shape {tuple(self.force().shape)} needs a number for each axis, (2,).")

    @property
    def conserved(self) -> frozenset[int]:
        free = self.layout.kinds == {"periodic"} and self.force is None and self.immersed is None
        return frozenset(moving_channels(self.layout)) if free else frozenset()

    def further(self, like: Float[Tensor, "B M *S"], interval: float) -> tuple[CellMap | None, CellMap | None]:
        if self.force is None:
            return None, None
        push = interval * side_by_side(*self.force().to(like.dtype).unbind(), dims=2)
        return lambda padded: push, None


@simulator("incompressible_flow")
def incompressible_flow(
    layout: Layout,
    viscosity: Parameter,
    max_speed: PositiveFloat,
    slip: bool = False,
    substeps: Count | None = None,
    obstacle: str | None = None,
    disc: Disc | None = None,
    solids: tuple[Rectangle, ...] | None = None,
    walls: Walls | None = None,
    force: Parameter | tuple[Parameter, ...] | None = None,
) -> IncompressibleFlow:
    """∂u/∂t + (u·∇)u = −∇p + ν ∇²u + f, ∇·u = 0: a velocity alone, on faces; maybe around solid cells.

    obstacle: the name of a static field, one in solid cells, the same in all trajectories.
    disc: on whose cells the fluid rests. solids: rectangles, likewise, by their ends along both axes.
    """
    around = cells_around(layout, obstacle, disc, solids)
    flow = IncompressibleFlow(layout, viscosity, max_speed, slip, substeps, around, walls, force)
    flow.obstacle = obstacle
    return flow
