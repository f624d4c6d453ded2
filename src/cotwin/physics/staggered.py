"""Differences of a flow on a staggered grid: ghosts beyond the ends, advection, friction, and what is carried.

States are those of `projection.py`: the velocity's two components on the faces below their cells, then any number of
channels at cell centres. With ghosts, index 0 along an axis is the place below the first, and there are two more than
cells; three more along an open axis, which has a face more.
Advection: ∇·(u u) by central fluxes, second order; momentum is conserved, and where there is no divergence the energy
too. At open ends it leaves with the fluid, and energy can only leave.
Source: Harlow & Welch (1965), Phys. Fluids 8; Morinishi, Lund, Vasilyev & Moin (1998), J. Comput. Phys. 143; for open
ends Bruneau & Fabrie (1996), ESAIM: M2AN 30.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls
from cotwin.physics.conservation_law import mirrored, reconstructed
from cotwin.physics.finite_volume import difference, lower, upper
from cotwin.physics.projection import with_end_face


def wall_signs(layout: Layout, channels: int, slip: bool, like: Tensor) -> list[Tensor | None]:
    """For each axis with walls, by what each channel is multiplied in the ghosts beyond them; None for others.

    Zero for the normal velocity, whose upper ghost is the upper wall; for the other −1, zero at the wall, or 1 if it
    slips; 1 for what is carried.
    """
    signs: list[Tensor | None] = []
    for axis, kind in enumerate(layout.axis_kinds):
        sign = like.new_ones(channels, 1, 1)
        sign[1 - axis] = 1.0 if slip else -1.0
        sign[axis] = 0.0
        signs.append(sign if kind == "dirichlet" else None)
    return signs


def wall_speeds(layout: Layout, walls: Walls | None, like: Float[Tensor, "B M *S"]) -> list[list[Tensor | None]]:
    """For each axis and both of its ends twice the velocity along the wall there; None where it stands still."""
    speeds: list[list[Tensor | None]] = []
    for axis in range(layout.dims):
        along = like.new_zeros(like.shape[1], 1, 1)
        along[1 - axis] = 2.0
        ends = [None if walls is None else walls.at(axis, end) for end in (0, 1)]
        given = [None if wall is None else wall.given.get("value") for wall in ends]
        speeds.append([along * one().to(like.dtype) if isinstance(one, Parameter) else None for one in given])
    return speeds


def with_flow_ghosts(
    cells: Float[Tensor, "B M *S"],
    layout: Layout,
    signs: Sequence[Tensor | None],
    speeds: Sequence[Sequence[Tensor | None]] | None = None,
) -> Float[Tensor, "B M *P"]:
    """The state with ghosts along both axes; at open ends without normal derivative. speeds: as `wall_speeds` has."""
    padded = _beyond_open_ends(cells, layout)
    for axis, (kind, sign) in enumerate(zip(layout.axis_kinds, signs, strict=True)):
        if kind == "neumann":
            continue
        dim = axis + 2
        first, last = padded.narrow(dim, 0, 1), padded.narrow(dim, -1, 1)
        ends = [last, first] if sign is None else [sign * first, sign * last]
        moving = (None, None) if speeds is None else speeds[axis]
        low, high = (end if speed is None else end + speed for end, speed in zip(ends, moving, strict=True))
        padded = torch.cat([low, padded, high], dim=dim)
    return padded


def _beyond_open_ends(cells: Tensor, layout: Layout) -> Tensor:
    if "neumann" not in layout.axis_kinds:
        return cells
    axis = layout.axis_kinds.index("neumann")
    dim = axis + 2
    first, second, last = cells.narrow(dim, 0, 1), cells.narrow(dim, 1, 1), cells.narrow(dim, -1, 1)
    end = torch.cat([with_end_face(cells[:, :2], layout).narrow(dim, -1, 1), last[:, 2:]], dim=1)
    # The normal component is mirrored about the end itself, where it has a face, all else about half a cell beyond.
    low = torch.cat([first[:, :axis], second[:, axis : axis + 1], first[:, axis + 1 :]], dim=1)
    return torch.cat([low, cells, end, last], dim=dim)


def momentum_change(
    padded: Float[Tensor, "B M *P"], layout: Layout, scales: Sequence[float], frictions: Sequence[Tensor]
) -> Float[Tensor, "B 2 *F"]:
    """interval · (ν ∇²u − ∇·(u u)) on every face below a cell, and on the outer faces of open ends.

    scales: interval/Δx for each axis; frictions: ν interval/Δx².
    """
    u, v = padded[:, :1], padded[:, 1:2]
    # At the corners, where the momentum of each component passes with the other; twice the means of two.
    there = [upper(upper(u, 2), 3) + lower(upper(u, 2), 3), upper(upper(v, 2), 3) + lower(upper(v, 3), 2)]
    if "neumann" in layout.axis_kinds:
        axis = layout.axis_kinds.index("neumann")
        there[axis] = _leaving(there[axis], axis + 2)
    corner = there[0] * there[1]
    changes = []
    for axis, (component, kind) in enumerate(zip((u, v), layout.axis_kinds, strict=True)):
        along, across = axis + 2, 3 - axis
        central = inner(component, across)
        # The friction first: what depends on a batched parameter cannot be added in place to what does not.
        change = inner(central, along) * (-2 * (frictions[0] + frictions[1]))
        for dim, friction in zip((2, 3), frictions, strict=True):
            row = inner(component, 5 - dim)
            count = row.shape[dim] - 2
            change.add_((row.narrow(dim, 0, count) + row.narrow(dim, 2, count)) * friction)
        passing = (lower(central, along) + upper(central, along)).square()
        if kind == "neumann":
            passing = _through_open_ends(passing, central, along)
        change.sub_(difference(passing, along), alpha=scales[axis] / 4)
        change.sub_(difference(lower(corner, along), across), alpha=scales[1 - axis] / 4)
        changes.append(change)
    return torch.cat(changes, dim=1)


def _leaving(normal: Tensor, dim: int) -> Tensor:
    """At open ends, only what leaves: what enters brings no momentum along the end, which would grow unchecked."""
    count = normal.shape[dim]
    below, above = normal.narrow(dim, 0, 1), normal.narrow(dim, count - 2, 1)
    middle, beyond = normal.narrow(dim, 1, count - 3), normal.narrow(dim, count - 1, 1)
    return torch.cat([below.clamp(max=0), middle, above.clamp(min=0), beyond], dim=dim)


def _through_open_ends(passing: Tensor, faces: Tensor, dim: int) -> Tensor:
    """What passes the ends, and the pressure there, as if it passed a cell beyond the outer faces.

    The outer faces' cells are halves: u² leaves them, over half the distance. Where fluid enters the pressure is
    −u²/2, as in fluid drawn from rest: at zero it would bring energy without bound.
    """
    count = passing.shape[dim]
    below, above = faces.narrow(dim, 1, 1), faces.narrow(dim, count - 1, 1)
    before = 4 * (below.square() + below.clamp(max=0).square()) - passing.narrow(dim, 1, 1)
    beyond = 4 * (above.square() + above.clamp(min=0).square()) - passing.narrow(dim, count - 2, 1)
    return torch.cat([before, passing.narrow(dim, 1, count - 2), beyond], dim=dim)


def carried_change(
    carried: Float[Tensor, "B K *S"],
    padded: Float[Tensor, "B M *P"],
    layout: Layout,
    scales: Sequence[float],
    passing: Sequence[Tensor | None] = (None, None),
) -> Float[Tensor, "B K *S"]:
    """−interval · ∇·(u s) of cell values s, by upwind fluxes of limited slopes; nothing passes a wall.

    passing: as `passing_faces` has it.
    """
    total: Tensor | None = None
    for axis, (kind, scale) in enumerate(zip(layout.axis_kinds, scales, strict=True)):
        dim, across = axis + 2, 3 - axis
        faces = padded[:, axis : axis + 1].narrow(dim, 1, layout.grid[axis] + 1)
        speed = scale * faces.narrow(across, 1, layout.grid[1 - axis])
        signs = None if kind == "periodic" else carried.new_ones(1, 1, 1)
        below, above = reconstructed(mirrored(carried, dim, signs), dim, passing[axis])
        flux = 0.5 * (speed * (below + above) - speed.abs() * (above - below))
        part = difference(flux, dim)
        total = part.neg() if total is None else total.sub_(part)
    assert total is not None
    return total


def passing_faces(solid: Bool[Tensor, "X Y"], layout: Layout, like: Tensor) -> list[Float[Tensor, "1 1 *F"]]:
    """For each axis one on every face between fluid cells, two ghosts beyond the ends included; zero on others."""
    fluid, found = (~solid).to(like.dtype)[None, None], []
    for axis, kind in enumerate(layout.axis_kinds):
        around = mirrored(fluid, axis + 2, None if kind == "periodic" else fluid.new_ones(1, 1, 1))
        found.append(lower(around, axis + 2) * upper(around, axis + 2))
    return found


def inner(values: Float[Tensor, "*P"], axis: int) -> Float[Tensor, "*Q"]:
    """All but the first and the last along an axis."""
    return values.narrow(axis, 1, values.shape[axis] - 2)
