"""From settings and data to the estimation of the simulator alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation import (
    Discrepancy,
    EnsembleKalman,
    Grid,
    LeastSquares,
    Measurements,
    NoisyStarts,
    estimate,
    levenberg_marquardt,
)
from cotwin.estimation.admitted import admit
from cotwin.estimation.bootstrap import resample
from cotwin.estimation.calibration import Calibration, Drawing, Resampling, calibrate
from cotwin.estimation.estimation import Estimation as Found
from cotwin.estimation.finer_fields import with_finer_fields
from cotwin.estimation.levenberg_marquardt import Search
from cotwin.estimation.measurements import start_modes
from cotwin.estimation.pooled import with_unsure_spreads
from cotwin.estimation.posterior.sampling import require_sampled
from cotwin.estimation.priors import Prior
from cotwin.estimation.stages import UNSEEN, Stages
from cotwin.estimation.start_noise import with_noise_of_starts
from cotwin.experiment import estimation_settings as settings_of
from cotwin.experiment.build import build_store
from cotwin.experiment.dataset import Dataset, load_dataset
from cotwin.experiment.device import find_device
from cotwin.experiment.estimation_settings import Estimation
from cotwin.experiment.filled import fill
from cotwin.experiment.holes import shows_all
from cotwin.experiment.instants import InWindows, shown, uneven
from cotwin.experiment.measured_starts import apart, correlation_length, filled, noisy_starts
from cotwin.experiment.priors import build_priors
from cotwin.experiment.resolution import Solving, resolved
from cotwin.experiment.settings import Experiment
from cotwin.experiment.simulators import build_physical
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.parameters import Elementwise, estimates
from cotwin.seeds import torch_seeded
from cotwin.stepper import Stepper
from cotwin.windows.start_states import Places

MOST_IN_A_START = 512
"""Numbers in a start up to which it is estimated unless asked otherwise: each costs two rollouts an iteration."""


@dataclass(frozen=True)
class Task:
    """An estimation, built but not yet run.

    places: of which trajectory each start is, and which frame. The training trajectories come first; held-out ones
    whose starts are estimated with them follow.
    recorded: the first rollout's states as measured, nan where they were not, (T, C, *S).
    """

    experiment: Experiment
    data: Dataset
    stepper: Stepper
    priors: dict[str, Prior]
    starts: Tensor | NoisyStarts
    places: Places
    measurements: Measurements
    given: Given
    recorded: Tensor
    notes: list[str]


def prepare(experiment: Experiment) -> Task:
    """Build everything, so that every mistake in settings or data shows before anything runs.

    Raises ValueError or OSError with the cure.
    """
    if experiment.threads is not None:
        torch.set_num_threads(experiment.threads)
    store = build_store(experiment.store)
    task = with_data(experiment, load_dataset(experiment.data, experiment.physical, experiment.seed, store))
    if not estimates(task.stepper):
        raise ValueError(
            "physical has no unknown, all parameters are fixed; set fixed: false for those that are to be estimated."
        )
    return task


def with_data(experiment: Experiment, data: Dataset) -> Task:
    """The same from data that are loaded already. Raises ValueError with the cure."""
    device = find_device(experiment.device)
    with torch_seeded(experiment.seed):
        stepper = build_physical(experiment.physical, data.layout, data.train.states, data.given).to(device)
    measured = _measured(experiment.estimation, data, stepper)
    starts, measurements, given, notes = measured.starts, measured.measurements, measured.given, measured.notes
    priors = build_priors(experiment.known_beforehand, stepper)
    problem = LeastSquares(stepper, starts, measurements, priors, given)
    settings = experiment.estimation
    if settings.search == "ensemble_kalman":
        EnsembleKalman(members=settings.members).first(problem, problem.present()[0])
    admit(problem, _discrepancy(settings.discrepancy), None)
    if settings.bootstrap:
        resample(problem, 1, settings.block, seed=0)
    if settings.posterior:
        require_sampled(problem, settings.posterior, settings.chains)
    if settings.profile and not any(isinstance(one, Elementwise) for one in problem.unknowns.parameters.values()):
        notes.append("There are no profiles: no unknown is a number of its own.")
    said = [*data.notes, *notes]
    return Task(
        experiment, data, stepper, priors, starts, measured.places, measurements, given, measured.recorded, said
    )


@dataclass(frozen=True)
class _Measured:
    """The starts of windows of the training data, what is measured along and given with them, and notes.

    places: where they start. recorded: the first as measured.
    """

    starts: Tensor | NoisyStarts
    places: Places
    measurements: Measurements
    given: Given
    recorded: Float[Tensor, "T C *S"]
    notes: list[str]


def _measured(settings: Estimation, data: Dataset, stepper: Stepper) -> _Measured:
    layout, unseen = data.layout, data.unseen
    seen = (data.train if unseen is None else unseen.seen).at_their_times()
    length = _length(settings.start_length, filled(seen.states, seen.mask)[:, 0], seen.mask, layout)
    in_a_start = len(start_modes(layout, length)) * layout.static_channels.count(False)
    few = in_a_start <= MOST_IN_A_START and stepper.differentiable and settings.search != "ensemble_kalman"
    estimated = settings.starts == "estimated" or (settings.starts == "auto" and (few or unseen is not None))
    if unseen is not None:
        _require_estimated(estimated, settings)
    steps = data.steps(settings.window, "estimation.window")
    # A frame is seen once: as the first of a window where starts are estimated, else as the last of the one before.
    stride, begun = (steps + 1, 0) if estimated else (steps, 1)
    states = _windows(seen.states, steps, stride)
    mask = None if seen.mask is None else _windows(seen.mask, steps, stride)
    firsts = torch.arange(0, seen.num_frames - steps, stride)
    places = Places(torch.arange(len(seen)).repeat_interleave(len(firsts)), firsts.repeat(len(seen)))
    between = None if seen.between is None else InWindows.cut(seen.between, steps, stride, len(firsts))
    if mask is not None:
        kept = shown(mask, begun, between, layout)
        if unseen is not None:
            kept = kept | (places.frames == 0)
        states, mask, places = states[kept], mask[kept], Places(places.rows[kept], places.frames[kept])
        between = None if between is None else between.of(kept)
    given = seen.given.window(places.rows, places.frames, steps)
    if between is None:
        grid = Grid(layout, len(states), steps, mask, first=begun)
        measurements = Measurements(grid, grid(states).double(), settings.noise)
    else:
        measurements = uneven(layout, states, mask, between, begun, settings.noise)
    recorded = states[0] if mask is None else torch.where(mask[0], states[0], torch.nan)
    notes = [_about_starts(settings.starts, estimated, in_a_start)]
    if settings.starts == "auto" and not estimated and not stepper.differentiable:
        notes = [_about_cost(in_a_start, len(states), steps)]
    left_over = (seen.num_frames - steps - 1) % stride
    if left_over:
        notes.append(
            f"The last {left_over} of {seen.num_frames} frames are not used: windows of {steps} steps end before."
        )
    if estimated:
        hidden = {} if unseen is None else unseen.hidden
        starts = noisy_starts(states, mask, layout, length, settings.start_length is None, hidden)
        return _Measured(starts, places, measurements, given, recorded, notes)
    if mask is not None and not bool(shows_all(mask[:, :1], layout).all()):
        raise ValueError(
            "some windows start from a state of which a field is not observed at all; estimate it: "
            "estimation.starts=estimated."
        )
    return _Measured(states[:, 0].double(), places, measurements, given, recorded, notes)


def _require_estimated(estimated: bool, settings: Estimation) -> None:
    """Raise ValueError where starts that nobody has seen are not to be estimated."""
    if not estimated:
        raise ValueError("estimation.starts: nobody has seen them, so they cannot be exact; leave it out.")
    if settings.search == "ensemble_kalman":
        raise ValueError(
            "estimation.search: an ensemble takes starts as measured, and here they have to be estimated; leave it "
            "out, or interpolate starts: data.filling=interpolated."
        )


def searched(task: Task, stages: Stages = UNSEEN) -> Found:
    """The estimate, before anything else is asked about it."""
    settings = task.experiment.estimation
    return estimate(
        task.stepper,
        task.starts,
        task.measurements,
        priors=task.priors,
        points=settings.points,
        search=_search(task.experiment),
        level=settings.level,
        seed=task.experiment.seed,
        discrepancy=_discrepancy(settings.discrepancy),
        given=task.given,
        stages=stages,
    )


def run(task: Task, stages: Stages = UNSEEN) -> Calibration:
    """Estimate, and look how well the simulator does then, and whether grid and time steps suit the intervals."""
    settings, data, seed = task.experiment.estimation, task.data, task.experiment.seed
    before = None if task.stepper.effort is None else replace(task.stepper.effort)
    found = searched(task, stages)
    stages.say("estimated; grid and time steps are looked at")
    found = with_finer_fields(with_noise_of_starts(with_unsure_spreads(found)))
    effort = None if before is None or task.stepper.effort is None else task.stepper.effort.since(before)
    solving = Solving(task.experiment.physical, data, task.experiment.data, found, stages)
    resolution = resolved(solving, settings.resolution)
    stages.say("errors on held-out data, and whatever else was asked for")
    if data.unseen is not None:
        data = fill(data, task.places, resolution.solving.found).of(data)
    return calibrate(
        resolution.solving.found,
        task.stepper,
        data.validation,
        data.test,
        numerics=resolution.numerics,
        changes=resolution.changes,
        profiles=settings.profile,
        resampling=Resampling(settings.bootstrap, settings.block) if settings.bootstrap else None,
        drawing=Drawing(settings.posterior, settings.chains) if settings.posterior else None,
        truth=data.truth,
        effort=effort,
        seed=seed,
        stages=stages,
    )


def _search(experiment: Experiment) -> Search | None:
    settings = experiment.estimation
    if settings.search == "ensemble_kalman":
        return EnsembleKalman(members=settings.members, seed=experiment.seed)
    return levenberg_marquardt if settings.search == "levenberg_marquardt" else None


def _discrepancy(settings: settings_of.Discrepancy | None) -> Discrepancy | None:
    return None if settings is None else Discrepancy(settings.deviation, settings.length, settings.duration)


def _length(
    asked: float | None, first: Float[Tensor, "B C *S"], mask: Bool[Tensor, "B T C *S"] | None, layout: Layout
) -> float:
    """Over which the starts' neighbours are alike; where to begin if that is left to the data."""
    if asked is not None:
        return asked
    if mask is not None:
        # Of a point at which nothing is ever seen nothing can be said.
        first = torch.where(mask.any(dim=1), first, torch.nan)
    closest = min(lag * one for lag, one in zip(apart(first, layout), layout.spacing, strict=True))
    return max(correlation_length(first, layout), closest)


def _windows(states: Tensor, steps: int, stride: int) -> Tensor:
    """Windows of steps + 1 frames, one after the other: (N, T, …) -> (N · windows, steps + 1, …)."""
    return states.unfold(1, steps + 1, stride).movedim(-1, 2).flatten(0, 1).contiguous()


def _about_starts(asked: str, estimated: bool, size: int) -> str:
    if estimated:
        return "The initial states are estimated with the parameters."
    if asked == "exact":
        return "The initial states are taken as measured."
    return (
        f"The initial states are taken as measured, since {size} numbers in each are many to estimate. Their noise "
        "biases the estimates; estimation.starts=estimated estimates them all the same."
    )


def _about_cost(size: int, starts: int, steps: int) -> str:
    return (
        "The initial states are taken as measured, and their noise biases the estimates: to estimate them "
        f"(estimation.starts=estimated) would take {size:,} more rollouts from each of {starts:,} starts for an "
        f"iteration with new derivatives, {size * starts * steps:,} intervals of the data that the program computes."
    )
