"""Which cells of a plane are solid: within a disc, within rectangles, or where a static field of the data says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.obstacle import require_obstacle, solid_cells
from cotwin.registry import PositiveFloat, Settings
from cotwin.stepper import Stepper

Coordinate = Annotated[float, Field(ge=-1e30, le=1e30)]
Rectangle = tuple[tuple[Coordinate, Coordinate], tuple[Coordinate, Coordinate]]
"""Its ends along both axes."""


class Disc(Settings):
    """A disc that the flow goes around."""

    centre: tuple[Coordinate, Coordinate]
    radius: PositiveFloat


def within_disc(disc: Disc, layout: Layout) -> Bool[Tensor, "*S"]:
    """The cells whose centres lie within it. Raises ValueError where there are none."""
    x, y = (torch.tensor(layout.points(axis), dtype=torch.float64) for axis in range(2))
    inside = (x[:, None] - disc.centre[0]) ** 2 + (y[None, :] - disc.centre[1]) ** 2 <= disc.radius**2
    if not bool(inside.any()):
        raise ValueError(f"the disc around {disc.centre} of radius {disc.radius} covers no cell's centre.")
    return inside


def within_rectangles(rectangles: tuple[Rectangle, ...], layout: Layout) -> Bool[Tensor, "*S"]:
    """The cells whose centres lie within any of them."""
    solid = torch.zeros(layout.grid, dtype=torch.bool)
    for ends in rectangles:
        x, y = (_between(*ends[axis], axis, layout) for axis in range(2))
        solid |= x[:, None] & y[None, :]
    return solid


def cells_around(
    layout: Layout, obstacle: str | None, disc: Disc | None, solids: tuple[Rectangle, ...] | None
) -> Bool[Tensor, "*S"] | None:
    """The cells that a flow goes around; None without any.

    obstacle: the name of a static field, whose cells are among the solids then. Raises ValueError where they are not.
    """
    require_obstacle(obstacle, layout)
    if obstacle is not None and solids is None:
        raise ValueError(
            f"the solid cells of {obstacle} are found in data, and there are none; in a script give the cells to the "
            "class, as IncompressibleFlow(…, obstacle=mask), or rectangles as solids."
        )
    solid = within_rectangles(solids or (), layout)
    if disc is not None:
        solid = solid | within_disc(disc, layout)
    return solid if bool(solid.any()) else None


def rectangles_of(solid: Bool[Tensor, "X Y"], layout: Layout) -> tuple[Rectangle, ...]:
    """Rectangles that cover these cells and no others: runs along y, over as many rows as they go on."""
    found, begun = [], dict[tuple[int, int], int]()
    rows = [set(_runs(row)) for row in solid.tolist()]
    for place, here in enumerate([*rows, set[tuple[int, int]]()]):
        for run in set(begun) - here:
            found.append((_ends(begun.pop(run), place - 1, 0, layout), _ends(*run, 1, layout)))
        begun |= dict.fromkeys(here - set(begun), place)
    return tuple(sorted(found))


def solid_rectangles(
    make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]
) -> tuple[Rectangle, ...]:
    """the cells where the static field that `obstacle` names is one"""
    name = next(
        (name for one in _inside(make(solids=())) if isinstance(name := getattr(one, "obstacle", None), str)), None
    )
    if name is None:
        return ()
    solid = solid_cells(states[:, 0], name, layout)[:, 0]
    if not bool((solid == solid[:1]).all()):
        raise ValueError(
            f"obstacle: {name} differs from one trajectory to another; a flow goes around one. Take trajectories "
            "with the same obstacle. (Finite volumes, as heat or advection_diffusion, take different ones.)"
        )
    return rectangles_of(solid[0], layout)


def _inside(stepper: Stepper) -> Iterator[Stepper]:
    """The stepper, and those that it wraps."""
    yield stepper
    for one in stepper.made_of():
        if isinstance(one, Stepper):
            yield from _inside(one)


def _between(low: float, high: float, axis: int, layout: Layout) -> Bool[Tensor, "N"]:
    points, hair = torch.tensor(layout.points(axis), dtype=torch.float64), 1e-6 * layout.spacing[axis]
    side = layout.upper[axis] - layout.lower[axis]
    # Around periodic ends too, beyond which a rectangle may reach.
    turned = torch.stack([points + turn * side for turn in ((-1, 0, 1) if layout.is_periodic(axis) else (0,))])
    return ((turned > low + hair) & (turned < high - hair)).any(dim=0)


def _runs(row: list[bool]) -> Iterator[tuple[int, int]]:
    """First and last of each stretch that is true."""
    first = None
    for place, here in enumerate([*row, False]):
        if here and first is None:
            first = place
        elif not here and first is not None:
            yield first, place - 1
            first = None


def _ends(first: int, last: int, axis: int, layout: Layout) -> tuple[float, float]:
    points, half = layout.points(axis), layout.spacing[axis] / 2
    return points[first] - half, points[last] + half
