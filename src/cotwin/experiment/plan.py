"""What a training will take, before it runs: bytes from counts and shapes, time from a short trial."""

from __future__ import annotations

import copy
import itertools
import math
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cotwin.experiment.settings import FileData
from cotwin.experiment.train import Session
from cotwin.given import Given
from cotwin.mapped import place_of
from cotwin.stepper import DivergenceError
from cotwin.store.placement import Choice
from cotwin.store.store import Store
from cotwin.training.hybrid import HybridTrainer, Phase
from cotwin.training.trainer import Trainer
from cotwin.windows import Batch, RolloutWindows, Windows
from cotwin.windows.serving import has_spare_core, held_bytes

TRIAL_SECONDS = 2.0  # for the steps of one learner at one size of batch
TRIAL_STEPS = 20
TRIAL_WINDOWS = 16  # at first


@dataclass(frozen=True)
class RealData:
    """Real trajectories of one part of the data: shape (N, T, C, *S), their bytes, and where they lie."""

    name: str
    shape: tuple[int, ...]
    num_bytes: int
    where: Literal["memory", "file"]


@dataclass(frozen=True)
class PhasePlan:
    """One phase, as it will be at most: a gated teacher may be asked for less.

    windows: generated ones. windows_read: of them, with repetition, in all steps.
    choice: where they go, None without any. held_bytes: of them in memory at once.
    seconds: expected, generating included.
    """

    training: str
    phase: Phase
    steps: int
    windows: int
    windows_read: int
    choice: Choice | None
    held_bytes: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """Everything that is known of a training beforehand.

    memory_budget, disk_budget: bytes of generated data. base_bytes: the process's largest size during the trial, so
    with models, gradients and real data, those in files left out. kept_bytes: rollouts and a converted file, which
    stay on disk. trial_seconds: what this took.
    """

    real: list[RealData]
    phases: list[PhasePlan]
    memory_budget: int
    disk_budget: int
    base_bytes: int
    kept_bytes: int
    trial_seconds: float

    @property
    def real_bytes(self) -> int:
        """Of real data in memory."""
        return sum(part.num_bytes for part in self.real if part.where == "memory")

    @property
    def peak_bytes(self) -> int:
        """Expected peak memory of the process."""
        return self.base_bytes + max(phase.held_bytes for phase in self.phases)

    @property
    def cache_bytes(self) -> int:
        """The largest set in the cache; a phase's set goes before the next is made."""
        return max(p.choice.num_bytes if p.choice and p.choice.placement == "cache" else 0 for p in self.phases)

    @property
    def seconds(self) -> float:
        """Expected time of all phases."""
        return sum(phase.seconds for phase in self.phases)


def plan_session(session: Session) -> Plan:
    """Sizes and times of a session that has not begun.

    Times a few optimiser steps and rollouts, so the session's models change: it should not be trained afterwards.
    Nothing is written into a run. Raises what `Store.choose` does where a placement is impossible.
    """
    begin, trial, data, store = time.perf_counter(), Trial(), session.data, session.store
    parts = {
        "training": (data.train.states, data.train.mask),
        "validation": (data.validation.states, data.validation.mask),
        **({} if data.test is None else {"test": (data.test.states, data.test.mask)}),
    }
    real = [
        RealData(
            name,
            tuple(states.shape),
            states.nbytes + (0 if mask is None else mask.nbytes),
            "memory" if place_of(states) is None else "file",
        )
        for name, (states, mask) in parts.items()
    ]
    # Rollouts of four models, two trained together and two alone; and what a file was converted to.
    kept = 4 * sum(states.nbytes for name, (states, _) in parts.items() if name != "training")
    if isinstance(session.experiment.data, FileData):
        kept += sum(part.num_bytes for part in real)
    phases = [trial.phase(turn.training, turn.hybrid, turn.phase) for turn in session.turns]
    base = _own_size() if any(part.where == "file" for part in real) else _largest_size()
    seconds = time.perf_counter() - begin
    return Plan(real, phases, store.memory_budget, store.disk_budget, base, kept, seconds)


class Trial:
    """Measures what phases have in common, each thing once."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], float] = {}
        self._validations: dict[str, float] = {}
        self._windows: dict[tuple[str, str], float] = {}

    def phase(self, training: str, hybrid: HybridTrainer, phase: Phase) -> PhasePlan:
        """What one phase will take."""
        learner = hybrid.learners[phase.learner]
        steps, count = hybrid.steps(phase), hybrid.most_generated_windows(phase)
        batch = learner.trainer.windows_in_a_step(len(learner.real) + count)
        seconds = steps * self._seconds_a_step(hybrid, phase, batch)
        seconds += math.ceil(steps / learner.trainer.validate_every) * self._seconds_a_validation(hybrid, phase)
        if count == 0 or steps == 0:
            return PhasePlan(training, phase, steps, 0, 0, None, 0, seconds)
        windows = hybrid.generated(phase, count)
        choice = hybrid.choose(phase, windows)
        read = round(steps * batch * count / (len(learner.real) + count))
        each = self._seconds_a_window(hybrid, phase, windows, choice)
        if choice.placement == "on_the_fly":
            # Beside the training if there is a core for it: then the longer of the two decides.
            seconds = max(seconds, read * each) if has_spare_core() else seconds + read * each
            ahead = hybrid.store.bytes_ahead(windows)
            read_ahead = RolloutWindows(windows.teacher, windows.starts, windows.num_steps, ahead)
            # What the budget lacks is for starts that have to be drawn beforehand.
            held = hybrid.store.memory_budget - ahead + held_bytes(read_ahead, batch)
        else:
            seconds += count * each
            held = choice.num_bytes if choice.placement == "memory" else 4 * hybrid.store.chunk_bytes
        return PhasePlan(training, phase, steps, count, read, choice, held, seconds)

    def _seconds_a_step(self, hybrid: HybridTrainer, phase: Phase, batch: int) -> float:
        learner = hybrid.learners[phase.learner]
        if (phase.learner, batch) not in self._steps:
            self._steps[phase.learner, batch] = _seconds_a_step(learner.trainer, _Repeated(learner.real, batch))
        return self._steps[phase.learner, batch]

    def _seconds_a_validation(self, hybrid: HybridTrainer, phase: Phase) -> float:
        if phase.learner not in self._validations:
            begin = time.perf_counter()
            hybrid.learners[phase.learner].trainer.validate()
            self._validations[phase.learner] = time.perf_counter() - begin
        return self._validations[phase.learner]

    def _seconds_a_window(
        self, hybrid: HybridTrainer, phase: Phase, windows: RolloutWindows, choice: Choice
    ) -> float:
        """For generating, and keeping where the choice is to keep: some windows go the way that all will."""
        if (phase.learner, choice.placement) not in self._windows:
            store = hybrid.store
            way = Store(store.root, store.memory_budget, store.disk_budget, choice.placement)
            count, most, seconds = 0, min(len(windows), store.rows_at_once(windows)), 0.0
            # As many as are made at once, or as there is time for: a single one would not show what many cost.
            while count < most and seconds < TRIAL_SECONDS / 4:
                count = min(most, max(TRIAL_WINDOWS, 4 * count))
                seconds = _seconds_to_make(windows, count, way)
            self._windows[phase.learner, choice.placement] = seconds / count
        return self._windows[phase.learner, choice.placement]


def _seconds_to_make(windows: RolloutWindows, count: int, store: Store) -> float:
    """The first of some windows, kept as the store does."""
    begin = time.perf_counter()
    # An untrained network may diverge; the time is the same.
    with suppress(DivergenceError):
        some = range(count)
        given = windows.given_with(some)
        part = RolloutWindows(windows.teacher, windows.starts.take(some), windows.num_steps, given=given)
        with store.keep(part) as kept:
            if kept.choice.placement == "on_the_fly":
                kept.windows.__getitems__(range(count))
    return time.perf_counter() - begin


class _Repeated(Windows):
    """So many windows: some, again and again."""

    def __init__(self, windows: Windows, count: int) -> None:
        self.windows, self.count = windows, count
        self.dtype, self.mask_dtype = windows.dtype, windows.mask_dtype

    def __len__(self) -> int:
        return self.count

    @property
    def window_shape(self) -> tuple[int, ...]:
        return self.windows.window_shape

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        self.windows.write(self._of(indices), batch, rows)

    def given_with(self, indices: Sequence[int]) -> Given | None:
        return self.windows.given_with(self._of(indices))

    def will_read(self, indices: Sequence[int]) -> None:
        self.windows.will_read(self._of(indices))

    def _of(self, indices: Sequence[int]) -> list[int]:
        return [index % len(self.windows) for index in indices]


class _EnoughSteps(Exception):  # noqa: N818 (no error)
    """Ends a trial."""


def _seconds_a_step(trainer: Trainer, windows: Windows) -> float:
    """Median over the steps of a trial, the first and the validations left out."""
    trainer = copy.copy(trainer)
    trainer.validate_every = sys.maxsize
    ends: list[float] = []
    enough = time.perf_counter() + TRIAL_SECONDS

    def watch(loss: float) -> None:
        ends.append(time.perf_counter())
        if len(ends) > 1 and ends[-1] > enough:
            raise _EnoughSteps

    with suppress(_EnoughSteps):
        trainer.fit(windows, TRIAL_STEPS, watch)
    # The last of all steps ends with a look at the held-out data.
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(ends[: TRIAL_STEPS - 1]))


def _largest_size() -> int:
    """Bytes that this process had in memory at most, shared libraries included."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size


def _own_size() -> int:
    """Bytes that it has now without the pages of mapped files, which the kernel takes back."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return _largest_size()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
