"""The mean of a model's weights over its last steps: steadier than the latest, which each batch pulls its own way."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cotwin.stepper import Stepper

DECAY = 8
"""Of n steps about the last n/(DECAY + 1) count."""


class AveragedWeights:
    """w̄ ← w̄ + (γ + 1)/(n + γ) · (w − w̄) at step n, γ = 8: polynomial-decay averaging.

    Step i of n weighs about (i/n)^γ, so it is the mean over the last ninth of the steps, however many there are:
    what came early is forgotten, and no length has to be known. `torch.optim.swa_utils.AveragedModel` does the same
    with a module; on small networks it takes twenty times as long a step, 3 % of the step.

    Source: Shamir & Zhang (2013), ICML, Stochastic gradient descent for non-smooth optimization.
    """

    def __init__(self, stepper: Stepper) -> None:
        self.stepper, self.steps = stepper, 0
        self.present = [weight.detach() for weight in stepper.parameters()]
        self.weights = [weight.clone() for weight in self.present]

    def add(self) -> None:
        """The model's weights now, after one more step."""
        self.steps += 1
        keep = 1 - (DECAY + 1) / (self.steps + DECAY)
        get_ema_multi_avg_fn(keep)(self.weights, self.present, self.steps)

    def model(self) -> Stepper:
        """The model with its mean weights, as a copy; buffers are the model's own."""
        mean = copy.deepcopy(self.stepper)
        with torch.no_grad():
            for weight, value in zip(mean.parameters(), self.weights, strict=True):
                weight.copy_(value)
        return mean

    def state_dict(self) -> dict[str, Any]:
        """What the next mean depends on, as copies."""
        return {"steps": self.steps, "weights": [weight.clone() for weight in self.weights]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.steps = int(state["steps"])
        for weight, value in zip(self.weights, state["weights"], strict=True):
            weight.copy_(value)
