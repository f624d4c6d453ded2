"""What settings say that stands at walls, held against the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.assembling.walls import NOTED, Missed, missed_value, slope_sign
from cotwin.data.stored.contents import setting
from cotwin.data.trajectories import Trajectories
from cotwin.experiment.parameter_settings import Component, FromData
from cotwin.experiment.wall_settings import WallsSettings
from cotwin.parameters.walls import SIDES


def against_walls(trajectories: Trajectories, walls: WallsSettings, trusted: bool) -> list[str]:
    """Where values known at Dirichlet ends are not what the data come to, and known fluxes of another sign.

    Raises ValueError where a value is surely another, unless the caller trusts the walls.
    """
    notes = []
    for side, axis, end, name, known in _known(trajectories, walls, "value"):
        found = missed_value(trajectories, name, axis, end, known)
        if found is None or found.size < NOTED:
            continue
        said = _told(f"physical.walls.{side}.value", name, found, known)
        if found.sure and not trusted:
            raise ValueError(
                f"{trajectories.source}: {said}. Say what stands there, leave it to be estimated with an initial "
                "value, or, if it is right all the same (a layer thinner than a cell), say so: 'trusted' as "
                f"{setting('walls')}."
            )
        notes.append(f"the data speak against a wall: {said}")
    for side, axis, end, name, known in _known(trajectories, walls, "flux"):
        sign = slope_sign(trajectories, name, axis, end)
        if sign and bool((known * sign < 0).all()):
            way = "enters" if float(known.mean()) > 0 else "leaves"
            notes.append(
                f"the data speak against a wall: by physical.walls.{side}.flux {name} {way} there, but its slope "
                "next to the wall has the other sign; a positive flux enters, at both ends"
            )
    return notes


def _known(
    trajectories: Trajectories, walls: WallsSettings, what: str
) -> Iterator[tuple[str, int, int, str, Float[Tensor, "N T"]]]:
    """Each quantity of this kind that is known: the side, its axis and end, the channel, and its values."""
    layout = trajectories.layout
    moving = [name for name, static in zip(layout.channel_names, layout.static_channels, strict=True) if not static]
    kind = {"value": "dirichlet", "flux": "neumann"}[what]
    for place, side in enumerate(SIDES):
        wall, (axis, end) = getattr(walls, side), divmod(place, 2)
        quantity = None if wall is None else getattr(wall, what)
        if quantity is None or axis >= layout.dims or layout.sides(axis)[end] != kind:
            continue
        # One number for several fields may mean another thing in each, such as the speed of a wall along itself.
        parts = quantity if isinstance(quantity, Mapping) else {moving[0]: quantity} if len(moving) == 1 else {}
        for name, part in parts.items():
            known = _values(part, trajectories)
            if known is not None and name in moving:
                yield side, axis, end, name, known


def _values(part: Component | FromData, trajectories: Trajectories) -> Float[Tensor, "N T"] | None:
    """At each frame of each trajectory; None for what is unknown, not given, or a field."""
    shape = trajectories.states.shape[:2]
    if isinstance(part, Component):
        return torch.full(shape, part.initial, dtype=torch.float64) if part.fixed else None
    given = trajectories.given
    if part.given in given.conditions and given.conditions[part.given].dim() == 1:
        return given.conditions[part.given].double()[:, None].expand(shape)
    if part.given in given.inputs and given.inputs[part.given].values.dim() == 2:
        course = given.inputs[part.given]
        return course.values[:, :: round(course.per_step)][:, : shape[1]].double()
    return None


def _told(setting_name: str, name: str, found: Missed, known: Float[Tensor, "N T"]) -> str:
    says = f"{float(known.mean()):.4g}" + ("" if bool((known == known[0, 0]).all()) else " in the mean")
    return (
        f"{setting_name} says that {name} is {says} there, but the data {found.how} {found.mean:.4g}: "
        f"{found.size:.2g} standard deviations of {name} beside it"
    )
