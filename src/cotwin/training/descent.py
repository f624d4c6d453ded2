"""How weights move: one step of an optimiser on what it lowers."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from cotwin.stepper import DivergenceError
from cotwin.training.objective import Evaluation, Objective

logger = logging.getLogger(__name__)


@runtime_checkable
class Descent(Protocol):
    """An optimiser as the trainer knows it.

    every_window: whether each step takes all windows, as an optimiser needs that compares the objective between
        steps. Else a step takes a batch.
    """

    @property
    def every_window(self) -> bool: ...

    def move(self, objective: Objective, size: float) -> float:
        """One step, `size` times as long as usual; the objective before it.

        Raises DivergenceError if the objective is not finite at the present weights.
        """

    def forget(self) -> None:
        """Drop what was learned of the objective's shape: other windows follow."""

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on beside the weights, as copies: tensors and plain numbers only."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""


class GradientDescent:
    """Any torch optimiser; or several, each of its own part of the weights.

    Each step goes through a closure, so L-BFGS fits as well as Adam. For a line search, weights at which the model
    diverges are a bad point and no error. L-BFGS forms its curvature from differences of gradients. These have to be
    of the same windows, so each step takes all.

    clip: largest norm of the gradient; None for no clipping.
    """

    def __init__(self, *optimizers: torch.optim.Optimizer, clip: float | None = None) -> None:
        self.optimizers, self.clip = optimizers, clip
        self.every_window = any(isinstance(one, torch.optim.LBFGS) for one in optimizers)
        self.base_rates = [float(group["lr"]) for group in self._groups()]

    def move(self, objective: Objective, size: float) -> float:
        """One step of each optimiser, its learning rate times `size`."""
        first: Evaluation | None = None

        def closure() -> Tensor:
            nonlocal first
            try:
                here = objective.evaluate(None if first is None else first.level)
            except DivergenceError as error:
                if first is None:
                    raise
                logger.info("%s Looking elsewhere.", error)
                objective.stepper.zero_grad(set_to_none=False)
                return 10 * first.value
            if self.clip is not None:
                nn.utils.clip_grads_with_norm_(objective.weights, self.clip, here.gradient_norm)
            first = here if first is None else first
            return here.value

        for group, base in zip(self._groups(), self.base_rates, strict=True):
            group["lr"] = base * size
        first_one, *others = self.optimizers
        value = float(first_one.step(closure))  # type: ignore[arg-type]
        for other in others:
            other.step()
        return value

    def forget(self) -> None:
        """L-BFGS loses its curvature, which would mislead its line search; moments are no curvature, and stay."""
        if self.every_window:
            for one in self.optimizers:
                one.state.clear()

    def state_dict(self) -> dict[str, Any]:
        """The optimisers'."""
        return {"optimizers": [_copied(one.state_dict()) for one in self.optimizers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The optimisers'; as copies, since torch would go on to change the moments inside `state`."""
        for one, own in zip(self.optimizers, state["optimizers"], strict=True):
            one.load_state_dict(_copied(own))

    def _groups(self) -> Iterator[dict[str, Any]]:
        # Not kept: an optimiser makes others when it loads a state.
        return itertools.chain.from_iterable(one.param_groups for one in self.optimizers)


class Still:
    """For a model without unknowns: nothing moves."""

    every_window = False

    def move(self, objective: Objective, size: float) -> float:
        """No step; not a number, since nothing is lowered."""
        return float("nan")

    def forget(self) -> None:
        """Nothing was learned."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to continue."""


def _copied(value: Any) -> Any:
    """Tensors cloned, in dictionaries and lists too (L-BFGS keeps its history so); numbers as they are."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
