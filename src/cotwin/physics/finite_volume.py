"""Finite volumes for ∂u/∂t = ∇·(κ ∇u) + …, on centres of cells or on nodes; `time_steps.py` steps in time.

u: values (B, C, *S); κ: diffusivity in length²/time, scalar or one value a cell.
Space: the flux −κ ∂u through a face is the mean of the two cells' κ times the difference of their u over Δx;
what leaves one cell enters the next. Second order. Periodic points are taken as cell centres.
Walls: `ends.py`; what stands at them `walls.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Walls
from cotwin.parameters.clock import BEGINNING, END, MEAN, Instant
from cotwin.parameters.outside import flowing
from cotwin.physics.channels import is_uniform, put_moving, take_moving
from cotwin.physics.ends import AxisEnds, Held, with_ghosts
from cotwin.physics.marching import MarchingStepper
from cotwin.physics.obstacle import open_faces, require_obstacle, solid_cells
from cotwin.physics.time_steps import CellMap
from cotwin.physics.walls import ends_of


class FiniteVolumeStepper(MarchingStepper):
    """A stepper on cell values: `prepare` maps the moving channels. A subclass gives it.

    walls: what stands at the ends of the axes; None for zero.
    obstacle: the name of a static field, one in solid cells and zero in fluid ones. Nothing passes a face of a solid
    cell and what it holds stays as it is; samples may have obstacles of their own. Of first order at slanted sides.
    """

    late: tuple[str, ...] = ("source", "walls")
    # Of the samples of a rollout, (B, 1, *S).
    solid: Tensor | None = None

    def __init__(self, layout: Layout, walls: Walls | None = None, obstacle: str | None = None) -> None:
        super().__init__(layout)
        require_obstacle(obstacle, layout)
        self.walls, self.obstacle = walls, obstacle

    def ends(
        self, like: Float[Tensor, "B M *S"], interval: float, instants: Sequence[Instant] | None = None
    ) -> list[AxisEnds]:
        """What stands at the ends of each axis with the present parameters, for steps of an interval.

        instants: of a substep at which stages meet what changes there; None for the scheme's own.
        """
        return ends_of(self.layout, self.walls, like, interval, instants or self.instants())

    def conducting(
        self,
        faces: Sequence[Tensor],
        like: Float[Tensor, "B M *S"],
        interval: float,
        instants: Sequence[Instant] | None = None,
    ) -> list[AxisEnds]:
        """The same, prepared for `diffusion` through faces that do not depend on the state."""
        ends = zip(self.ends(like, interval, instants), faces, strict=True)
        return [along.conducting(kappa, self.layout.dims) for along, kappa in ends]

    def instants(self) -> Sequence[Instant]:
        """Those of a substep at which its stages meet the walls, in their order."""
        return (MEAN,)

    def held(self, like: Float[Tensor, "B M *S"]) -> Held | None:
        """What the ends hold of a state with the present parameters; None where they hold nothing."""
        return Held(self.ends(like, 0.0, (BEGINNING, END)), like) if self.layout.holds_nodes else None

    def staging(self) -> Callable[[CellMap], CellMap]:
        """Makes of a change one whose calls are in one stage of a substep after the other."""
        changing = [] if self.walls is None else flowing(self.walls)
        return changing[0].clock.by_stage if changing else lambda change: change

    def stepping(
        self, like: Float[Tensor, "B M *S"], change: CellMap, step: Callable[[CellMap, Tensor], Tensor]
    ) -> CellMap:
        """The map by `step` of a change; nodes that the ends hold have what stands there."""
        held = self.held(like)
        if held is None:
            return lambda cells: step(change, cells)
        return lambda cells: step(lambda inside: held.still(change(inside)), held(cells))

    def faces(self, diffusivity: Float[Tensor, "*S"], interval: float) -> list[Tensor]:
        """`face_diffusivities`, zero on the faces of solid cells."""
        return self.closed(face_diffusivities(diffusivity, self.layout, interval))

    def closed(self, faces: list[Tensor]) -> list[Tensor]:
        """A coefficient on the faces of each axis, zero on those of solid cells."""
        if self.solid is None:
            return faces
        passing = open_faces(self.solid, self.layout, faces[0].dtype)
        return [one * open_ for one, open_ in zip(faces, passing, strict=True)]

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        here, cells = self.begun(state)
        return here.ended([cells, *here.march(cells, cells, num_steps)], state)

    def begun(self, state: Float[Tensor, "B C *S"]) -> tuple[FiniteVolumeStepper, Float[Tensor, "B M *S"]]:
        """This stepper around the obstacles of these states, and what moves; whatever is in solid cells is zero."""
        cells = take_moving(state, self.layout)
        if self.obstacle is None:
            return self, cells
        twin = copy(self)
        twin.solid = solid_cells(state, self.obstacle, self.layout)
        return twin, cells.masked_fill(twin.solid, 0.0)

    def ended(
        self, cells: list[Float[Tensor, "B M *S"]], state: Float[Tensor, "B C *S"]
    ) -> Float[Tensor, "B T C *S"]:
        """The rollout of all channels; solid cells hold what they held at the start."""
        states = torch.stack(cells, dim=1)
        if self.solid is not None:
            states = torch.where(self.solid[:, None], take_moving(state, self.layout)[:, None], states)
        return put_moving(states, state, self.layout)


def lower(values: Float[Tensor, "*P"], axis: int) -> Float[Tensor, "*Q"]:
    """All but the last along an axis: of cells, those below each face; of faces, those below each cell."""
    return values.narrow(axis, 0, values.shape[axis] - 1)


def upper(values: Float[Tensor, "*P"], axis: int) -> Float[Tensor, "*Q"]:
    """All but the first along an axis: of cells, those above each face; of faces, those above each cell."""
    return values.narrow(axis, 1, values.shape[axis] - 1)


def difference(values: Float[Tensor, "*P"], axis: int) -> Float[Tensor, "*Q"]:
    """Upper minus lower: from cells to faces, or from faces to cells."""
    return values.diff(dim=axis)


def on_faces(cells: Float[Tensor, "*S"], axis: int, layout: Layout) -> Float[Tensor, "*F"]:
    """A coefficient on the faces of an axis, the mean of the cells beside them; a scalar stays a scalar."""
    if is_uniform(cells, layout.dims):
        return cells
    along = axis - layout.dims
    padded = with_ghosts(cells, along, "periodic" if layout.is_periodic(axis) else "neumann")
    return (lower(padded, along) + upper(padded, along)) * 0.5


def face_diffusivities(diffusivity: Float[Tensor, "*S"], layout: Layout, interval: float) -> list[Tensor]:
    """κ · interval / Δx² on the faces of each axis; a scalar stays a scalar."""
    return [on_faces(diffusivity, axis, layout) * (interval / dx**2) for axis, dx in enumerate(layout.spacing)]


def diffusion(
    cells: Float[Tensor, "B M *S"], faces: Sequence[Tensor], ends: Sequence[AxisEnds]
) -> Float[Tensor, "B M *S"]:
    """∇·(κ ∇u) times the interval for which `face_diffusivities` and the ends were made."""
    total: Tensor | None = None
    for kappa, along in zip(faces, ends, strict=True):
        flux, axis = along.flux(cells, kappa), along.dim
        if total is None:
            total = difference(flux, axis) if along.by_ghosts else along.gained(flux)
        elif along.by_ghosts:
            # In place: sums keep nothing for their gradient, and each temporary saved is a pass over memory.
            total.add_(upper(flux, axis)).sub_(lower(flux, axis))
        else:
            total = total + along.gained(flux)
    assert total is not None
    return total


def diffusion_bound(diffusivity: Float[Tensor, "*S"], layout: Layout) -> float:
    """An upper bound, Σ 4 max κ / Δx², on the rates −λ of the discrete ∇·(κ ∇u), in 1/time."""
    largest = float(diffusivity.detach().abs().max())
    return largest * sum(4 / dx**2 for dx in layout.spacing)
