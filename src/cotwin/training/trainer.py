"""Fits one model to windows. The physical and the synthetic trainer are two instances of it."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cotwin.stepper import Stepper
from cotwin.training.averaged import AveragedWeights
from cotwin.training.descent import Descent
from cotwin.training.held_out import HeldOut
from cotwin.training.loss import RolloutLoss
from cotwin.training.objective import Objective
from cotwin.training.penalty import Penalty
from cotwin.training.safe_steps import SafeSteps
from cotwin.windows import Batch, Windows
from cotwin.windows.serving import seeded_epochs, serve

Schedule = Callable[[int], float]
"""Factor of the base learning rate at an optimiser step."""


def constant(step: int) -> float:
    """No schedule: the base learning rate throughout."""
    return 1.0


def cosine(total_steps: int, final: float = 0.01) -> Schedule:
    """From one to `final` along half a cosine over `total_steps`, then `final`.

    >>> [round(cosine(4, final=0.0)(step), 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    def factor(step: int) -> float:
        progress = min(step / total_steps, 1.0)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return factor


@dataclass(frozen=True)
class Fit:
    """What one call of `fit` did: its optimiser steps, mean training loss and best held-out error so far.

    left_out: windows that the model could not roll out; of the last epoch, where each has others.
    """

    steps: int
    train_loss: float
    validation_error: float
    left_out: int


class Trainer:
    """Minimises the rollout loss of a stepper over windows, step by step.

    stepper: the model; all its parameters that require a gradient should be in `descent`.
    held_out: real trajectories; after every `validate_every` steps the full rollouts on them decide which
        weights are the best so far. Nothing else is decided by them.
    descent: the optimiser.
    batch_size: windows in a step; of an optimiser that takes all windows in every step, windows in memory at once,
        which changes the result by rounding alone.
    schedule: factor of the usual length of a step, at each step.
    penalty: what is known of the parameters beforehand, added to the loss.
    averaging: what is validated, kept, taught with and reported is not the latest weights but their mean over the
        last steps, `AveragedWeights`; the steps go on from the latest.
    seed: fixes the order of the windows, together with the number of epochs begun.

    best_error, best_parts: held-out error of the best weights so far, over all and of parts (`Errors.of_parts`).

    Divergence is dealt with by `SafeSteps`: `fit` raises TrainingDivergedError if a model keeps diverging.
    """

    def __init__(
        self,
        stepper: Stepper,
        loss: RolloutLoss,
        held_out: HeldOut,
        *,
        descent: Descent,
        batch_size: int,
        schedule: Schedule = constant,
        penalty: Penalty | None = None,
        averaging: bool = False,
        validate_every: int = 50,
        seed: int = 0,
    ) -> None:
        if batch_size < 1 or validate_every < 1:
            raise ValueError(f"batch_size is {batch_size}, validate_every {validate_every}; both must be at least 1.")
        self.stepper, self.loss, self.held_out = stepper, loss, held_out
        self.descent, self.batch_size, self.schedule = descent, batch_size, schedule
        self.safe_steps = SafeSteps(stepper, descent)
        self.averaged = AveragedWeights(stepper) if averaging else None
        self.penalty, self.validate_every, self.seed = penalty, validate_every, seed
        self.steps_done = 0
        self.epochs_begun = 0
        self.best_error = math.inf
        self.best_parts = torch.tensor([math.inf])
        self.best_weights = copy.deepcopy(stepper.state_dict())

    def fit(self, windows: Windows, steps: int, on_step: Callable[[float], None] = lambda loss: None) -> Fit:
        """Take `steps` optimiser steps, epoch after epoch over the windows; call `on_step` with each loss."""
        self.descent.forget()
        self.stepper.train()
        if self.steps_done == 0:
            self.validate()
        losses: list[float] = []
        # If the last step of the fit before this one led astray, nobody has noticed yet.
        self.safe_steps.begin(self.best(), len(windows))
        # closing: if a step raises, the thread that prepares batches ahead stops with it.
        with contextlib.closing(self._objectives(windows, steps)) as objectives:
            for objective in objectives:
                losses.append(self.safe_steps.take(objective, self.schedule(self.steps_done)))
                self.steps_done += 1
                if self.averaged is not None:
                    self.averaged.add()
                if self.steps_done % self.validate_every == 0 or len(losses) == steps:
                    self.validate()
                on_step(losses[-1])
        sound = [loss for loss in losses if not math.isnan(loss)]
        left_out = len(self.safe_steps.left_out)
        if left_out and not sound:
            raise self.safe_steps.failure()
        mean = sum(sound) / len(sound) if sound else math.nan
        return Fit(len(losses), mean, self.best_error, left_out)

    def validate(self) -> float:
        """Held-out error of the present weights, or of their mean; keeps them if they are the best so far."""
        present = self.stepper if self.averaged is None else self.averaged.model()
        errors = self.held_out.measure(present)
        error = errors.nrmse
        if error < self.best_error:
            self.best_error, self.best_parts = error, errors.of_parts
            self.best_weights = copy.deepcopy(present.state_dict())
        return error

    def best(self) -> Stepper:
        """A frozen copy of the model with its best weights, in eval mode: what teaches, and what is reported."""
        stepper = copy.deepcopy(self.stepper)
        stepper.load_state_dict(self.best_weights)
        # eval(): batch statistics or dropout would make two reads of one window differ.
        return stepper.eval().requires_grad_(False)

    @property
    def learns(self) -> bool:
        """Whether the model has anything to learn."""
        return any(parameter.requires_grad for parameter in self.stepper.parameters())

    def windows_in_a_step(self, count: int) -> int:
        """How many windows each step takes, of `count`."""
        return count if self.descent.every_window else min(self.batch_size, count)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on: tensors and plain numbers only."""
        return {
            "weights": self.stepper.state_dict(),
            "descent": self.descent.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "best_weights": self.best_weights,
            "best_error": self.best_error,
            "best_parts": self.best_parts,
            "steps_done": self.steps_done,
            "epochs_begun": self.epochs_begun,
            "shrink": self.safe_steps.shrink,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.stepper.load_state_dict(state["weights"])
        self.descent.load_state_dict(state["descent"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.best_weights = copy.deepcopy(state["best_weights"])
        self.best_error, self.best_parts = float(state["best_error"]), state["best_parts"].clone()
        self.steps_done = int(state["steps_done"])
        self.epochs_begun = int(state["epochs_begun"])
        self.safe_steps.shrink = float(state["shrink"])

    def _objectives(self, windows: Windows, count: int) -> Generator[Objective]:
        """What each of `count` steps lowers: always all windows, or batches along seeded permutations."""
        if self.descent.every_window:
            every = range(len(windows))
            yield from itertools.repeat(self._objective(every, lambda some: self._read(windows, some)), count)
            return
        order, again = (
            seeded_epochs(len(windows), self.batch_size, self.seed, self.epochs_begun, count) for _ in range(2)
        )
        self.epochs_begun += math.ceil(count / math.ceil(len(windows) / self.batch_size))
        with contextlib.closing(serve(windows, again, self.batch_size)) as served:
            for _, batches in order:
                if windows.renewed:
                    self.safe_steps.left_out.clear()
                for indices in batches:
                    yield self._objective(indices, _those_of(next(served), indices))

    def _objective(self, indices: Sequence[int], read: Callable[[Sequence[int]], Iterator[Batch]]) -> Objective:
        return Objective(self.stepper, self.loss, self.penalty, indices, read)

    def _read(self, windows: Windows, indices: Sequence[int]) -> Iterator[Batch]:
        """In their order, `batch_size` at a time."""
        parts = [indices[first : first + self.batch_size] for first in range(0, len(indices), self.batch_size)]
        return serve(windows, [(0, parts)], self.batch_size)


def _those_of(batch: Batch, indices: Sequence[int]) -> Callable[[Sequence[int]], Iterator[Batch]]:
    """From indices to their windows, of a batch that is there."""
    row = {index: place for place, index in enumerate(indices)}
    return lambda some: iter([batch if some is indices else batch.rows([row[index] for index in some])])
