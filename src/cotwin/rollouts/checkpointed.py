"""Rollouts whose gradient needs memory for few steps at a time."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cotwin.rollouts.sharing import share
from cotwin.stepper import Stepper


class Checkpointed(Stepper):
    """The inner stepper; its rollout keeps one state a segment for the gradient, and computes the rest again.

    segment: steps of one segment; None for √k of a rollout of k steps, with which memory beside the states
        themselves grows like √k.
    Costs one more rollout forward. Numbers and gradients are the inner stepper's, to rounding, parameters and their
    names its own. The reverse mode of `torch.func` (grad, jacrev) refuses it: take the inner stepper there.
    Source: Chen et al. (2016), arXiv:1604.06174.
    """

    def __init__(self, inner: Stepper, segment: int | None = None) -> None:
        super().__init__(inner.layout)
        if segment is not None and segment < 1:
            raise ValueError(f"segment is {segment}; give at least 1 step, or None for the square root of all.")
        if not inner.composes:
            name = type(inner).__name__
            raise ValueError(
                f"two rollouts of {name} in sequence are not one, so it cannot be cut into segments; put the wrapper "
                f"inside: {name}(Checkpointed(…), …)."
            )
        share(self, inner)
        self.segment, self.vmaps = segment, inner.vmaps

    inner: Stepper

    @property
    def dtype(self) -> torch.dtype | None:
        """The inner stepper's."""
        return self.inner.dtype

    def needed_pace(self) -> tuple[int, ...]:
        """The inner stepper's."""
        return self.inner.pace()

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        """The inner stepper's."""
        return self.inner.remedy(before)

    def paced(self, pace: tuple[int, ...]) -> Checkpointed:
        return Checkpointed(self.inner.paced(pace), self.segment)

    def forward(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        return self.rollout(state, 1)[:, 1]

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        length = max(1, math.isqrt(num_steps)) if self.segment is None else self.segment
        parts = [state[:, None]]
        for first in range(0, num_steps, length):
            # clone: a view would keep the whole segment before it.
            start, steps = parts[-1][:, -1].clone(), min(length, num_steps - first)
            states: Tensor = checkpoint(self.inner.rollout, start, steps, use_reentrant=False)
            parts.append(states[:, 1:])
        return torch.cat(parts, dim=1)
