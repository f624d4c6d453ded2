"""One cell of a comparison: an arm, trained on the data of a seed, and scored on what chose nothing."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch

from cotwin.data.several import together
from cotwin.experiment.build import build_alpha, build_hybrid, build_store
from cotwin.experiment.calibrate import estimated, searched, with_data
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.filled import fill
from cotwin.experiment.forward import forward_costs
from cotwin.experiment.load import validate
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.settings import Experiment, FileData
from cotwin.parameters import estimates
from cotwin.seeds import seed_of
from cotwin.stepper import DivergenceError, Stepper
from cotwin.store.store import Store
from cotwin.study.outcome import Outcome, Scored
from cotwin.training.alpha import fixed
from cotwin.training.hybrid import HybridTrainer, Role
from cotwin.training.safe_steps import TrainingDivergedError

ArmName = Literal["simulator alone", "surrogate alone", "null", "distilled", "together"]
LOST = Scored(math.inf, math.inf, [])
ANOTHER_ORDER, FURTHER = 1, 2
"""What other random numbers than a run's own are seeded by, beside its seed."""


class Cell(NamedTuple):
    """settings: of the run, as JSON, with its seed; all that decides the outcome, with what follows.

    trajectories: that train, where it is another number than the settings'.
    """

    settings: str
    arm: ArmName
    trajectories: int | None = None


@dataclass(frozen=True)
class Problem:
    """What a cell's arm starts from. simulator: calibrated, where states had to be estimated with it; else None."""

    experiment: Experiment
    data: Dataset
    store: Store
    simulator: Stepper | None = None


@dataclass(frozen=True)
class Trained:
    """fixed: seconds of processor time that calibrating took. lost: which model diverged in training, and why."""

    hybrid: HybridTrainer
    fixed: float = 0.0
    lost: Mapping[Role, str] = field(default_factory=dict)


def work(cell: Cell) -> Outcome:
    """Train and score. Divergence is an outcome; raises ValueError or OSError for mistakes in settings or data."""
    experiment = validate(json.loads(cell.settings))
    torch.set_num_threads(experiment.threads or 1)
    store = build_store(experiment.store)
    data = sized(load_dataset(experiment.data, experiment.physical, experiment.seed, store), cell, experiment, store)
    roles, problem, shared = ROLES[cell.arm], Problem(experiment, data, store), 0.0
    _warm_up(problem, roles)
    begun = time.process_time()
    try:
        problem = _filled(problem)
        shared = time.process_time() - begun
        trained = ARMS[cell.arm](problem)
    except DivergenceError as error:
        never, nothing = dict.fromkeys(roles, LOST), dict.fromkeys(roles, math.inf)
        seconds, steps = time.process_time() - begun, dict.fromkeys(roles, 0)
        return Outcome(never, nothing, {}, steps, seconds, shared=shared, memory=_memory(), notes=[str(error)])
    seconds = time.process_time() - begun
    trainers = {role: trained.hybrid.learners[role].trainer for role in roles}
    models = {role: trainer.best() for role, trainer in trainers.items()}
    whole = cell.arm == "together" and not trained.lost
    return Outcome(
        scores={
            role: LOST if role in trained.lost else _scored(model, problem.data) for role, model in models.items()
        },
        validation={role: trainer.best_error for role, trainer in trainers.items()},
        missed=_missed(models["physical"], data) if "physical" in models else {},
        steps={role: trainer.steps_done for role, trainer in trainers.items()},
        seconds=seconds,
        fixed=trained.fixed,
        shared=shared,
        memory=_memory(),
        notes=list(trained.lost.values()),
        forward=forward_costs(experiment.physical, problem.data, models) if whole else None,
        estimated=_estimated(models["physical"]) if "physical" in models else {},
    )


def _warm_up(problem: Problem, roles: tuple[Role, ...]) -> None:
    """A step of each model, thrown away: a new process begins slowly, which is no cost of training."""
    if problem.data.unseen is not None:
        return  # to estimate those takes long enough
    hybrid = build_hybrid(problem.experiment, problem.data, problem.store, fixed(0.0))
    with suppress(DivergenceError, TrainingDivergedError):
        for learner in (hybrid.learners[role] for role in roles):
            learner.trainer.fit(learner.real, 1)


def _filled(problem: Problem) -> Problem:
    """With the states that the calibrated simulator gives, where nobody has seen those that rollouts start from."""
    if problem.data.unseen is None:
        return problem
    task = with_data(problem.experiment, problem.data)
    found = searched(task)
    simulator = found.stepper.to(problem.data.train.states.dtype)
    return replace(problem, data=fill(task.data, task.places, found).of(task.data), simulator=simulator)


def _alone(problem: Problem, role: Role, order: int = 0) -> Trained:
    hybrid = build_hybrid(problem.experiment, problem.data, problem.store, fixed(0.0))
    if order:
        trainer = hybrid.learners[role].trainer
        trainer.seed = seed_of(problem.experiment.seed, order)
    return _run(hybrid, problem.experiment, (role,))


def _together(problem: Problem) -> Trained:
    experiment = problem.experiment
    alpha = build_alpha(experiment.hybrid.alpha, experiment.hybrid.cycles)
    return _run(build_hybrid(experiment, problem.data, problem.store, alpha), experiment, ("synthetic", "physical"))


def _distilled(problem: Problem) -> Trained:
    """The simulator as `cotwin estimate` calibrates it teaches from the first step on; equal steps in all."""
    begun = time.process_time()
    simulator = calibrated(problem)
    seconds = time.process_time() - begun
    own, cycles = problem.experiment.synthetic, problem.experiment.hybrid.cycles
    # What does not go into equal cycles is a warm-up of some steps.
    steps, rest = divmod(own.warmup_steps + cycles * own.steps, cycles)
    synthetic = own.model_copy(update={"steps": steps, "warmup_steps": rest})
    experiment = problem.experiment.model_copy(update={"synthetic": synthetic})
    alpha = build_alpha(experiment.hybrid.alpha, cycles)
    hybrid = build_hybrid(experiment, problem.data, problem.store, alpha, simulator)
    hybrid.learners["physical"].trainer.validate()
    return replace(_run(hybrid, experiment, ("synthetic",)), fixed=seconds)


def calibrated(problem: Problem) -> Stepper:
    """The simulator with the best fit of `cotwin estimate`; as it is where nothing is unknown."""
    if problem.simulator is not None:
        return problem.simulator.requires_grad_(False)
    task = with_data(problem.experiment, problem.data)
    found = estimated(task).solving.found.stepper if estimates(task.stepper) else task.stepper
    return found.to(problem.data.train.states.dtype).requires_grad_(False)


def _run(hybrid: HybridTrainer, experiment: Experiment, roles: tuple[Role, ...]) -> Trained:
    for phase in hybrid.phases(experiment.hybrid.cycles):
        if phase.learner in roles:
            torch.manual_seed(seed_of(experiment.seed, phase.cycle + 1, *phase.learner.encode()))
            try:
                hybrid.advance(phase)
            except TrainingDivergedError as error:
                return Trained(hybrid, lost={phase.learner: str(error)})
    return Trained(hybrid)


ARMS: dict[ArmName, Callable[[Problem], Trained]] = {
    "simulator alone": lambda problem: _alone(problem, "physical"),
    "surrogate alone": lambda problem: _alone(problem, "synthetic"),
    "null": lambda problem: _alone(problem, "synthetic", ANOTHER_ORDER),
    "distilled": _distilled,
    "together": _together,
}
ROLES: dict[ArmName, tuple[Role, ...]] = {
    "simulator alone": ("physical",),
    "surrogate alone": ("synthetic",),
    "null": ("synthetic",),
    "distilled": ("physical", "synthetic"),
    "together": ("physical", "synthetic"),
}


def sized(data: Dataset, cell: Cell, experiment: Experiment, store: Store) -> Dataset:
    """With another number of training trajectories, where the cell says one; what is held out stays as it is.

    Of a file those that it has; of simulated data some of those that there are, or further ones of another seed.
    """
    count = cell.trajectories
    if count is None:
        return data
    settings, seed = experiment.data, experiment.seed
    if isinstance(settings, FileData):
        own = load_dataset(settings.model_copy(update={"train": count}), experiment.physical, seed, store)
        if len(own.train.numbers) != count:
            raise ValueError(
                f"{data.train.source}: there are no {count} whole trajectories to train with, since they are divided "
                "in time; leave the curve out."
            )
        return replace(own, validation=data.validation, test=data.test)
    there = len(data.train)
    if count <= there:
        return replace(data, train=data.train.select(slice(count)))
    further = settings.model_copy(update={"train": count - there, "validation": 1, "test": 1})
    more = load_dataset(further, experiment.physical, seed_of(seed, FURTHER), store)
    return replace(data, train=together([data.train, more.train], data.train.source))


def _scored(model: Stepper, data: Dataset) -> Scored:
    errors = (data.validation if data.test is None else data.test).measure(model)
    return Scored(errors.nrmse, errors.vrmse, errors.nrmse_of_trajectories)


def _estimated(model: Stepper) -> dict[str, Any]:
    return {name: model.at_data_points(value).tolist() for name, value in estimates(model).items()}


def _missed(model: Stepper, data: Dataset) -> dict[str, float]:
    """Relative errors of the estimates whose truth is known."""
    found = {}
    for name, value in estimates(model).items():
        if name in data.truth:
            value, truth = torch.broadcast_tensors(model.at_data_points(value), data.truth[name])
            found[name] = float((value - truth).norm() / truth.norm())
    return found


def _memory() -> int:
    # Kilobytes, but bytes on a Mac.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
