"""From settings to simulators, with their unknowns at their initial values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, get_origin

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.experiment.declared import suggested
from cotwin.experiment.learner_settings import Component, PhysicalSettings, Rollout, SourcePoints
from cotwin.layout import Layout
from cotwin.parameters import (
    Bounded,
    CoarseField,
    Known,
    Parameter,
    PointSources,
    Positive,
    SpreadSources,
    Vector,
)
from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.registry import simulator
from cotwin.rollouts import Checkpointed, Compiled, Refined
from cotwin.stepper import Stepper


def build_physical(
    settings: PhysicalSettings, layout: Layout, states: Float[Tensor, "N T C *S"] | None = None
) -> Stepper:
    """The simulator. states: of the training data; not needed where the settings are `settled`.

    Raises ValueError where what the configuration names returns no stepper of the layout. What a user's own code
    raises is not touched.
    """
    return _built(settings if states is None else settled(settings, layout, states), layout)


def settled(settings: PhysicalSettings, layout: Layout, states: Float[Tensor, "N T C *S"]) -> PhysicalSettings:
    """The settings with what the training data decide filled in: from these the simulator is built without data."""
    for name, suggest in suggested(simulator.find(settings.model)).items():
        if getattr(settings, name, name) is None:
            settings = settings.model_copy(update={name: suggest(partial(_built, settings, layout), layout, states)})
    return settings


def _built(settings: PhysicalSettings, layout: Layout, **changes: Any) -> Stepper:
    thing, solver = simulator.find(settings.model), layout.refined(settings.refine)
    given = {}
    for setting in simulator.settings(thing):
        try:
            given[setting.name] = as_argument(getattr(settings, setting.name), setting.annotation, solver)
        except ValueError as error:
            raise ValueError(f"physical.{setting.name}: {error}") from error
    if not simulator.takes(thing, "layout"):
        raise ValueError(f"{settings.model} takes no layout; write layout: Layout among its arguments.")
    for name, argument in given.items():
        if isinstance(argument, Parameter):
            _call(argument, name)
    stepper = thing(layout=solver, **{**given, **changes})
    _require_stepper(settings.model, stepper, solver)
    stepper = _rolled_out(stepper, settings.rollout)
    return stepper if settings.refine == 1 else Refined(stepper, layout, settings.refine)


def as_argument(value: Any, annotation: Any, layout: Layout) -> Any:
    """A setting as a class or function takes it: unknowns as parameters, all else as it is."""
    if isinstance(value, Component):
        return _parameter(value, layout)
    if isinstance(value, SourcePoints):
        return _at_points(value, layout)
    if not (isinstance(value, tuple) and value and all(isinstance(part, Component) for part in value)):
        return value
    if _alike(value) and get_origin(annotation) is not tuple:
        return _leaf(value[0], torch.tensor([part.initial for part in value]))
    return tuple(_parameter(part, layout) for part in value)


def _rolled_out(stepper: Stepper, settings: Rollout) -> Stepper:
    if settings.compile:
        if not isinstance(stepper, FiniteVolumeStepper):
            raise ValueError(
                "physical.rollout.compile is for finite volumes, whose stencils gain by it; "
                f"{type(stepper).__name__} is made otherwise: leave it false."
            )
        stepper = Compiled(stepper)
    if settings.checkpoint is None:
        return stepper
    return Checkpointed(stepper, None if settings.checkpoint == "sqrt" else settings.checkpoint)


def _parameter(settings: Component, layout: Layout) -> Parameter:
    if settings.grid is None:
        return _leaf(settings, settings.initial)
    if len(settings.grid) != layout.dims:
        raise ValueError(f"grid {list(settings.grid)} needs one number for each of the {layout.dims} axes.")
    if any(k > n for k, n in zip(settings.grid, layout.grid, strict=True)):
        raise ValueError(
            f"grid {list(settings.grid)} has more coefficients than the solver has points, "
            f"{list(layout.grid)}; choose fewer."
        )
    return CoarseField(_leaf(settings, torch.full(settings.grid, settings.initial)), layout)


def _alike(parts: Sequence[Component]) -> bool:
    """Whether these are one array, which is estimated as such."""
    return parts[0].grid is None and len({(part.bounds, part.grid, part.unit, part.fixed) for part in parts}) == 1


def _numbers(parts: Sequence[Component]) -> Parameter:
    if _alike(parts):
        return _leaf(parts[0], torch.tensor([part.initial for part in parts]))
    return Vector(*(_leaf(part, part.initial) for part in parts))


def _at_points(settings: SourcePoints, layout: Layout) -> Parameter:
    known = all(part.fixed for place in settings.points for part in place)
    if any(len(place) != layout.dims for place in settings.points) or len(settings.points) != len(settings.rates):
        raise ValueError(
            f"{len(settings.points)} points of {'/'.join(str(len(place)) for place in settings.points)} numbers and "
            f"{len(settings.rates)} rates do not fit; give each point {layout.dims} numbers and one rate."
        )
    rates = _numbers(settings.rates)
    if settings.width is not None:
        places = Vector(*(_numbers(place) for place in settings.points))
        return SpreadSources(rates, places, settings.width, layout)
    if known:
        return PointSources(rates, [[part.initial for part in place] for place in settings.points], layout)
    raise ValueError(
        "unknown places of points cannot be found: what the cells around share is no smooth function of them. Give a "
        f"width, of two cells or more, {2 * max(layout.spacing):.3g}."
    )


def _call(parameter: Parameter, name: str) -> None:
    """Wherever in the stepper it goes: people know it by the name that they set it by."""
    parameter.called = name
    if parameter.by_parts:
        for part, inside in parameter.named_children():
            if isinstance(inside, Parameter):
                _call(inside, f"{name}.{part}")


def _leaf(settings: Component, initial: float | Tensor) -> Parameter:
    if settings.fixed:
        return Known(initial, unit=settings.unit)
    if settings.bounds is None:
        return Positive(initial, unit=settings.unit)
    return Bounded(initial, *settings.bounds, unit=settings.unit)


def _require_stepper(model: str, stepper: object, layout: Layout) -> None:
    if not isinstance(stepper, Stepper):
        raise ValueError(
            f"{model} returned a {type(stepper).__name__}; it must return a cotwin.Stepper, such as a "
            "FunctionStepper, JaxStepper, ExternalStepper or PhiFlowStepper (docs/adapters.md)."
        )
    if stepper.layout != layout:
        raise ValueError(
            f"{model} returned a stepper of another layout, grid {stepper.layout.grid} and dt {stepper.layout.dt}; "
            f"it must use the one that it is given, grid {layout.grid} and dt {layout.dt}."
        )
