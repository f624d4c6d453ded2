"""A trained model rolled out from the states of a file or a dataset."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.initial import read_initial
from cotwin.data.room import require_room
from cotwin.data.trajectories import Trajectories
from cotwin.data.writing.write import require_new, write_trajectories
from cotwin.experiment.trained import TrainedRun, load_run
from cotwin.given import Course, Given
from cotwin.networks.surrogate import Surrogate
from cotwin.parameters import Condition, Grouped
from cotwin.stepper import rollout
from cotwin.training.hybrid import Role

if TYPE_CHECKING:
    import xarray as xr

logger = logging.getLogger(__name__)

STRANGE = 20.0
"""Standard deviations from the mean of the training data, beyond which no state like it was seen: sharp fronts and
noise stay below, other units do not."""


def predict(
    run: Path,
    role: Role,
    initial: Path,
    frame: int,
    steps: int,
    out: Path,
    axes: str | None = None,
    said: Mapping[str, float] = MappingProxyType({}),
) -> Trajectories:
    """What `roll_out` gives for a run, written to `out`, whose ending names the format.

    Raises RunError for a run that cannot be used, ValueError or OSError for files, DivergenceError.
    """
    require_new(out)
    predicted = roll_out(load_run(run), role, initial, steps, frame, axes, said)
    write_trajectories(out, predicted)
    return predicted


def roll_out(
    trained: TrainedRun,
    role: Role,
    initial: str | Path | xr.Dataset,
    steps: int,
    frame: int = 0,
    axes: str | None = None,
    said: Mapping[str, float] = MappingProxyType({}),
) -> Trajectories:
    """From one frame of every trajectory in `initial`, so many data intervals on; the start is the first state.

    initial: its fields by Cotwin's names, or by those that the run's own data have (`data.names`).
    axes: the order of the axes of the fields in `initial`, as for `open_trajectories`.
    said: numbers that the model has to be given, the same for all starts and times, in place of what the file says.

    A warning names channels that start far outside the data that a surrogate was trained on.

    Raises RunError for a model that the run has not, ValueError or OSError for the file, DivergenceError.
    """
    model = trained.model(role)
    names = getattr(trained.settings.data, "names", {})
    states, given = read_initial(initial, trained.layout, frame, axes, model.needs, names)
    start, given = states.to(trained.precision), _for_all(given, said, steps).to(trained.precision)
    given.require(model.needs, steps)
    shape = (len(start), steps + 1, *start.shape[1:])
    require_room(
        shape, start.element_size(), "what is to be predicted", "take fewer steps at a time, each from the last"
    )
    if isinstance(model, Surrogate):
        _warn_of_strangers(start, model)
        for told in model.told.strange(given) if model.told is not None else ():
            logger.warning("%s: the surrogate was never told anything like it. Take --model physical.", told)
    for one in model.modules():
        if type(one) is Condition and bool((one.known(given) * one.largest < 0).any()):
            logger.warning("%s has another sign than in the training data, where it was %.4g.", one.name, one.largest)
    if any(isinstance(one, Grouped) for one in model.modules()):
        logger.warning("Unknowns that differ between trajectories have their common centre: the starts are of none.")
    with torch.no_grad():
        states = rollout(model, start, steps, given)
    return Trajectories(states, trained.layout, source=f"the {role} model of {trained.path}", given=given)


def _for_all(given: Given, said: Mapping[str, float], steps: int) -> Given:
    """With numbers for all samples and times; none of the samples is of a trajectory of the training data."""
    if strange := [name for name, value in said.items() if not math.isfinite(value)]:
        raise ValueError(f"{', '.join(strange)} has to be a finite number.")
    count = len(given)
    numbers = {name: torch.full((count,), value) for name, value in said.items()}
    courses = {name: Course(torch.full((count, steps + 1), value)) for name, value in said.items()}
    return Given(torch.full((count,), -1), given.frame, {**given.conditions, **numbers}, {**given.inputs, **courses})


def _warn_of_strangers(start: Float[Tensor, "N C *S"], surrogate: Surrogate) -> None:
    over_grid = (-1, *(1 for _ in surrogate.layout.grid))
    away = (start - surrogate.mean.view(over_grid)).abs() / surrogate.scale.view(over_grid)
    for name, largest in zip(surrogate.layout.channel_names, away.transpose(0, 1).flatten(1).amax(1), strict=True):
        if largest > STRANGE:
            logger.warning(
                "%s starts up to %.3g standard deviations from the mean of the training data: the surrogate has seen "
                "nothing like it. Check its units, or take --model physical.",
                name,
                largest,
            )
