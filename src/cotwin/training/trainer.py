"""Fits one model to windows. The physical and the synthetic trainer are two instances of it."""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cotwin.parameters import estimates
from cotwin.stepper import DivergenceError, Stepper, rollout
from cotwin.training.gauss_newton import LevenbergMarquardt, Penalty
from cotwin.training.held_out import HeldOut
from cotwin.training.loss import RolloutLoss
from cotwin.windows import Batch, Windows
from cotwin.windows.serving import seeded_epochs, serve

logger = logging.getLogger(__name__)

Schedule = Callable[[int], float]
"""Factor of the base learning rate at an optimiser step."""

MAX_REJECTIONS = 8  # halvings of the step before a diverging training gives up
RECOVERY = 2 ** (1 / 16)  # growth of a shrunk step at each sound one, so that a few bad batches do not end training


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


class TrainingDivergedError(RuntimeError):
    """A model kept diverging although its step was shrunk again and again."""


@dataclass(frozen=True)
class Fit:
    """What one call of `fit` did: its optimiser steps, mean training loss and best held-out error so far."""

    steps: int
    train_loss: float
    validation_error: float


class Trainer:
    """Minimises the rollout loss of a stepper over windows, batch by batch.

    stepper: the model; all its parameters that require a gradient should be in `optimizer`.
    held_out: real trajectories; after every `validate_every` steps the full rollouts on them decide which
        weights are the best so far. Nothing else is decided by them.
    optimizer: any torch optimiser; each step goes through a closure, so L-BFGS fits as well as Adam.
    schedule: factor of the optimiser's learning rate at each step.
    clip: largest norm of the gradient; None for no clipping.
    penalty: what is known of the parameters beforehand, added to the loss.
    seed: fixes the order of the windows, together with the number of epochs begun.

    A step that makes the model diverge is undone and halved, at most 8 times in a row; then `fit` raises
    `TrainingDivergedError` with the parameters' values and leaves the model as it was before that step. Sixteen
    sound steps make good for one halving. Where an optimiser looks around within its step, as a line search does,
    a place where the model diverges is just a bad one.
    """

    def __init__(
        self,
        stepper: Stepper,
        loss: RolloutLoss,
        held_out: HeldOut,
        *,
        optimizer: torch.optim.Optimizer,
        batch_size: int,
        schedule: Schedule = constant,
        clip: float | None = None,
        penalty: Penalty | None = None,
        validate_every: int = 50,
        seed: int = 0,
    ) -> None:
        if batch_size < 1 or validate_every < 1:
            raise ValueError(f"batch_size is {batch_size}, validate_every {validate_every}; both must be at least 1.")
        self.stepper, self.loss, self.held_out = stepper, loss, held_out
        self.optimizer, self.batch_size, self.schedule = optimizer, batch_size, schedule
        self.clip, self.penalty, self.validate_every, self.seed = clip, penalty, validate_every, seed
        self.base_rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.steps_done = 0
        self.epochs_begun = 0
        self.shrink = 1.0
        self.best_error = math.inf
        self.best_weights = copy.deepcopy(stepper.state_dict())
        self._rejections = 0  # since the last place where the model could be evaluated
        self._sound = self._snapshot(stepper)

    def fit(self, windows: Windows, steps: int, on_step: Callable[[float], None] = lambda loss: None) -> Fit:
        """Take `steps` optimiser steps, epoch after epoch over the windows; call `on_step` with each loss."""
        self._forget_curvature()
        self.stepper.train()
        if self.steps_done == 0:
            self.validate()
        losses: list[float] = []
        # If the last step of the fit before this one led astray, nobody has noticed yet.
        self._sound, self._rejections = self._snapshot(self.best()), 0
        # closing: if a step raises, the thread that prepares batches ahead stops with it.
        with contextlib.closing(self._batches(windows, steps)) as batches:
            for batch in batches:
                losses.append(self._step(batch))
                self.steps_done += 1
                if self.steps_done % self.validate_every == 0 or len(losses) == steps:
                    self.validate()
                on_step(losses[-1])
        mean = sum(losses) / len(losses) if losses else math.nan
        return Fit(len(losses), mean, self.best_error)

    def validate(self) -> float:
        """Held-out error of the present weights; keeps them if they are the best so far."""
        error = self.held_out.error(self.stepper)
        if error < self.best_error:
            self.best_error = error
            self.best_weights = copy.deepcopy(self.stepper.state_dict())
        return error

    def best(self) -> Stepper:
        """A frozen copy of the model with its best weights, in eval mode: what teaches, and what is reported."""
        stepper = copy.deepcopy(self.stepper)
        stepper.load_state_dict(self.best_weights)
        # eval(): batch statistics or dropout would make two reads of one window differ.
        return stepper.eval().requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on: tensors and plain numbers only."""
        return {
            "weights": self.stepper.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best_weights": self.best_weights,
            "best_error": self.best_error,
            "steps_done": self.steps_done,
            "epochs_begun": self.epochs_begun,
            "shrink": self.shrink,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.stepper.load_state_dict(state["weights"])
        # A copy: torch would go on to change the moments inside `state`.
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.best_weights = copy.deepcopy(state["best_weights"])
        self.best_error = float(state["best_error"])
        self.steps_done = int(state["steps_done"])
        self.epochs_begun = int(state["epochs_begun"])
        self.shrink = float(state["shrink"])

    def _batches(self, windows: Windows, count: int) -> Generator[Batch]:
        """`count` batches along seeded permutations."""
        epochs = seeded_epochs(len(windows), self.batch_size, self.seed, self.epochs_begun, count)
        self.epochs_begun += math.ceil(count / math.ceil(len(windows) / self.batch_size))
        yield from serve(windows, epochs, self.batch_size)

    def _step(self, batch: Batch) -> float:
        """One optimiser step, taken back and halved while it makes the model diverge; the loss before it."""
        batch = batch.to(next(self.stepper.parameters()).device)
        before = self._snapshot(self.stepper)
        moved_back = False
        first: Tensor | None = None

        def closure() -> Tensor:
            nonlocal first
            try:
                loss = self._evaluate(batch)
            except DivergenceError as error:
                if first is None:
                    raise
                logger.info("%s Looking elsewhere.", error)
                self.optimizer.zero_grad(set_to_none=False)
                return 10 * first
            if first is None and not moved_back:
                self._recover()
            first = loss if first is None else first
            return loss

        while True:
            for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
                group["lr"] = base * self.schedule(self.steps_done) * self.shrink
            try:
                loss = self._take(batch, closure)
            except DivergenceError as error:
                # It diverged where the step before this one had put it: that step went too far.
                moved_back, before = True, self._sound
                self._restore(before)
                self.shrink /= 2
                self._rejections += 1
                if self._rejections > MAX_REJECTIONS:
                    raise self._gives_up() from error
                logger.warning("%s Step taken back; the next is %g of the usual size.", error, self.shrink)
            else:
                self._sound = before
                return loss

    def _take(self, batch: Batch, closure: Callable[[], Tensor]) -> float:
        if not isinstance(self.optimizer, LevenbergMarquardt):
            return float(self.optimizer.step(closure))  # type: ignore[arg-type]
        loss = float(self.optimizer.step_on(batch))
        self._recover()
        return loss

    def _recover(self) -> None:
        """The place where the last step led is sound."""
        self._rejections, self.shrink = 0, min(1.0, self.shrink * RECOVERY)

    def _evaluate(self, batch: Batch) -> Tensor:
        """The loss, its gradient left in the parameters. Raises DivergenceError if either is not finite."""
        self.optimizer.zero_grad()
        prediction = rollout(self.stepper, batch.states[:, 0], batch.states.shape[1] - 1)
        loss = self.loss(prediction, batch)
        if not torch.isfinite(loss):
            raise DivergenceError(f"{type(self.stepper).__name__} has a loss of {float(loss.detach())}.")
        if self.penalty is not None:
            loss = loss + self.penalty(self.stepper, loss)
        loss.backward()
        self._limit_gradient()
        return loss.detach()

    def _gives_up(self) -> TrainingDivergedError:
        values = ", ".join(f"{name} = {_summary(value)}" for name, value in estimates(self.stepper).items())
        return TrainingDivergedError(
            f"{type(self.stepper).__name__} still diverges after its step was halved {MAX_REJECTIONS} times"
            f"{f', at {values}' if values else ''}; start from other values, narrow the bounds, "
            "or take more substeps."
        )

    def _limit_gradient(self) -> None:
        gradients = [p.grad for p in self.stepper.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            raise DivergenceError(f"{type(self.stepper).__name__} has a gradient that is not finite.")
        if self.clip is not None:
            nn.utils.clip_grads_with_norm_(self.stepper.parameters(), self.clip, norm)

    def _forget_curvature(self) -> None:
        # What L-BFGS learned of other windows' loss would mislead its line search on these.
        if isinstance(self.optimizer, torch.optim.LBFGS):
            self.optimizer.state.clear()

    def _snapshot(self, stepper: Stepper) -> _Snapshot:
        return _Snapshot(
            [value.detach().clone() for value in _values(stepper)],
            {p: {name: _copied(value) for name, value in s.items()} for p, s in self.optimizer.state.items()},
        )

    def _restore(self, snapshot: _Snapshot) -> None:
        with torch.no_grad():
            for present, value in zip(_values(self.stepper), snapshot.weights, strict=True):
                present.copy_(value)
        self.optimizer.state.clear()
        for key, state in snapshot.optimizer.items():
            self.optimizer.state[key] = {name: _copied(value) for name, value in state.items()}


@dataclass(frozen=True)
class _Snapshot:
    """A model's weights and its optimiser's memory: cheaper than state_dict, since taken before each step."""

    weights: list[Tensor]
    optimizer: dict[Tensor, dict[str, Any]]


def _values(stepper: Stepper) -> Iterator[Tensor]:
    """Parameters and buffers: batch statistics of a diverged rollout must not stay either."""
    return itertools.chain(stepper.parameters(), stepper.buffers())


def _copied(value: Any) -> Any:
    """Tensors cloned, lists of them too (L-BFGS keeps its history so); numbers as they are."""
    if isinstance(value, Tensor):
        return value.clone()
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _summary(value: Tensor) -> str:
    if value.numel() == 1:
        return f"{float(value):.6g}"
    return f"{float(value.min()):.6g} to {float(value.max()):.6g}"
