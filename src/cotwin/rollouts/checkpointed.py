"""Rollouts whose gradient needs memory for few steps at a time."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cotwin.rollouts.batched import rollout_with
from cotwin.rollouts.wrapper import Wrapper
from cotwin.stepper import Stepper


class Checkpointed(Wrapper):
    """The inner stepper; its rollout keeps one state a segment for the gradient, and computes the rest again.

    segment: steps of one segment; None for √k of a rollout of k steps, with which memory beside the states
        themselves grows like √k.
    Costs one more rollout forward. Numbers and gradients are the inner stepper's, to rounding, parameters and their
    names its own. The reverse mode of `torch.func` (grad, jacrev) refuses it: take the inner stepper there.
    Source: Chen et al. (2016), arXiv:1604.06174.
    """

    batched = True

    def __init__(self, inner: Stepper, segment: int | None = None) -> None:
        super().__init__(inner)
        if segment is not None and segment < 1:
            raise ValueError(f"segment is {segment}; give at least 1 step, or None for the square root of all.")
        if not inner.composes:
            name = type(inner).__name__
            raise ValueError(
                f"two rollouts of {name} in sequence are not one, so it cannot be cut into segments; put the wrapper "
                f"inside: {name}(Checkpointed(…), …)."
            )
        self.segment = segment

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        length = max(1, math.isqrt(num_steps)) if self.segment is None else self.segment
        parts = [state[:, None]]
        # The second time a segment is computed, other values may stand in the stepper: those of now are kept.
        values = dict(self.inner.named_parameters())
        for first in range(0, num_steps, length):
            # clone: a view would keep the whole segment before it.
            start, steps = parts[-1][:, -1].clone(), min(length, num_steps - first)
            inner = self.inner.later(first)
            states: Tensor = checkpoint(rollout_with, inner, values, start, steps, use_reentrant=False)
            parts.append(states[:, 1:])
        return torch.cat(parts, dim=1)


def checkpointed(stepper: Stepper) -> Stepper:
    """The stepper with whatever can be cut into segments checkpointed: itself, or what it wraps."""
    if stepper.composes:
        return Checkpointed(stepper)
    return stepper.around(checkpointed(stepper.inner)) if isinstance(stepper, Wrapper) else stepper
