"""Parameters whose value comes from outside: known numbers and fields of each trajectory, known courses in time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

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
    """A parameter that changes along a rollout. Calling it gives its mean over the stretch where that is.

    stretch: counted in intervals of the data from the start of the rollout. Whoever rolls out moves it on: what is
    bound to samples belongs to their rollout alone.
    """

    stretch: tuple[float, float] = (0.0, 0.0)

    @abstractmethod
    def over(self, begin: float, end: float) -> Parameter:
        """Its mean over a stretch."""

    @abstractmethod
    def later(self, steps: int) -> Parameter:
        """The same for a rollout that begins so many intervals later."""

    def forward(self) -> Float[Tensor, "*K"]:
        return self.over(*self.stretch)()


def flowing(module: nn.Module) -> list[Flowing]:
    """What changes along a rollout inside a module."""
    return [one for one in module.modules() if isinstance(one, Flowing)]


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
        return Known(shaped(given.conditions[self.name], ones))


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

    def forward(self) -> Float[Tensor, "*K"]:
        return shaped(self.course.mean(*self.stretch), self.ones)

    def over(self, begin: float, end: float) -> Parameter:
        return Known(shaped(self.course.mean(begin, end), self.ones))

    def later(self, steps: int) -> Parameter:
        return FlowingInput(self.course.later(steps), self.ones)


def shaped(values: Float[Tensor, "B *S"], ones: Ones) -> Tensor:
    """Numbers (B,) as (B, *ones), fields (B, *S) as (B, 1, *S); of one sample alone () and (*S)."""
    if not ones:
        return values[0]
    return values.view(-1, *ones) if values.dim() == 1 else values.unsqueeze(1)


def largest(values: Float[Tensor, "*K"]) -> Float[Tensor, ""]:
    """The number of largest size, with its sign."""
    return values.flatten()[values.abs().argmax()]
