"""Unknowns that are not one number for all: one for each group of trajectories, or a course in time."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.given import Given
from cotwin.parameters.clock import Stretches
from cotwin.parameters.outside import Flowing, Ones, Outside, largest, shaped
from cotwin.parameters.parameter import Parameter


class Grouped(Outside):
    """An unknown number with a value of its own for each group of trajectories.

    each: an unknown of G numbers, one for each group. groups: of each trajectory by its number in the data, (N,),
    from 0 to G − 1. names: of the groups. Trajectories of no group (−1), and others than these N, have the groups'
    common centre, the mean of what is free of any bound.
    """

    by_parts = True
    batched = True
    groups: Tensor

    def __init__(self, each: Parameter, groups: Int[Tensor, " N"], names: tuple[str, ...] = ()) -> None:
        super().__init__(each.unit)
        shape = tuple(each().shape)
        count = shape[0] if len(shape) == 1 else 0
        if not count or len(groups) == 0 or int(groups.max()) != count - 1 or int(groups.min()) < -1:
            raise ValueError(
                f"an unknown of shape {shape} for groups {groups.unique().tolist()}: it needs one "
                "number for each group, counted from 0."
            )
        self.each = each
        each.rows = names or tuple(f"group {group}" for group in range(count))
        self.register_buffer("groups", groups.clone())

    @property
    def name(self) -> None:
        """Nothing has to be given but which trajectory a sample is of."""

    def forward(self) -> Float[Tensor, ""]:
        values = self.each()
        return values[values.detach().abs().argmax()]

    def widened(self, given: Given) -> None:
        """The groups are all that there is."""

    def of(self, given: Given) -> Int[Tensor, " B"]:
        """The group of each sample; −1 for none."""
        known = (given.trajectory >= 0) & (given.trajectory < len(self.groups))
        return torch.where(known, self.groups[given.trajectory.clamp(0, len(self.groups) - 1)], -1)

    def bound(self, given: Given, ones: Ones) -> Parameter:
        return OfSamples(self.each, self.of(given), ones)


class OfSamples(Parameter):
    """A `Grouped` unknown for the samples of a rollout."""

    by_parts = True
    batched = True

    def __init__(self, each: Parameter, groups: Int[Tensor, " B"], ones: Ones) -> None:
        super().__init__(each.unit)
        self.each, self.groups, self.ones = each, groups, ones

    def forward(self) -> Float[Tensor, "*K"]:
        values = self.each()
        centre = self.each.bounded(self.each.unbounded(values).mean(dim=0, keepdim=True))
        # It stands last, where the group −1 finds it.
        return shaped(torch.cat([values, centre])[self.groups], self.ones)


class InTime(Outside):
    """An unknown course in time, the same in all trajectories: numbers at equal times, linear between them.

    each: an unknown of K numbers, the first at the first state of a trajectory, the last `duration` later; then
    it stays. dt: of the stepper, in the same unit of time.
    """

    by_parts = True
    batched = True

    def __init__(self, each: Parameter, duration: float, dt: float) -> None:
        super().__init__(each.unit)
        shape = tuple(each().shape)
        if len(shape) != 1 or shape[0] < 2 or not duration > 0:
            raise ValueError(f"an unknown of shape {shape} over {duration:g}: a course needs two times or more.")
        self.each, self.per_step = each, (shape[0] - 1) * dt / duration
        each.rows = tuple(f"time {duration * k / (shape[0] - 1):.4g}" for k in range(shape[0]))

    @property
    def name(self) -> None:
        """Nothing has to be given but when a sample starts."""

    def forward(self) -> Float[Tensor, ""]:
        return largest(self.each())

    def widened(self, given: Given) -> None:
        """Its numbers are all that there is."""

    def bound(self, given: Given, ones: Ones) -> Parameter:
        return FlowingUnknown(self.each, given.frame.double() * self.per_step, self.per_step, ones)


class FlowingUnknown(Flowing):
    """An `InTime` unknown for the samples of a rollout. start: of each, in intervals between its numbers, (B,)."""

    by_parts = True
    batched = True

    def __init__(self, each: Parameter, start: Float[Tensor, " B"], per_step: float, ones: Ones) -> None:
        super().__init__()
        self.each, self.start, self.per_step, self.ones = each, start, per_step, ones

    def means(self, stretches: Stretches) -> Float[Tensor, "N *K"]:
        values = self.each()
        middle = torch.from_numpy(stretches).to(values.device).mean(dim=1, keepdim=True)
        place = self.start + middle * self.per_step
        below = place.floor().long().clamp(0, len(values) - 2)
        along = (place - below).clamp(0, 1).to(values)
        return shaped(torch.lerp(values[below], values[below + 1], along), self.ones, leading=1)

    def later(self, steps: int) -> Parameter:
        return FlowingUnknown(self.each, self.start + steps * self.per_step, self.per_step, self.ones)
