"""Solving with a shorter time step than the data's."""

from __future__ import annotations

import math
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.parameters.outside import Ones
from cotwin.rollouts.wrapper import Wrapper
from cotwin.stepper import Stepper


class Substepped(Wrapper):
    """The inner stepper's solution u(x, t), every factor-th of whose states is returned.

    inner: a stepper on the data's layout with dt / factor.
    factor: how many of its steps make one of the data.
    """

    batched = True

    def __init__(self, inner: Stepper, layout: Layout, factor: int) -> None:
        same = factor >= 1 and replace(inner.layout, dt=layout.dt) == layout
        if not same or not math.isclose(inner.layout.dt * factor, layout.dt):
            raise ValueError(
                f"the inner stepper's layout, dt {inner.layout.dt:.6g}, is not the data's layout, dt "
                f"{layout.dt:.6g}, with dt / {factor}; build it on shortened(layout, {factor})."
            )
        super().__init__(inner, layout)
        self.factor = factor

    def bound(self, given: Given, ones: Ones) -> Wrapper:
        return super().bound(given.slowed(self.factor), ones)

    def over(self, begin: float, end: float) -> Wrapper:
        return super().over(begin * self.factor, end * self.factor)

    def later(self, steps: int) -> Wrapper:
        return super().later(steps * self.factor)

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        return self.inner.rollout(state, num_steps * self.factor)[:, :: self.factor]


def shortened(layout: Layout, factor: int) -> Layout:
    """The same layout with `factor` states in each of its intervals."""
    return replace(layout, dt=layout.dt / factor)
