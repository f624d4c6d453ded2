"""One experiment from settings to verdict: a warm-up, both models together, then alone, then side by side."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from cotwin.estimation.stages import Stages
from cotwin.experiment.build import build_alpha, build_hybrid, build_store
from cotwin.experiment.calibrate import Task, searched, with_data
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.device import find_device
from cotwin.experiment.filled import Filled, fill, guessed
from cotwin.experiment.load import dump
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.resume import FREE, FREE_WHERE_FILLED, origin, require_same_origin
from cotwin.experiment.settings import Experiment
from cotwin.experiment.trained import write_models
from cotwin.report.figure import draw
from cotwin.run import FILLED, GENERATED, Run, RunError
from cotwin.seeds import seed_of
from cotwin.stepper import Stepper
from cotwin.store.evaluation import Remembered
from cotwin.store.shelf import Shelf
from cotwin.store.store import Store
from cotwin.training.alpha import fixed
from cotwin.training.evaluation import Comparison, Training, compare
from cotwin.training.hybrid import HybridTrainer, Phase, Role

logger = logging.getLogger(__name__)


@runtime_checkable
class Watcher(Protocol):
    """Is told what happens, to show it to a person."""

    def begin(self, description: str, steps: int) -> None:
        """A phase of so many optimiser steps begins."""

    def step(self, loss: float) -> None:
        """One step was taken."""

    def restart(self) -> None:
        """The phase begins anew: its steps so far do not count."""


class Watched(Stages):
    """An estimation that a watcher is told of."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def say(self, stage: str) -> None:
        self.watcher.begin(f"states that nobody has seen: {stage}", 0)


@dataclass(frozen=True)
class Turn:
    """A phase of one of the two trainings, or of both: the warm-up is the same, and is trained once."""

    training: Training | Literal["both"]
    hybrid: HybridTrainer
    phase: Phase

    @property
    def key(self) -> tuple[str, int, str]:
        """What its line of metrics says of it."""
        return (self.training, self.phase.cycle, self.phase.learner)


@dataclass(frozen=True)
class Session:
    """An experiment's data and its two trainings, built but not yet run.

    store: where generated windows, converted files and rollouts are kept.
    trainings: "together", with generated data, and "alone", the same without: the control.
    start: the physical model before training.
    origin: what a checkpoint says of the data as they were read, and of the code.
    filling: what estimates the states that nobody has seen, where there are such; the data here are guesses of them.
    filled: SHA-256 of the estimated states, once they are there.
    """

    experiment: Experiment
    data: Dataset
    store: Store
    trainings: dict[Training, HybridTrainer]
    start: Stepper
    origin: dict[str, str]
    filling: Task | None = None
    filled: str | None = None

    @property
    def free(self) -> tuple[str, ...]:
        """Blocks and settings that may differ when a run is gone on with."""
        return FREE if self.filling is None else FREE_WHERE_FILLED

    @property
    def turns(self) -> list[Turn]:
        """All of both trainings, in their order."""
        together = self.trainings["together"]
        phases = together.phases(self.experiment.hybrid.cycles)
        warmup: list[Turn] = [Turn("both", together, phase) for phase in phases if phase.cycle < 0]
        return warmup + [
            Turn(training, hybrid, phase)
            for training, hybrid in self.trainings.items()
            for phase in phases
            if phase.cycle >= 0
        ]

    @property
    def total_steps(self) -> int:
        """Optimiser steps of both trainings."""
        return sum(turn.hybrid.steps(turn.phase) for turn in self.turns)


def prepare(experiment: Experiment) -> Session:
    """Build everything, so that every mistake in settings or data shows before anything runs.

    Raises ValueError or OSError with the cure.
    """
    if experiment.threads is not None:
        torch.set_num_threads(experiment.threads)
    find_device(experiment.device)  # before data are read
    store = build_store(experiment.store)
    data = load_dataset(experiment.data, experiment.physical, experiment.seed, store)
    begun = origin(data, experiment)
    if data.unseen is None:
        return _session(experiment, data, store, begun)
    return replace(_session(experiment, guessed(data), store, begun), filling=with_data(experiment, data))


def _session(experiment: Experiment, data: Dataset, store: Store, begun: dict[str, str]) -> Session:
    alpha = build_alpha(experiment.hybrid.alpha, experiment.hybrid.cycles)
    trainings: dict[Training, HybridTrainer] = {
        "together": build_hybrid(experiment, data, store, alpha),
        "alone": build_hybrid(experiment, data, store, fixed(0.0)),
    }
    for hybrid in trainings.values():
        hybrid.check_room(experiment.hybrid.cycles)
    start = copy.deepcopy(trainings["together"].learners["physical"].trainer.stepper)
    return Session(experiment, data, store, trainings, start, begun)


def train(session: Session, run: Run, watcher: Watcher, checkpoint: dict[str, Any] | None = None) -> Comparison:
    """Run both trainings, from a checkpoint if one is given, and write everything into the run directory."""
    # Now, not at the end: a cache directory that cannot be written should not cost a training.
    shelf = session.store.shelf("evaluation")
    if session.experiment.store.keep_generated:
        session.store.keep_generated = run.path.resolve() / GENERATED
    resumed = checkpoint is not None
    if checkpoint is not None:
        require_same_origin(checkpoint, session.origin, session.experiment)
    else:
        run.save_checkpoint(0, _state(session, []))
    if session.filling is not None:
        there = None if checkpoint is None else checkpoint["filled"]
        session = _filled(session, session.filling, run, watcher, there)
        if there is None:
            checkpoint = None
            run.save_checkpoint(0, _state(session, []))
    if checkpoint is not None:
        _restore(session, checkpoint)
    if resumed:
        # Only now: a run that cannot be gone on with keeps what it was begun with.
        run.write_text("config.yaml", dump(session.experiment))
    metrics = [] if checkpoint is None else checkpoint["metrics"]
    run.write_metrics(metrics)
    order = [turn.key for turn in session.turns]
    for turn in session.turns:
        if turn.key not in map(_key, metrics):
            metrics.append(_take(turn, session, watcher))
            # As if the cycles had never been fewer.
            metrics.sort(key=lambda line: order.index(_key(line)))
            run.save_checkpoint(len(metrics), _state(session, metrics))
            run.write_metrics(metrics)
    return _conclude(session, run, metrics, shelf)


def _filled(session: Session, task: Task, run: Run, watcher: Watcher, there: str | None) -> Session:
    """With the states that the calibrated simulator gives. there: SHA-256 of those of a run that is gone on with."""
    if there is None:
        found = searched(task, Watched(watcher))
        if found.reasons:
            logger.warning(
                "States that nobody has seen come from an estimate that is not reliable (%s). "
                "cotwin estimate says more.",
                ", ".join(found.reasons),
            )
        filled = fill(task.data, task.places, found)
        there = run.write_tensors(FILLED, vars(filled))
    else:
        filled = Filled(**run.read_tensors(FILLED, there))
    built = _session(session.experiment, filled.of(task.data), session.store, session.origin)
    return replace(built, filled=there)


def _take(turn: Turn, session: Session, watcher: Watcher) -> dict[str, Any]:
    """Train a phase; its line of metrics."""
    watcher.begin(_describe(turn, session.experiment.hybrid.cycles), turn.hybrid.steps(turn.phase))
    # Networks may use torch's own generator (dropout): it begins anew, so that nothing hangs on what ran before.
    torch.manual_seed(seed_of(session.experiment.seed, turn.phase.cycle + 1, *turn.phase.learner.encode()))
    result = turn.hybrid.advance(turn.phase, watcher.step, watcher.restart)
    if turn.training == "both":
        session.trainings["alone"].load_state_dict(turn.hybrid.state_dict())
    return {"training": turn.training, **asdict(result)}


def _key(line: Mapping[str, Any]) -> tuple[str, int, str]:
    return (line["training"], line["cycle"], line["learner"])


def _describe(turn: Turn, cycles: int) -> str:
    name = {"physical": "simulator", "synthetic": "surrogate"}[turn.phase.learner]
    if turn.training == "both":
        return f"warm-up on real data: {name}"
    return f"{turn.training}, cycle {turn.phase.cycle + 1} of {cycles}: {name}"


def _state(session: Session, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """All that the rest of the run depends on.

    No generators: all are seeded by counters that the trainers' states hold, or by the phase.
    """
    return {
        "metrics": metrics,
        "origin": session.origin,
        "filled": session.filled,
        "trainings": {name: hybrid.state_dict() for name, hybrid in session.trainings.items()},
        "held_out_starts": [held_out.states[:, 0].clone() for held_out in session.data.interpolated],
    }


def _restore(session: Session, checkpoint: dict[str, Any]) -> None:
    try:
        for name, hybrid in session.trainings.items():
            hybrid.load_state_dict(checkpoint["trainings"][name])
        for held_out, starts in zip(session.data.interpolated, checkpoint["held_out_starts"], strict=True):
            held_out.states[:, 0] = starts
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(
            f"the checkpoint does not fit these models ({error}): another version of Cotwin wrote it. Go on with "
            "that one, or start again with --overwrite."
        ) from error


def _conclude(session: Session, run: Run, metrics: list[dict[str, Any]], shelf: Shelf | None) -> Comparison:
    data = session.data
    models: dict[tuple[Role, Training], Stepper] = {
        (role, training): _kept(hybrid.learners[role].trainer.best(), shelf)
        for training, hybrid in session.trainings.items()
        for role in hybrid.learners
    }
    together: dict[Role, Stepper] = {role: models[role, "together"] for role, _ in models}
    # What counts most comes first, and last the figure, which may fail.
    write_models(run, session.experiment, data, together)
    comparison = compare(models, session.start, data.truth, data.validation, data.test)
    run.write_json("result.json", comparison.as_json())
    shown = data.validation if data.test is None else data.test
    run.write_figure("rollout.png", lambda: draw(data.layout, shown, together, comparison, metrics))
    return comparison


def _kept(model: Stepper, shelf: Shelf | None) -> Stepper:
    """A model whose rollouts the figure need not make again."""
    return model if shelf is None else Remembered(model, shelf)
