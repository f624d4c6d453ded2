"""From settings and data to the estimation of the simulator alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cotwin.estimation import (
    Discrepancy,
    EnsembleKalman,
    LeastSquares,
    Measurements,
    NoisyStarts,
    estimate,
    levenberg_marquardt,
)
from cotwin.estimation.admitted import admit
from cotwin.estimation.bootstrap import resample
from cotwin.estimation.calibration import Calibration, Drawing, Resampling, calibrate
from cotwin.estimation.estimation import Estimation
from cotwin.estimation.finer_fields import with_finer_fields
from cotwin.estimation.levels import with_unsure_levels
from cotwin.estimation.levenberg_marquardt import Search
from cotwin.estimation.pooled import with_unsure_spreads
from cotwin.estimation.posterior.sampling import require_sampled
from cotwin.estimation.priors import Prior
from cotwin.estimation.stages import UNSEEN, Stages
from cotwin.estimation.start_noise import with_noise_of_starts
from cotwin.experiment import estimation_settings as settings_of
from cotwin.experiment.build import build_store
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.device import find_device
from cotwin.experiment.filled import fill
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.measuring import measure
from cotwin.experiment.part import part_in_memory
from cotwin.experiment.priors import build_priors
from cotwin.experiment.resolution import Resolved, Solving, resolved
from cotwin.experiment.settings import Experiment
from cotwin.experiment.simulators import build_physical
from cotwin.given import Given
from cotwin.parameters import Elementwise, estimates
from cotwin.seeds import torch_seeded
from cotwin.sensors import Sensors
from cotwin.stepper import Stepper
from cotwin.windows.start_states import Places


@dataclass(frozen=True)
class Task:
    """An estimation, built but not yet run.

    places: of which trajectory each start is, and which frame. The training trajectories come first; held-out ones
    whose starts are estimated with them follow.
    recorded: the first rollout's states as measured, nan where they were not, (T, C, *S).
    sensors: what was read along the rollouts, in the order of the measurements; None where states were measured.
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
    sensors: Sensors | None = None


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
    data = part_in_memory(data, experiment.estimation, stepper)
    measured = measure(experiment.estimation, data, stepper)
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
        experiment,
        data,
        stepper,
        priors,
        starts,
        measured.places,
        measurements,
        given,
        measured.recorded,
        said,
        measured.sensors,
    )


def searched(task: Task, stages: Stages = UNSEEN) -> Estimation:
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


def estimated(task: Task, stages: Stages = UNSEEN) -> Resolved:
    """The estimate, and whether grid and time steps suit its intervals; repeated or moved where they do not."""
    found = searched(task, stages)
    stages.say("estimated; grid and time steps are looked at")
    found = with_finer_fields(with_unsure_levels(with_noise_of_starts(with_unsure_spreads(found))))
    solving = Solving(task.experiment.physical, task.data, task.experiment.data, found, stages)
    return resolved(solving, task.experiment.estimation.resolution)


def run(task: Task, stages: Stages = UNSEEN) -> Calibration:
    """Estimate, and look how well the simulator does then, and whether grid and time steps suit the intervals."""
    settings, data, seed = task.experiment.estimation, task.data, task.experiment.seed
    before = None if task.stepper.effort is None else replace(task.stepper.effort)
    resolution = estimated(task, stages)
    effort = None if before is None or task.stepper.effort is None else task.stepper.effort.since(before)
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
