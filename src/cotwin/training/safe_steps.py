"""Steps that make a model diverge are taken back; windows that it cannot roll out are left out."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cotwin.parameters import estimates
from cotwin.stepper import DivergenceError, Stepper
from cotwin.training.descent import Descent
from cotwin.training.objective import Objective

logger = logging.getLogger(__name__)

MAX_REJECTIONS = 8  # halvings of the step before a diverging training gives up
RECOVERY = 2 ** (1 / 16)  # growth of a shrunk step at each sound one, so that a few bad batches do not end training
KEPT_EVERY = 8  # steps of an optimiser that takes batches: to keep weights before each costs 3 % of a small network's
CURE = "start from other values, narrow the bounds, or take more substeps."


class TrainingDivergedError(RuntimeError):
    """A model kept diverging although its step was shrunk again and again, or cannot roll out half of its windows."""


class SafeSteps:
    """Takes an optimiser's steps, and returns from where the model diverges to the last sound weights that were kept.

    A step that makes the model diverge is undone and halved, at most 8 times in a row; then `take` raises
    `TrainingDivergedError` with the parameters' values and leaves the model as it was kept before that step. Weights
    are kept before every step of an optimiser that takes all windows, before every eighth of one that takes batches,
    which may lose seven steps so. Sixteen
    sound steps make good for one halving. Windows that diverge at the last sound weights too are left out until the
    next `begin`, and warned of; if they are half of all, `take` raises `TrainingDivergedError`.

    shrink: factor of the next step's length. left_out: windows that the model cannot roll out.
    """

    def __init__(self, stepper: Stepper, descent: Descent) -> None:
        self.stepper, self.descent, self.shrink = stepper, descent, 1.0
        self.begin(stepper, 0)

    def begin(self, sound: Stepper, count: int) -> None:
        """Other windows follow, `count` of them. sound: a model whose weights are known to be sound."""
        self._sound, self._rejections = self._snapshot(sound), 0
        self.left_out: set[int] = set()
        self._count, self._taken = count, 0

    def take(self, objective: Objective, size: float) -> float:
        """One step, `size` times as long as usual or shorter; the loss before it.

        Not a number where none of the windows can be learned.
        """
        keeping, moved_back = self.descent.every_window or self._taken % KEPT_EVERY == 0, False
        here = self._snapshot(self.stepper) if keeping else None
        buffers = [buffer.clone() for buffer in self.stepper.buffers()]
        self._taken += 1
        while True:
            left = [index for index in objective.indices if index not in self.left_out]
            if not left:
                return math.nan
            objective = objective if len(left) == len(objective) else objective.only(left)
            try:
                loss = self.descent.move(objective, size * self.shrink)
            except DivergenceError as error:
                if here is None:
                    # Nothing moved; but batch statistics of a diverged rollout must not stay.
                    _put(buffers, self.stepper.buffers())
                    here = self._snapshot(self.stepper)
                self._restore(self._sound)
                hopeless = objective.hopeless()
                if hopeless:
                    # It is not the step before this one that went too far.
                    self._leave_out(hopeless, error)
                    self._restore(here)
                else:
                    self._restore(self._sound)
                    here, moved_back = self._sound, True
                    self._reject(error)
            else:
                self._sound = here or self._sound
                if not moved_back:
                    self._rejections, self.shrink = 0, min(1.0, self.shrink * RECOVERY)
                return loss

    def failure(self) -> TrainingDivergedError:
        """What to raise where too few windows can be learned."""
        return TrainingDivergedError(
            f"{self._described()} diverges on {len(self.left_out)} of {self._count} windows; {CURE}"
        )

    def _reject(self, error: DivergenceError) -> None:
        """Halve the next step: the one before this one led where the model diverges."""
        self.shrink /= 2
        self._rejections += 1
        if self._rejections > MAX_REJECTIONS:
            raise TrainingDivergedError(
                f"{self._described()} still diverges after its step was halved {MAX_REJECTIONS} times; {CURE}"
            ) from error
        logger.warning("%s Step taken back; the next is %g of the usual size.", error, self.shrink)

    def _leave_out(self, windows: Sequence[int], error: DivergenceError) -> None:
        """Go on without windows that the model cannot roll out, unless they are half of all."""
        self.left_out.update(windows)
        if 2 * len(self.left_out) >= self._count:
            raise self.failure() from error
        logger.warning(
            "%s Left out, since sound weights diverge there too: %d of %d windows so far.",
            error,
            len(self.left_out),
            self._count,
        )

    def _described(self) -> str:
        values = ", ".join(f"{name} = {_summary(value)}" for name, value in estimates(self.stepper).items())
        return f"{type(self.stepper).__name__}{f', at {values},' if values else ''}"

    def _snapshot(self, stepper: Stepper) -> _Snapshot:
        return _Snapshot([value.detach().clone() for value in _values(stepper)], self.descent.state_dict())

    def _restore(self, snapshot: _Snapshot) -> None:
        _put(snapshot.weights, _values(self.stepper))
        self.descent.load_state_dict(snapshot.descent)


@dataclass(frozen=True)
class _Snapshot:
    """A model's weights and its optimiser's memory: cheaper than state_dict, since taken often."""

    weights: list[Tensor]
    descent: dict[str, Any]


def _put(values: Iterable[Tensor], into: Iterable[Tensor]) -> None:
    with torch.no_grad():
        for value, present in zip(values, into, strict=True):
            present.copy_(value)


def _values(stepper: Stepper) -> Iterator[Tensor]:
    """Parameters and buffers: batch statistics of a diverged rollout must not stay either."""
    return itertools.chain(stepper.parameters(), stepper.buffers())


def _summary(value: Tensor) -> str:
    if value.numel() == 1:
        return f"{float(value):.6g}"
    return f"{float(value.min()):.6g} to {float(value.max()):.6g}"
