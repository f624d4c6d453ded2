"""One contract for simulators and networks: a state in, the state one data interval later out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.layout import Layout


class DivergenceError(ArithmeticError):
    """A rollout left the finite numbers. Whoever can judge may catch it: the trainer rejects its step."""


class Stepper(nn.Module, ABC):
    """Advances states of a layout by its dt. A PDE solver or a network.

    `forward` maps (B, C, *S) to (B, C, *S), one data interval later, differentiably, and passes static
    channels through. Samples of a batch never influence each other.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    @property
    def device(self) -> torch.device:
        """Where its parameters and buffers are; the CPU if it has none."""
        return next((value.device for value in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    @abstractmethod
    def forward(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        """The state one `layout.dt` later."""

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        """The start and the `num_steps` states after it, T = num_steps + 1.

        Override it to stay in another representation between steps (Fourier coefficients, fields of another
        library), so that conversion is paid once a rollout. Callers use `cotwin.rollout`, which checks.
        """
        states = [state]
        for _ in range(num_steps):
            states.append(self(states[-1]))
        return torch.stack(states, dim=1)


def rollout(stepper: Stepper, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
    """`stepper.rollout` with its input and output checked; T = num_steps + 1, the start included.

    Raises ValueError if the state does not fit the stepper's layout or the stepper returns another number of
    states, and `DivergenceError`, naming the first step and the number of samples, if a state is not finite.
    """
    stepper.layout.require_state(tuple(state.shape))
    if num_steps < 0:
        raise ValueError(f"num_steps is {num_steps}; a rollout goes forward in time.")
    states = stepper.rollout(state, num_steps)
    expected = (len(state), num_steps + 1, *state.shape[1:])
    if tuple(states.shape) != expected:
        # One step too few would broadcast against the truth without a word.
        raise ValueError(
            f"{type(stepper).__name__}.rollout returned {tuple(states.shape)} instead of {expected}; "
            "it returns the start and the num_steps states after it."
        )
    # The sum is finite unless an entry is not (or the states are near overflow): one pass, no mask in memory.
    if not torch.isfinite(states.detach().sum()):
        finite = torch.isfinite(states.detach()).flatten(2).all(dim=2)
        if not finite.all():
            step = int((~finite).any(dim=0).nonzero()[0])
            samples = int((~finite).any(dim=1).sum())
            raise DivergenceError(
                f"{type(stepper).__name__} diverged at step {step} of {num_steps}, "
                f"in {samples} of {len(state)} samples."
            )
    return states
