"""From settings to a simulator's parameters, unknowns at their initial values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_origin

import torch
from torch import Tensor

from cotwin.experiment.parameter_settings import Component, FromData, SourcePoints
from cotwin.experiment.wall_settings import WallsSettings
from cotwin.layout import Layout
from cotwin.parameters import (
    Bounded,
    CoarseField,
    Condition,
    Grouped,
    Input,
    InTime,
    Known,
    Parameter,
    PointSources,
    Positive,
    SpreadSources,
    Vector,
    Wall,
    Walls,
)


def as_argument(value: Any, annotation: Any, layout: Layout) -> Any:
    """A setting as a class or function takes it: unknowns as parameters, all else as it is."""
    if isinstance(value, Component | FromData):
        return _parameter(value, layout)
    if isinstance(value, SourcePoints):
        return _at_points(value, layout)
    if isinstance(value, WallsSettings):
        return _walls(value, layout)
    if isinstance(value, dict):
        return {name: as_argument(one, annotation, layout) for name, one in value.items()}
    if not (isinstance(value, tuple) and value and all(isinstance(part, Component | FromData) for part in value)):
        return value
    if (alike := _alike(value)) and get_origin(annotation) is not tuple:
        return _leaf(alike[0], torch.tensor([part.initial for part in alike]))
    return tuple(_parameter(part, layout) for part in value)


def _parameter(settings: Component | FromData, layout: Layout) -> Parameter:
    if isinstance(settings, FromData) or settings.grid is None:
        return _number(settings, layout)
    if len(settings.grid) != layout.dims:
        raise ValueError(f"grid {list(settings.grid)} needs one number for each of the {layout.dims} axes.")
    if any(k > n for k, n in zip(settings.grid, layout.grid, strict=True)):
        raise ValueError(
            f"grid {list(settings.grid)} has more coefficients than the solver has points, "
            f"{list(layout.grid)}; choose fewer."
        )
    return CoarseField(_leaf(settings, torch.full(settings.grid, settings.initial)), layout)


def _number(settings: Component | FromData, layout: Layout) -> Parameter:
    if isinstance(settings, FromData):
        if settings.largest is None:
            raise ValueError(f"{settings.given} is given by data, and there are none; simulated data give nothing.")
        return (Input if settings.course else Condition)(settings.given, settings.largest, settings.unit)
    if settings.times is not None:
        if settings.duration is None:
            raise ValueError(f"times is {settings.times}, and there are no data to tell the duration of.")
        return InTime(_leaf(settings, torch.full((settings.times,), settings.initial)), settings.duration, layout.dt)
    if settings.per is None:
        return _leaf(settings, settings.initial)
    if settings.groups is None:
        raise ValueError(f"per is {settings.per!r}, and there are no data to tell the groups of.")
    count = max(settings.groups) + 1
    each = _leaf(settings, torch.full((count,), settings.initial))
    return Grouped(each, torch.tensor(settings.groups), settings.labels or ())


def _alike(parts: Sequence[Component | FromData]) -> list[Component]:
    """The same parts where they are one array, which is estimated as such; else none."""
    alone = [
        part
        for part in parts
        if isinstance(part, Component) and part.grid is None and part.per is None and part.times is None
    ]
    alike = len({(part.bounds, part.unit, part.fixed) for part in alone}) == 1
    return alone if alike and len(alone) == len(parts) else []


def _numbers(parts: Sequence[Component | FromData], layout: Layout) -> Parameter:
    if alike := _alike(parts):
        return _leaf(alike[0], torch.tensor([part.initial for part in alike]))
    return Vector(*(_number(part, layout) for part in parts))


def _at_points(settings: SourcePoints, layout: Layout) -> Parameter:
    known = all(part.fixed for place in settings.points for part in place)
    if any(len(place) != layout.dims for place in settings.points) or len(settings.points) != len(settings.rates):
        raise ValueError(
            f"{len(settings.points)} points of {'/'.join(str(len(place)) for place in settings.points)} numbers and "
            f"{len(settings.rates)} rates do not fit; give each point {layout.dims} numbers and one rate."
        )
    rates = _numbers(settings.rates, layout)
    if settings.width is not None:
        places = Vector(*(_numbers(place, layout) for place in settings.points))
        return SpreadSources(rates, places, settings.width, layout)
    if known:
        return PointSources(rates, [[part.initial for part in place] for place in settings.points], layout)
    raise ValueError(
        "unknown places of points cannot be found: what the cells around share is no smooth function of them. Give a "
        f"width, of two cells or more, {2 * max(layout.spacing):.3g}."
    )


def _walls(settings: WallsSettings, layout: Layout) -> Walls:
    walls = {}
    for side in settings.given:
        face = None if layout.dims == 1 else layout.face("xyz".index(side[0]))
        given: dict[str, Parameter | dict[str, Parameter]] = {}
        for name, quantity in getattr(settings, side):
            try:
                if isinstance(quantity, dict):
                    given[name] = {field: _at_wall(one, face, layout) for field, one in quantity.items()}
                elif quantity is not None:
                    given[name] = _at_wall(quantity, face, layout)
            except ValueError as error:
                raise ValueError(f"{side}.{name}: {error}") from error
        walls[side] = Wall(**given)
    return Walls(**walls)


def _at_wall(settings: Component | FromData, face: Layout | None, layout: Layout) -> Parameter:
    if face is not None:
        return _parameter(settings, face)
    if isinstance(settings, Component) and settings.grid is not None:
        raise ValueError("an end of a single axis is a point, so it takes a number; leave the grid out.")
    return _number(settings, layout)


def name_parameter(parameter: Parameter | Walls, name: str) -> None:
    """Wherever in the stepper it goes: people know it by the name that they set it by."""
    if isinstance(parameter, Walls):
        for path, one in parameter.outermost():
            name_parameter(one, f"{name}.{path}")
        return
    parameter.called = name
    if isinstance(parameter, Grouped | InTime):
        parameter.each.called = name
    elif parameter.by_parts:
        for part, inside in parameter.named_children():
            if isinstance(inside, Parameter):
                name_parameter(inside, f"{name}.{part}")


def _leaf(settings: Component, initial: float | Tensor) -> Parameter:
    if settings.fixed:
        return Known(initial, unit=settings.unit)
    if settings.bounds is None:
        return Positive(initial, unit=settings.unit)
    return Bounded(initial, *settings.bounds, unit=settings.unit)
