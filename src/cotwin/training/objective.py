"""What one step of an optimiser lowers: the loss of some windows, and what is known of the parameters beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.stepper import DivergenceError, Stepper, rollout
from cotwin.training.loss import RolloutLoss
from cotwin.training.penalty import Penalty
from cotwin.windows import Batch


class Evaluation(NamedTuple):
    """The objective, and the length of its gradient, which is left in the parameters.

    level: the measured windows' part, which says how noisy they are; zero where no priors are weighed against it.
    """

    value: Float[Tensor, ""]
    gradient_norm: Float[Tensor, ""]
    level: Float[Tensor, ""]


class Objective:
    """F = mean of weight · ℓ over some windows + penalty: of one batch, or of all windows, batch by batch.

    indices: the windows. read: from some of them to their batches; how they are cut changes F by rounding alone.
    weights: all parameters of the stepper.
    """

    def __init__(
        self,
        stepper: Stepper,
        loss: RolloutLoss,
        penalty: Penalty | None,
        indices: Sequence[int],
        read: Callable[[Sequence[int]], Iterable[Batch]],
    ) -> None:
        self.stepper, self.loss, self.penalty = stepper, loss, penalty
        self.indices, self.read = indices, read
        self.weights = list(stepper.parameters())  # once: to look for them takes 1 % of a small network's step

    def __len__(self) -> int:
        return len(self.indices)

    def only(self, indices: Sequence[int]) -> Objective:
        """The same of fewer windows."""
        return Objective(self.stepper, self.loss, self.penalty, indices, self.read)

    def batches(self) -> Iterator[Batch]:
        """The windows, on the stepper's device."""
        return (batch.to(self.stepper.device) for batch in self.read(self.indices))

    def evaluate(self, level: Float[Tensor, ""] | None = None) -> Evaluation:
        """F and its gradient at the stepper's present weights. Raises DivergenceError if either is not finite.

        level: the loss that priors are weighed against; the present one if not given. A line search holds it fixed,
        so that F is one function and this its gradient.
        """
        for weight in self.weights:
            weight.grad = None
        value, measured, members = torch.zeros(()), torch.zeros(()), self.stepper.members
        for batch in self.batches():
            for member in members:
                prediction = rollout(member, batch.states[:, 0], batch.states.shape[1] - 1, batch.given)
                losses = self.loss.of_each(prediction, batch)
                part = losses.sum() / len(self)
                if not torch.isfinite(part):
                    raise DivergenceError(f"{type(self.stepper).__name__} has a loss of {float(part.detach())}.")
                part.backward()
                value = value.to(part) + part.detach() / len(members)
                if self.penalty is not None:
                    seen = (losses.detach() * batch.measured).sum() / len(self)
                    measured = measured.to(part) + seen / len(members)
        if self.penalty is not None:
            added = self.penalty(self.stepper, measured if level is None else level)
            added.backward()
            value = value + added.detach()
        norm = nn.utils.get_total_norm([weight.grad for weight in self.weights if weight.grad is not None])
        if not torch.isfinite(norm):
            raise DivergenceError(f"{type(self.stepper).__name__} has a gradient that is not finite.")
        return Evaluation(value, norm, measured)

    def hopeless(self) -> list[int]:
        """Windows that cannot be learned at the present weights, found by halving; batch statistics may move."""
        try:
            self.evaluate()
        except DivergenceError:
            if len(self) == 1:
                return list(self.indices)
            middle = len(self) // 2
            return [*self.only(self.indices[:middle]).hopeless(), *self.only(self.indices[middle:]).hopeless()]
        return []
