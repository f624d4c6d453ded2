"""The four-phase cycle: generate physical data, train the surrogate, generate synthetic data, train the simulator."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from cotwin.seeds import seeded
from cotwin.stepper import DivergenceError
from cotwin.store.placement import Choice
from cotwin.store.store import Store
from cotwin.training.alpha import Alpha, Standing, elsewhere
from cotwin.training.safe_steps import TrainingDivergedError
from cotwin.training.trainer import Trainer
from cotwin.windows import JoinedWindows, RolloutWindows, SlidingWindows, StartStates, Windows
from cotwin.windows.starts import Starts

logger = logging.getLogger(__name__)

Role = Literal["physical", "synthetic"]
Kinds = Mapping[str, Starts]
"""Kinds of starts, by name."""


@dataclass(frozen=True)
class Learner:
    """One of the two models, as the cycle sees it.

    real: windows of the real training trajectories, of the length that this learner trains on.
    steps: optimiser steps in each cycle.
    warmup_steps: optimiser steps on real data alone before the first cycle.
    starts: where the windows begin that the other model generates for this one; held-out data choose among kinds.
    moved: what becomes of windows before this one learns from them.
    """

    trainer: Trainer
    real: SlidingWindows
    steps: int
    warmup_steps: int
    starts: Starts | Kinds
    moved: Callable[[Windows], Windows] = lambda windows: windows

    @property
    def kinds(self) -> Kinds:
        """The kinds of starts; one that has no name is ''."""
        return self.starts if isinstance(self.starts, Mapping) else {"": self.starts}


@dataclass(frozen=True)
class Phase:
    """One learner's turn. cycle −1 is the warm-up, on real data alone."""

    cycle: int
    learner: Role

    @property
    def teacher(self) -> Role:
        """The other model."""
        return "synthetic" if self.learner == "physical" else "physical"


@dataclass(frozen=True)
class PhaseResult:
    """What a finished phase did, as it goes into the run's metrics.

    alpha: influence that the generated data had; 0 in the warm-up and where the teacher had not earned trust.
    generated: number of generated windows.
    placement: where they were kept ("none" without any); reason: why there, with their size.
    validation_error: the learner's best held-out NRMSE so far.
    left_out: windows that the learner could not roll out.
    starts: the kind of starts of the generated windows; '' without any. trial_steps: what the other kinds took.
    """

    cycle: int
    learner: Role
    alpha: float
    generated: int
    placement: str
    reason: str
    steps: int
    train_loss: float
    validation_error: float
    left_out: int
    starts: str = ""
    trial_steps: int = 0


class HybridTrainer:
    """Trains the physical and the synthetic model together, each on real data and on what the other generates.

    alpha: how much generated data count (see `cotwin.training.alpha`). `fixed(0.0)` trains both alone: the control.
    generated_per_real: generated windows for each real one, whatever their influence; None for as many as
        alpha asks for, so that each generated window weighs as much as a real one. At most one for a learner whose
        optimiser takes all windows in every step (L-BFGS, Gauss-Newton), whose windows have to be kept.
    fresh_starts: new starts in every epoch of a phase; the windows are then generated as they are read.
    order: which model learns first in each cycle.

    Where a learner has several kinds of starts, its first phase with a teacher is run with each of them, from the
    same weights. The one that ends with the least held-out error counts, and its kind is kept from then on.

    A teacher does not teach in a phase in which it diverges, or whose windows the learner cannot roll out. The
    learner then has real data alone.

    `run` may be called again to go on; between two phases `state_dict` holds all that the rest depends on.
    """

    def __init__(
        self,
        physical: Learner,
        synthetic: Learner,
        *,
        store: Store,
        alpha: Alpha,
        generated_per_real: float | None = None,
        fresh_starts: bool = False,
        order: tuple[Role, Role] = ("synthetic", "physical"),
        seed: int = 0,
    ) -> None:
        if generated_per_real is not None and generated_per_real <= 0:
            raise ValueError(f"generated_per_real is {generated_per_real}; it must be positive (alpha may be 0).")
        if set(order) != {"physical", "synthetic"}:
            raise ValueError(f"order is {order}; it names each of physical and synthetic once.")
        self.learners: dict[Role, Learner] = {"physical": physical, "synthetic": synthetic}
        self.store, self.alpha, self.generated_per_real = store, alpha, generated_per_real
        self.fresh_starts, self.order, self.seed = fresh_starts, order, seed
        self.phases_done = 0
        self.chosen: dict[Role, str] = {}

    def phases(self, cycles: int) -> list[Phase]:
        """The schedule: a warm-up of both models, then the cycles."""
        return [Phase(cycle, role) for cycle in range(-1, cycles) for role in self.order]

    def run(self, cycles: int, on_step: Callable[[float], None] = lambda loss: None) -> list[PhaseResult]:
        """Run every phase of `cycles` cycles that is not done yet."""
        return [self.advance(phase, on_step) for phase in self.phases(cycles)[self.phases_done :]]

    def advance(
        self,
        phase: Phase,
        on_step: Callable[[float], None] = lambda loss: None,
        on_restart: Callable[[], None] = lambda: None,
    ) -> PhaseResult:
        """Run the next phase of the schedule; afterwards is the moment to save a checkpoint.

        on_step: hears the loss of each step. on_restart: is told when the phase begins anew, on real data alone.
        """
        result = self._train(phase, on_step, on_restart)
        self.phases_done += 1
        return result

    def steps(self, phase: Phase) -> int:
        """Optimiser steps that a phase takes; none for a model without unknowns, which teaches as it is."""
        learner = self.learners[phase.learner]
        if not learner.trainer.learns:
            return 0
        return learner.warmup_steps if phase.cycle < 0 else learner.steps

    def generated_windows(self, phase: Phase, alpha: float) -> int:
        """How many windows the other model generates for a phase's learner, at this influence."""
        learner = self.learners[phase.learner]
        if phase.cycle < 0 or alpha == 0.0 or not learner.trainer.learns:
            return 0
        per_real = alpha if self.generated_per_real is None else self.generated_per_real
        if learner.trainer.descent.every_window:
            per_real = min(per_real, 1.0)
        return max(1, int(per_real * len(learner.real)))

    def most_generated_windows(self, phase: Phase) -> int:
        """The most that a phase may ask for: as many as for a perfect teacher of a learner that knows nothing."""
        perfect, ignorant = torch.zeros(1), torch.tensor([math.inf])
        return self.generated_windows(
            phase, self.alpha(max(phase.cycle, 0), Standing(perfect, ignorant, trusted=True))
        )

    def check_room(self, cycles: int) -> None:
        """Raise ValueError if the store has no place for what some phase may generate."""
        for role in self.order:
            phases = (phase for phase in self.phases(cycles) if phase.learner == role)
            largest = max(phases, key=self.most_generated_windows)
            count = self.most_generated_windows(largest)
            if count:
                self.choose(largest, self.generated(largest, count))

    def choose(self, phase: Phase, windows: RolloutWindows) -> Choice:
        """Where a phase's generated windows go. Raises ValueError if there is no place that its learner can use."""
        choice = self.store.choose(windows)
        if choice.placement == "on_the_fly" and self.learners[phase.learner].trainer.descent.every_window:
            raise ValueError(
                f"the {phase.learner} model's optimiser takes all windows in every step, so generated ones have to "
                f"be kept, and these are not ({choice.reason}); leave store.placement open and hybrid.fresh_starts "
                f"off, raise the budgets, or choose {phase.learner}.optimizer.kind=adam."
            )
        return choice

    def generated(self, phase: Phase, count: int, kind: str | None = None) -> RolloutWindows:
        """What the other model, with its best weights now, generates for a phase's learner; made as it is read.

        kind: of the starts; the chosen one if not given, or the first.
        """
        kinds = self.learners[phase.learner].kinds
        starts = kinds[self.chosen.get(phase.learner, next(iter(kinds))) if kind is None else kind]
        learner, teacher = self.learners[phase.learner], self.learners[phase.teacher].trainer.best()
        number = (phase.cycle + 1) * len(self.order) + self.order.index(phase.learner)

        def draw(epoch: int) -> StartStates:
            # A generator for each phase, or epoch: a resumed run draws what an uninterrupted one does.
            return starts(count, teacher, seeded(self.seed, number, epoch))

        steps = learner.real.window_shape[0] - 1
        fresh = draw if self.fresh_starts else None
        return RolloutWindows(teacher, draw(0), steps, fresh_starts=fresh, given=learner.real.given)

    def state_dict(self) -> dict[str, Any]:
        """Both models, their optimisers and the place in the schedule."""
        trainers = {role: learner.trainer.state_dict() for role, learner in self.learners.items()}
        return {"phases_done": self.phases_done, "starts": dict(self.chosen), "trainers": trainers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.phases_done, self.chosen = int(state["phases_done"]), dict(state["starts"])
        for role, learner in self.learners.items():
            learner.trainer.load_state_dict(state["trainers"][role])

    def _train(self, phase: Phase, on_step: Callable[[float], None], on_restart: Callable[[], None]) -> PhaseResult:
        learner, teacher = self.learners[phase.learner], self.learners[phase.teacher].trainer
        alpha, reason = 0.0, "nothing generated"
        if self.most_generated_windows(phase):
            own = learner.trainer
            unseen = elsewhere(len(own.held_out.states))
            standing = Standing(teacher.best_parts, own.best_parts, phase.teacher == "physical", unseen)
            alpha = self.alpha(phase.cycle, standing)
        if alpha != 0.0:
            before = copy.deepcopy(learner.trainer.state_dict())
            try:
                return self._teach(phase, alpha, on_step, on_restart)
            except (DivergenceError, TrainingDivergedError) as error:
                # DivergenceError is the teacher's; the trainer handles its own. To stop would not help: a resumed run
                # would meet the same.
                logger.warning("%s The %s model does not teach in cycle %d.", error, phase.teacher, phase.cycle)
                learner.trainer.load_state_dict(before)
                on_restart()
                who = "teacher" if isinstance(error, DivergenceError) else "learner"
                reason = f"nothing kept: the {who} diverged ({error})"
        fit = learner.trainer.fit(learner.moved(learner.real), self.steps(phase), on_step)
        return PhaseResult(phase.cycle, phase.learner, 0.0, 0, "none", reason, **vars(fit))

    def _teach(
        self, phase: Phase, alpha: float, on_step: Callable[[float], None], on_restart: Callable[[], None]
    ) -> PhaseResult:
        """Raises DivergenceError, TrainingDivergedError."""
        kinds = self.learners[phase.learner].kinds
        kind = next(iter(kinds)) if len(kinds) == 1 else self.chosen.get(phase.learner)
        if kind is not None:
            return self._learn(phase, alpha, kind, on_step)
        result = self._best_of(kinds, phase, alpha, on_step, on_restart)
        self.chosen[phase.learner] = result.starts
        return result

    def _best_of(
        self,
        kinds: Collection[str],
        phase: Phase,
        alpha: float,
        on_step: Callable[[float], None],
        on_restart: Callable[[], None],
    ) -> PhaseResult:
        """A phase with each kind of starts, all from the same weights; what has the least held-out error stays."""
        trainer = self.learners[phase.learner].trainer
        before, ends, failure = copy.deepcopy(trainer.state_dict()), [], None
        for kind in kinds:
            trainer.load_state_dict(before)
            try:
                result = self._learn(phase, alpha, kind, on_step)
                ends.append((trainer.validate(), result, copy.deepcopy(trainer.state_dict())))
            except (DivergenceError, TrainingDivergedError) as error:
                logger.warning("%s starts are not taken: %s", kind, error)
                failure = error
            on_restart()
        if failure is not None and not ends:
            raise failure
        _, result, state = min(ends, key=lambda end: end[0])
        trainer.load_state_dict(state)
        logger.info("starts: %s", ", ".join(f"{other.starts} {error:.3g}" for error, other, _ in ends))
        return replace(result, trial_steps=result.steps * (len(kinds) - 1))

    def _learn(self, phase: Phase, alpha: float, kind: str, on_step: Callable[[float], None]) -> PhaseResult:
        learner, count = self.learners[phase.learner], self.generated_windows(phase, alpha)
        windows = self.generated(phase, count, kind)
        self.choose(phase, windows)
        with self.store.keep(windows, f"{phase.cycle:04d}-{phase.learner}") as kept:
            joined = JoinedWindows(learner.real, kept.windows, alpha)
            fit = learner.trainer.fit(learner.moved(joined), self.steps(phase), on_step)
        lost = sum(index >= len(learner.real) for index in learner.trainer.safe_steps.left_out)
        if 2 * lost >= count:
            model = type(learner.trainer.stepper).__name__
            raise TrainingDivergedError(f"{model} cannot roll out {lost} of {count} generated windows.")
        where, why = kept.choice.placement, kept.choice.reason
        return PhaseResult(phase.cycle, phase.learner, alpha, count, where, why, **vars(fit), starts=kind)
