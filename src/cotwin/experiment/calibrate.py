"""From settings and data to the estimation of the simulator alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.calibration import Calibration, Resampling, calibrate
from cotwin.estimation import Grid, Measurements, NoisyStarts
from cotwin.estimation.priors import Prior
from cotwin.experiment.build import build_store
from cotwin.experiment.dataset import Dataset, load_dataset
from cotwin.experiment.prior_settings import build_priors
from cotwin.experiment.settings import Experiment
from cotwin.experiment.simulators import build_physical
from cotwin.stepper import Stepper

MOST_IN_A_START = 512
"""Numbers in a start up to which it is estimated unless asked otherwise: each costs two rollouts an iteration."""


@dataclass(frozen=True)
class Task:
    """An estimation, built but not yet run.

    recorded: the first rollout's states as measured, nan where they were not, (T, C, *S).
    """

    experiment: Experiment
    data: Dataset
    stepper: Stepper
    priors: dict[str, Prior]
    starts: Tensor | NoisyStarts
    measurements: Measurements
    recorded: Tensor
    notes: list[str]


def prepare(experiment: Experiment) -> Task:
    """Build everything, so that every mistake in settings or data shows before anything runs.

    Raises ValueError or OSError with the cure.
    """
    if experiment.threads is not None:
        torch.set_num_threads(experiment.threads)
    data = load_dataset(experiment.data, experiment.physical, experiment.seed, build_store(experiment.store))
    stepper = build_physical(experiment.physical, data.layout, data.train.states)
    settings, train = experiment.estimation, data.train
    in_a_start = math.prod(train.layout.grid) * train.layout.static_channels.count(False)
    estimated = settings.starts == "estimated" or (settings.starts == "auto" and in_a_start <= MOST_IN_A_START)
    steps = train.num_frames - 1 if settings.window == "full" else settings.window
    if steps >= train.num_frames:
        raise ValueError(
            f"estimation.window: {steps} steps need {steps + 1} frames, the training trajectories have "
            f"{train.num_frames}; use at most {train.num_frames - 1}, or full."
        )
    # A frame is seen once: as the first of a window where starts are estimated, else as the last of the one before.
    stride = steps + 1 if estimated else steps
    states = _windows(train.states, steps, stride)
    mask = None if train.mask is None else _windows(train.mask, steps, stride)
    observation = Grid(train.layout, len(states), steps, mask, first=0 if estimated else 1)
    measurements = Measurements(observation, observation(states).double(), settings.noise)
    notes = [*data.notes, _about_starts(settings.starts, estimated, in_a_start)]
    recorded = states[0] if mask is None else torch.where(mask[0], states[0], torch.nan)
    starts: Tensor | NoisyStarts
    if estimated:
        starts = NoisyStarts(_filled(states, mask)[:, 0].double(), _spread(train.states, train.mask))
    else:
        if mask is not None and not bool(mask[:, 0].all()):
            raise ValueError(
                "some windows start from a state that is not wholly observed; estimate it: "
                "estimation.starts=estimated."
            )
        starts = states[:, 0].double()
    priors = build_priors(experiment.priors, stepper)
    return Task(experiment, data, stepper, priors, starts, measurements, recorded, notes)


def run(task: Task) -> Calibration:
    """Estimate, and look how well the simulator does then."""
    settings, data, seed = task.experiment.estimation, task.data, task.experiment.seed
    return calibrate(
        task.stepper,
        task.starts,
        task.measurements,
        task.priors,
        data.validation,
        data.test,
        points=settings.points,
        level=settings.level,
        profiles=settings.profile,
        resampling=Resampling(settings.bootstrap, settings.block) if settings.bootstrap else None,
        truth=data.truth,
        seed=seed,
    )


def _windows(states: Tensor, steps: int, stride: int) -> Tensor:
    """Windows of steps + 1 frames, one after the other: (N, T, …) -> (N · windows, steps + 1, …)."""
    return states.unfold(1, steps + 1, stride).movedim(-1, 2).flatten(0, 1).contiguous()


def _filled(states: Float[Tensor, "B T C *S"], mask: Bool[Tensor, "B T C *S"] | None) -> Float[Tensor, "B T C *S"]:
    """Where nothing was seen, what was seen there next, or last, else the mean of the channel: to begin with."""
    if mask is None:
        return states
    filled, known = states.clone(), mask.clone()
    for order in (range(states.shape[1] - 2, -1, -1), range(1, states.shape[1])):
        for step in order:
            other = step + 1 if order.step < 0 else step - 1
            missing = ~known[:, step] & known[:, other]
            filled[:, step] = torch.where(missing, filled[:, other], filled[:, step])
            known[:, step] |= missing
    seen = torch.where(mask, states, 0.0).transpose(0, 2).flatten(1).double()
    mean = seen.sum(dim=1) / mask.transpose(0, 2).flatten(1).sum(dim=1).clamp(min=1)
    return torch.where(known, filled, mean.to(states).view(-1, *[1] * (states.dim() - 3)))


def _spread(states: Float[Tensor, "N T C *S"], mask: Bool[Tensor, "N T C *S"] | None) -> Float[Tensor, " C"]:
    """Standard deviation of each channel over all that was seen; one for a channel that is the same everywhere."""
    values = states.transpose(0, 2).flatten(1).double()
    seen = torch.ones_like(values) if mask is None else mask.transpose(0, 2).flatten(1).double()
    values = torch.where(seen > 0, values, 0.0)
    count = seen.sum(dim=1, keepdim=True).clamp(min=1)
    mean = values.sum(dim=1, keepdim=True) / count
    deviation = ((values - mean).square() * seen).sum(dim=1).div(count[:, 0]).sqrt()
    return torch.where(deviation > 0, deviation, 1.0)


def _about_starts(asked: str, estimated: bool, size: int) -> str:
    if estimated:
        return "The initial states are estimated with the parameters."
    if asked == "exact":
        return "The initial states are taken as measured."
    return (
        f"The initial states are taken as measured, since {size} numbers in each are many to estimate; noise in them "
        "biases what smooths it (estimation.starts=estimated estimates them all the same)."
    )
