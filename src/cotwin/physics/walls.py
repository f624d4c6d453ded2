"""What stands at walls, held against a layout, and brought to its ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Boundary, Layout
from cotwin.parameters import Parameter, Walls
from cotwin.parameters.clock import MEAN, Instant, Stretches
from cotwin.parameters.outside import flowing
from cotwin.parameters.walls import SIDES, ByField, Wall
from cotwin.physics.ends import AxisEnds, Changing, End, Standing, combined

TAKES: dict[Boundary, tuple[str, ...]] = {
    "dirichlet": ("value",),
    "neumann": ("flux",),
    "robin": ("transfer", "outside"),
    "outflow": (),
}
"""What may be given where the layout has a kind of end."""


def require_walls(
    walls: Walls | None,
    layout: Layout,
    equation: str,
    takes: Mapping[Boundary, Collection[str]] = TAKES,
    needs: Collection[str] = ("transfer", "outside"),
) -> None:
    """Raise ValueError where an equation does not take the layout's ends, or what is given does not fit them.

    takes: the kinds of ends that it takes, beside periodic axes, and what may be given there. needs: what of it must.
    """
    for place, side in enumerate(SIDES):
        axis, end = divmod(place, 2)
        wall = None if walls is None else walls.at(axis, end)
        if axis >= layout.dims:
            if wall is not None:
                raise ValueError(f"walls.{side}: the layout has {layout.dims} axes; leave it out.")
            continue
        kind = layout.sides(axis)[end]
        if kind not in ("periodic", *takes):
            raise ValueError(
                f"{equation} takes no {kind} end, which the layout has at {side}; it takes periodic axes and "
                f"{', '.join(takes)} ends (data.boundary)."
            )
        given = {} if wall is None else wall.given
        for name, quantity in given.items():
            _require_fit(name, kind, side, takes)
            _require_quantity(quantity, f"walls.{side}.{name}", layout, side)
        missing = [name for name in takes.get(kind, ()) if name in needs and name not in given]
        if missing:
            raise ValueError(
                f"the layout's end {side} is {kind}, and {' and '.join(missing)} of it "
                f"{'is' if len(missing) == 1 else 'are'} not given; give walls.{side}.{missing[0]}."
            )


def _require_fit(name: str, kind: Boundary, side: str, takes: Mapping[Boundary, Collection[str]]) -> None:
    if name in takes.get(kind, ()):
        return
    others = [other for other, names in takes.items() if name in names]
    cure = f", or make the end {' or '.join(others)} (data.boundary)" if others else ""
    if kind == "periodic":
        raise ValueError(f"walls.{side}.{name}: the axis is periodic and has no end there; leave it out{cure}.")
    words = " and ".join(takes[kind]) or "nothing"
    raise ValueError(f"walls.{side}.{name}: the layout's end is {kind}, which takes {words}; leave it out{cure}.")


def _require_quantity(quantity: Parameter | ByField, name: str, layout: Layout, side: str) -> None:
    moving = [
        channel for channel, static in zip(layout.channel_names, layout.static_channels, strict=True) if not static
    ]
    if isinstance(quantity, ByField) and set(quantity.parameters_by_name) != set(moving):
        raise ValueError(
            f"{name} is given for {', '.join(quantity.parameters_by_name)}; give it for each of {', '.join(moving)}."
        )
    axis = "xyz".index(side[0])
    face = tuple(points for along, points in enumerate(layout.grid) if along != axis)
    for one in quantity.parameters_by_name.values() if isinstance(quantity, ByField) else [quantity]:
        shape = tuple(one().shape)
        if shape not in ((), face):
            raise ValueError(f"{name} of shape {shape} is neither a scalar nor a field along the face, {face}.")


def ends_of(
    layout: Layout,
    walls: Walls | None,
    like: Float[Tensor, "B M *S"],
    interval: float,
    instants: Sequence[Instant] = (MEAN,),
) -> list[AxisEnds]:
    """The ends of each axis with the walls' present values, in the precision of `like`, for steps of an interval.

    Without walls nothing is given: zero at Dirichlet ends, no normal derivative at others.
    instants: of a substep, which the clock's stages are, for what changes along a rollout.
    """
    found = []
    for axis in range(layout.dims):
        ends = []
        for end, kind in enumerate(layout.sides(axis)):
            wall = None if walls is None else walls.at(axis, end)
            nodes = layout.has_nodes(axis)
            if wall is None:
                ends.append(End(kind, on_node=nodes))
                continue
            scale = interval / layout.spacing[axis]
            given = {name: _standing(one, axis, layout, like.dtype, instants) for name, one in wall.given.items()}
            rates = {
                name: combined(partial(torch.mul, other=scale), given[name])
                for name in ("flux", "transfer")
                if name in given
            }
            stands = (given.get("value"), rates.get("flux"), rates.get("transfer"), given.get("outside"))
            ends.append(End(kind, *stands, on_node=nodes))
        found.append(AxisEnds(axis + 2, ends[0], ends[1]))
    return found


def _standing(
    quantity: Parameter | ByField, axis: int, layout: Layout, dtype: torch.dtype, instants: Sequence[Instant]
) -> Standing:
    """A quantity as it broadcasts against states that have one place along the axis."""
    changing = flowing(quantity)
    if not changing:
        return _on_face(quantity, axis, layout).to(dtype)

    def at(stretches: Stretches) -> Float[Tensor, "N I B M *F"]:
        along: dict[Parameter, Tensor] = {one: one.at(stretches, instants) for one in changing}
        return _on_face(quantity, axis, layout, along).to(dtype)

    return Changing(at, changing[0].clock)


def _on_face(
    quantity: Parameter | ByField, axis: int, layout: Layout, along: Mapping[Parameter, Tensor] | None = None
) -> Float[Tensor, "*N B M *F"]:
    """along: the values, (N, I, *K), of what changes along a rollout."""

    def of_channel(one: Parameter) -> Tensor:
        if along is None or one not in along:
            return _of_one_channel(one(), axis, layout.dims)
        return _of_one_channel(along[one], axis, layout.dims, leading=2)

    if not isinstance(quantity, ByField):
        return of_channel(quantity)
    named = quantity.parameters_by_name
    moving = zip(layout.channel_names, layout.static_channels, strict=True)
    channels = [of_channel(named[name]) for name, static in moving if not static]
    return torch.cat(torch.broadcast_tensors(*channels), dim=-layout.dims - 1)


def _of_one_channel(value: Tensor, axis: int, dims: int, leading: int = 0) -> Float[Tensor, "*N B 1 *F"]:
    """A scalar or a field along the face, or either of these for each sample, with all axes of a state's slice."""
    if value.ndim == leading:
        return value.reshape(*value.shape, *[1] * (dims + 1))
    if value.ndim == leading + dims + 2:
        return value
    face = value.unsqueeze(axis - dims)
    return face if face.ndim > leading + dims else face.unsqueeze(leading)


def exchange_bound(layout: Layout, walls: Walls | None) -> float:
    """An upper bound on the rates, in 1/time, by which nodes on Robin ends relax faster than by diffusion alone."""
    bound = 0.0
    for side, wall in () if walls is None else walls.named_children():
        axis = "xyz".index(side[0])
        if isinstance(wall, Wall) and layout.has_nodes(axis) and "transfer" in wall.given:
            transfer = _on_face(wall.given["transfer"], axis, layout)
            bound += 2 * float(transfer.detach().abs().max()) / layout.spacing[axis]
    return bound
