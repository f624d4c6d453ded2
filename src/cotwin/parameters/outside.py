"""Parameters whose value comes from outside, or differs between trajectories."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.given import Course, Given
from cotwin.parameters.numbers import Known
from cotwin.parameters.parameter import Parameter

Ones = tuple[int, ...]
"""Axes of length one behind that of the samples, so that numbers broadcast against states; () for none."""


class Outside(Parameter, ABC):
    """A parameter that each sample of a rollout has a value of its own of.

    Calling it gives the value of largest size among all, which constructors and paces ask for: a pace must not depend
    on the batch.
    """

    @property
    @abstractmethod
    def name(self) -> str | None:
        """Of what has to be given; None where it is enough to know the trajectories."""

    @abstractmethod
    def widened(self, given: Given) -> Parameter | None:
        """A parameter of the value of largest size among the data and these samples; None where it is this one's."""

    @abstractmethod
    def bound(self, given: Given, ones: Ones) -> Parameter:
        """The same for these samples: numbers of shape (B, *ones), fields (B, 1, *S).

        With ones = () there is one sample, whose number is a scalar and whose field is (*S).
        """


class Flowing(Parameter, ABC):
    """A parameter that changes along a rollout. Calling it gives what it begins with."""

    @abstractmethod
    def over(self, begin: float, end: float) -> Parameter:
        """Its mean over a stretch, counted in intervals of the data from the start of the rollout."""

    @abstractmethod
    def later(self, steps: int) -> Parameter:
        """The same for a rollout that begins so many intervals later."""

    def forward(self) -> Float[Tensor, "*K"]:
        return self.over(0.0, 0.0)()


class Condition(Outside):
    """A known number or static field of each trajectory.

    name: by which it is given. largest: its value of largest size in the data.
    """

    batched = True
    largest: Tensor

    def __init__(self, name: str, largest: float | Float[Tensor, ""], unit: str = "1") -> None:
        super().__init__(unit)
        self._name = name
        self.register_buffer("largest", torch.as_tensor(largest, dtype=torch.get_default_dtype()).clone())

    @property
    def name(self) -> str:
        """By which it is given."""
        return self._name

    def forward(self) -> Float[Tensor, ""]:
        return self.largest

    def known(self, given: Given) -> Float[Tensor, "R *S"]:
        """All values of these samples, at all times."""
        return given.conditions[self.name]

    def widened(self, given: Given) -> Parameter | None:
        here = largest(self.known(given))
        return Known(here) if bool(here.abs() > self.largest.abs()) else None

    def bound(self, given: Given, ones: Ones) -> Parameter:
        return Known(_shaped(given.conditions[self.name], ones))


class Input(Condition):
    """A known course in time of each trajectory: numbers, or fields on the grid."""

    batched = True

    def known(self, given: Given) -> Float[Tensor, "R *S"]:
        """All values of these samples, at all times."""
        return given.inputs[self.name].values.flatten(0, 1)

    def bound(self, given: Given, ones: Ones) -> Parameter:
        return FlowingInput(given.inputs[self.name], ones)


class FlowingInput(Flowing):
    """An input of the samples of a rollout."""

    batched = True

    def __init__(self, course: Course, ones: Ones) -> None:
        super().__init__()
        self.course, self.ones = course, ones

    def over(self, begin: float, end: float) -> Parameter:
        return Known(_shaped(self.course.mean(begin, end), self.ones))

    def later(self, steps: int) -> Parameter:
        return FlowingInput(self.course.later(steps), self.ones)


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
        return _shaped(torch.cat([values, centre])[self.groups], self.ones)


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
        return FlowingUnknown(self.each, given.frame * self.per_step, self.per_step, ones)


class FlowingUnknown(Flowing):
    """An `InTime` unknown for the samples of a rollout. start: of each, in intervals between its numbers, (B,)."""

    by_parts = True
    batched = True

    def __init__(self, each: Parameter, start: Float[Tensor, " B"], per_step: float, ones: Ones) -> None:
        super().__init__()
        self.each, self.start, self.per_step, self.ones = each, start, per_step, ones

    def over(self, begin: float, end: float) -> Parameter:
        return AtTime(self.each, self.start + (begin + end) / 2 * self.per_step, self.ones)

    def later(self, steps: int) -> Parameter:
        return FlowingUnknown(self.each, self.start + steps * self.per_step, self.per_step, self.ones)


class AtTime(Parameter):
    """An `InTime` unknown at one time of each sample."""

    by_parts = True
    batched = True

    def __init__(self, each: Parameter, place: Float[Tensor, " B"], ones: Ones) -> None:
        super().__init__(each.unit)
        self.each, self.place, self.ones = each, place, ones

    def forward(self) -> Float[Tensor, "*K"]:
        values = self.each()
        below = self.place.floor().long().clamp(0, len(values) - 2)
        along = (self.place - below).clamp(0, 1).to(values)
        return _shaped(torch.lerp(values[below], values[below + 1], along), self.ones)


def _shaped(values: Float[Tensor, "B *S"], ones: Ones) -> Tensor:
    """Numbers (B,) as (B, *ones), fields (B, *S) as (B, 1, *S); of one sample alone () and (*S)."""
    if not ones:
        return values[0]
    return values.view(-1, *ones) if values.dim() == 1 else values.unsqueeze(1)


def largest(values: Float[Tensor, "*K"]) -> Float[Tensor, ""]:
    """The number of largest size, with its sign."""
    return values.flatten()[values.abs().argmax()]
