"""From settings to simulators, with their unknowns at their initial values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor

from cotwin.experiment.declared import suggested
from cotwin.experiment.learner_settings import PhysicalSettings, Rollout
from cotwin.experiment.outside import with_data
from cotwin.experiment.parameters import as_argument, name_parameter
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls
from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.registry import simulator
from cotwin.rollouts import Checkpointed, Compiled, Refined
from cotwin.stepper import Stepper


def build_physical(
    settings: PhysicalSettings,
    layout: Layout,
    states: Float[Tensor, "N T C *S"] | None = None,
    given: Sequence[Given] = (),
) -> Stepper:
    """The simulator. states, given: as `settled` takes them; not needed where the settings are.

    Raises ValueError where what the configuration names returns no stepper of the layout. What a user's own code
    raises is not touched.
    """
    return _built(settings if states is None else settled(settings, layout, states, given), layout)


def settled(
    settings: PhysicalSettings,
    layout: Layout,
    states: Float[Tensor, "N T C *S"],
    given: Sequence[Given] = (),
) -> PhysicalSettings:
    """The settings with what the data decide filled in: from these the simulator is built without data.

    states: of the training data. given: with the trajectories, those that train first.
    """
    begun = int(given[0].frame.max()) if given else 0
    settings = with_data(settings, given, (begun + states.shape[1] - 1) * layout.dt)
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
        named = argument if isinstance(argument, dict) else {name: argument}
        if isinstance(argument, tuple):
            named = {f"{name}.{place}": one for place, one in enumerate(argument)}
        for called, one in named.items():
            if isinstance(one, Parameter | Walls):
                name_parameter(one, called)
    stepper = thing(layout=solver, **{**given, **changes})
    _require_stepper(settings.model, stepper, solver)
    stepper = _rolled_out(stepper, settings.rollout)
    return stepper if settings.refine == 1 else Refined(stepper, layout, settings.refine)


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
