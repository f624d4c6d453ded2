"""From settings and data to the estimation of the simulator alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
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
from cotwin.experiment.holes import shows_all
from cotwin.experiment.instants import InWindows, shown, uneven
from cotwin.experiment.measured_starts import correlation_length, filled, noisy_starts
from cotwin.experiment.priors import build_priors
from cotwin.experiment.resolution import Solving, resolved
from cotwin.experiment.settings import Experiment
from cotwin.experiment.simulators import build_physical
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.parameters import Elementwise, estimates
from cotwin.seeds import torch_seeded
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
    return with_data(experiment, load_dataset(experiment.data, experiment.physical, experiment.seed, store))


def with_data(experiment: Experiment, data: Dataset) -> Task:
    """The same from data that are loaded already. Raises ValueError with the cure."""
    device = find_device(experiment.device)
    with torch_seeded(experiment.seed):
        stepper = build_physical(experiment.physical, data.layout, data.train.states, data.given).to(device)
    if not estimates(stepper):
        raise ValueError(
            "physical has no unknown, all parameters are fixed; set fixed: false for those that are to be estimated."
        )
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
    return Task(
        experiment, data, stepper, priors, starts, measurements, given, measured.recorded, [*data.notes, *notes]
    )


@dataclass(frozen=True)
class _Measured:
    """The starts of windows of the training data, what is measured along and given with them, and notes.

    recorded: the first as measured.
    """

    starts: Tensor | NoisyStarts
    measurements: Measurements
    given: Given
    recorded: Float[Tensor, "T C *S"]
    notes: list[str]


def _measured(settings: Estimation, data: Dataset, stepper: Stepper) -> _Measured:
    train = data.train.at_their_times()
    first = filled(train.states, train.mask)[:, 0]
    length = _length(settings.start_length, first, train.layout)
    in_a_start = len(start_modes(train.layout, length)) * train.layout.static_channels.count(False)
    few = in_a_start <= MOST_IN_A_START and stepper.differentiable and settings.search != "ensemble_kalman"
    estimated = settings.starts == "estimated" or (settings.starts == "auto" and few)
    steps = data.steps(settings.window, "estimation.window")
    # A frame is seen once: as the first of a window where starts are estimated, else as the last of the one before.
    stride = steps + 1 if estimated else steps
    states = _windows(train.states, steps, stride)
    mask = None if train.mask is None else _windows(train.mask, steps, stride)
    firsts = torch.arange(0, train.num_frames - steps, stride)
    given = train.given.window(
        torch.arange(len(train)).repeat_interleave(len(firsts)), firsts.repeat(len(train)), steps
    )
    begun = 0 if estimated else 1
    between = None if train.between is None else InWindows.cut(train.between, steps, stride, len(firsts))
    if mask is not None:
        kept = shown(mask, begun, between, train.layout)
        states, mask, given = states[kept], mask[kept], given.rows(kept.nonzero().flatten())
        between = None if between is None else between.of(kept)
    if between is None:
        grid = Grid(train.layout, len(states), steps, mask, first=begun)
        measurements = Measurements(grid, grid(states).double(), settings.noise)
    else:
        measurements = uneven(train.layout, states, mask, between, begun, settings.noise)
    recorded = states[0] if mask is None else torch.where(mask[0], states[0], torch.nan)
    notes = [_about_starts(settings.starts, estimated, in_a_start)]
    if settings.starts == "auto" and not stepper.differentiable:
        notes = [_about_cost(in_a_start, len(states), steps)]
    left_over = (train.num_frames - steps - 1) % stride
    if left_over:
        notes.append(
            f"The last {left_over} of {train.num_frames} frames are not used: windows of {steps} steps end before."
        )
    if estimated:
        starts = noisy_starts(states, mask, train.layout, length, adapt=settings.start_length is None)
        return _Measured(starts, measurements, given, recorded, notes)
    if mask is not None and not bool(shows_all(mask[:, :1], train.layout).all()):
        raise ValueError(
            "some windows start from a state of which a field is not observed at all; estimate it: "
            "estimation.starts=estimated."
        )
    return _Measured(states[:, 0].double(), measurements, given, recorded, notes)


def run(task: Task, stages: Stages = UNSEEN) -> Calibration:
    """Estimate, and look how well the simulator does then, and whether grid and time steps suit the intervals."""
    settings, data, seed = task.experiment.estimation, task.data, task.experiment.seed
    before = None if task.stepper.effort is None else replace(task.stepper.effort)
    found = estimate(
        task.stepper,
        task.starts,
        task.measurements,
        priors=task.priors,
        points=settings.points,
        search=_search(task.experiment),
        level=settings.level,
        seed=seed,
        discrepancy=_discrepancy(settings.discrepancy),
        given=task.given,
        stages=stages,
    )
    stages.say("estimated; grid and time steps are looked at")
    found = with_finer_fields(with_noise_of_starts(with_unsure_spreads(found)))
    effort = None if before is None or task.stepper.effort is None else task.stepper.effort.since(before)
    solving = Solving(task.experiment.physical, data, task.experiment.data, found, stages)
    resolution = resolved(solving, settings.resolution)
    stages.say("errors on held-out data, and whatever else was asked for")
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


def _length(asked: float | None, first: Tensor, layout: Layout) -> float:
    """Over which the starts' neighbours are alike; where to begin if that is left to the data."""
    return max(correlation_length(first, layout), min(layout.spacing)) if asked is None else asked


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
