"""What the other ways to roll a stepper out have in common."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.parameters.outside import Ones
from cotwin.stepper import Effort, RolloutStepper, Stepper
from cotwin.symmetries import Symmetries


class Wrapper(RolloutStepper):
    """Another stepper, rolled out in another way. A subclass gives `rollout`, and says what it promises otherwise.

    Whatever the inner stepper promises holds for it too: device, precision, pace, faces, remedies. Parameters,
    buffers and modules are the inner stepper's own, under the same names, so that estimates, checkpoints and weights
    are the same with the wrapper and without.

    layout: of the states it takes; None for the inner stepper's.
    """

    inner: Stepper

    def __init__(self, inner: Stepper, layout: Layout | None = None) -> None:
        super().__init__(inner.layout if layout is None else layout)
        self._put_inside(inner)
        for register in ("_parameters", "_buffers", "_non_persistent_buffers_set", "_modules"):
            self.__dict__[register] = inner.__dict__[register]
        self.composes, self.vmaps, self.staggered = inner.composes, inner.vmaps, inner.staggered
        self.differentiable, self.marches = inner.differentiable, inner.marches

    @property
    def device(self) -> torch.device:
        """The inner stepper's."""
        return self.inner.device

    @property
    def dtype(self) -> torch.dtype | None:
        """The inner stepper's."""
        return self.inner.dtype

    @property
    def effort(self) -> Effort | None:
        """The inner stepper's."""
        return self.inner.effort

    @property
    def solver_layout(self) -> Layout:
        """The inner stepper's."""
        return self.inner.solver_layout

    @property
    def symmetries(self) -> Symmetries:
        """The inner stepper's."""
        return self.inner.symmetries

    @property
    def conserved(self) -> frozenset[int]:
        """The inner stepper's."""
        return self.inner.conserved

    def at_data_points(self, value: Float[Tensor, "*F"]) -> Float[Tensor, "*K"]:
        return self.inner.at_data_points(value)

    def needed_pace(self) -> tuple[int, ...]:
        """The inner stepper's."""
        return self.inner.pace()

    def paced(self, pace: tuple[int, ...]) -> Wrapper:
        return self.around(self.inner.paced(pace))

    def made_of(self) -> Iterator[nn.Module]:
        return iter([self.inner])

    @property
    def needs(self) -> frozenset[str]:
        """The inner stepper's."""
        return self.inner.needs

    @property
    def takes_given(self) -> bool:
        """The inner stepper's, which may be bound already."""
        return self.inner.takes_given

    @property
    def flows(self) -> bool:
        """The inner stepper's."""
        return self.inner.flows

    def bound(self, given: Given, ones: Ones) -> Wrapper:
        return self.around(self.inner.bound(given, ones))

    def paced_for(self, given: Given) -> Wrapper:
        return self.around(self.inner.paced_for(given))

    def at_largest(self) -> Wrapper:
        return self.around(self.inner.at_largest())

    def over(self, begin: float, end: float) -> Wrapper:
        return self.around(self.inner.over(begin, end))

    def later(self, steps: int) -> Wrapper:
        return self.around(self.inner.later(steps))

    def around(self, inner: Stepper) -> Wrapper:
        """The same around another stepper that shares the parameters of the inner one."""
        twin = copy(self)
        twin._put_inside(inner)
        twin.samples = inner.samples
        return twin

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        """The inner stepper's."""
        return self.inner.remedy(before)

    def admits(self, states: Float[Tensor, "B C *S"]) -> Bool[Tensor, "B"]:
        """As the inner stepper does, where its grid is the same."""
        return self.inner.admits(states) if self.inner.layout == self.layout else super().admits(states)

    def largest_stable_step(self, state: Float[Tensor, "B C *S"]) -> float:
        """The inner stepper's."""
        return self.inner.largest_stable_step(state)

    def train(self, mode: bool = True) -> Wrapper:
        self.inner.train(mode)
        super().train(mode)
        return self

    def _put_inside(self, inner: Stepper) -> None:
        # Not registered as a module, which would put "inner." before every name.
        object.__setattr__(self, "inner", inner)
