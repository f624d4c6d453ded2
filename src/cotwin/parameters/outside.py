"""Parameters whose value comes from outside: known numbers and fields of each trajectory, known courses in time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.given import Course, Given
from cotwin.parameters.clock import Clock, Instant, Present, Stretches
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
    """A parameter that changes along a rollout. Calling it gives its mean over the present substep.

    What is bound to samples belongs to their rollout alone, which says by its clock what is present.
    """

    clock: Clock
    present: Present[Tensor]
    # How many numbers there are at once.
    size = 1

    @abstractmethod
    def means(self, stretches: Stretches) -> Float[Tensor, "N *K"]:
        """Its mean over each of some stretches of a rollout; its value where both ends are one."""

    def at(self, stretches: Stretches, instants: Sequence[Instant]) -> Float[Tensor, "N I *K"]:
        """At some instants of each of some stretches."""
        every = np.concatenate([stretches[:, [0, 0]], stretches, stretches[:, [1, 1]]])
        parts = self.means(every).unflatten(0, (3, len(stretches), 1))
        shares = parts.new_tensor(instants).T.unflatten(1, (1, -1, *[1] * (parts.dim() - 3)))
        there: Tensor = (shares * parts).sum(dim=0)
        return there

    @abstractmethod
    def later(self, steps: int) -> Parameter:
        """The same for a rollout that begins so many intervals later."""

    def over(self, begin: float, end: float) -> Parameter:
        """Its mean over a stretch."""
        return Known(self.means(np.array([[begin, end]], dtype=float))[0])

    def forward(self) -> Float[Tensor, "*K"]:
        return self.present()


def flowing(module: nn.Module) -> list[Flowing]:
    """What changes along a rollout inside a module."""
    if isinstance(module, Flowing):
        return [module]
    return [one for child in module.children() for one in flowing(child)]


def clock_for(changing: Iterable[Flowing], stretches: Stretches) -> Clock:
    """A new clock, which from now on says what is present of what changes."""
    clock = Clock(stretches)
    for one in changing:
        one.clock, one.present = clock, clock.follow(one.means, one.size)
    return clock


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
        known = self.known(given)
        return Known(largest(known)) if bool(known.abs().max() > self.largest.abs()) else None

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
        self.size = course.values[:, 0].numel()

    def means(self, stretches: Stretches) -> Float[Tensor, "N *K"]:
        return shaped(self.course.means(stretches), self.ones, leading=1)

    def later(self, steps: int) -> Parameter:
        return FlowingInput(self.course.later(steps), self.ones)


def shaped(values: Float[Tensor, "*N B *S"], ones: Ones, leading: int = 0) -> Tensor:
    """Numbers (B,) as (B, *ones), fields (B, *S) as (B, 1, *S); of one sample alone () and (*S).

    leading: how many axes there are before that of the samples.
    """
    if not ones:
        return values.select(leading, 0)
    return values.view(*values.shape, *ones) if values.dim() == leading + 1 else values.unsqueeze(leading + 1)


def largest(values: Float[Tensor, "*K"]) -> Float[Tensor, ""]:
    """The number of largest size, with its sign."""
    return values.flatten()[values.abs().argmax()]
