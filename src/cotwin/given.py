"""What comes from outside: known numbers and courses in time of a sample, and which trajectory it is of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Course:
    """A quantity known at equally spaced times, linear between them.

    values: (B, J) numbers, or (B, J, *S) fields on the grid; the first is at the sample's start.
    per_step: how many of their intervals make one of the data.
    """

    values: Float[Tensor, "B J *S"]
    per_step: float = 1.0

    @property
    def steps(self) -> float:
        """Intervals of the data that it covers."""
        return (self.values.shape[1] - 1) / self.per_step

    def mean(self, begin: float, end: float) -> Float[Tensor, "B *S"]:
        """Over a stretch of time, counted in intervals of the data from the start; its value where both are one."""
        return self.means(np.array([[begin, end]], dtype=float))[0]

    def means(self, stretches: Float[np.ndarray, "N 2"]) -> Float[Tensor, "N B *S"]:
        """Over each of some stretches. Exact for what is linear between the known times."""
        begin, end = stretches.T * self.per_step
        last = self.values.shape[1] - 1
        first = np.minimum(np.floor(begin + 1e-9), last - 1)
        pieces = max(1, int((np.ceil(end - 1e-9) - first).max()))
        instant, length = begin == end, np.maximum(end - begin, 1e-300)
        knots = first + np.arange(pieces + 1)[:, None]
        shares = np.zeros_like(knots)
        for piece, knot in enumerate(knots[:-1]):
            low, high = np.maximum(begin, knot), np.minimum(end, knot + 1)
            share = np.where(instant, piece == 0, np.maximum(high - low, 0) / length)
            rest = share * ((low + high) / 2 - knot)
            shares[piece] += share - rest
            shares[piece + 1] = rest
        places = torch.from_numpy(np.minimum(knots, last).ravel()).to(self.values.device, torch.long)
        there = self.values.index_select(1, places).unflatten(1, knots.shape).movedim((1, 2), (0, 1))
        parts = there * torch.from_numpy(shares).to(there).view(*knots.shape, *[1] * (there.dim() - 2))
        # One after the other, so that rounding does not depend on how many samples there are.
        mean: Tensor = reduce(torch.add, parts.unbind())
        return mean

    def later(self, steps: float) -> Course:
        """What is left of it after so many intervals of the data, which are whole ones of its own."""
        return replace(self, values=self.values[:, round(steps * self.per_step) :])


@dataclass(frozen=True)
class Given:
    """What B samples are given beside their starts.

    trajectory: which one of the data each is of, (B,). frame: where in it the sample starts, in intervals of the
    data.
    conditions: known numbers (B,) or fields (B, *S), by name. inputs: known courses in time, by name.

    >>> given = Given.of(2, conditions={"nu": torch.tensor([0.1, 0.2])})
    >>> given.rows([1, 1]).conditions["nu"]
    tensor([0.2000, 0.2000])
    """

    trajectory: Int[Tensor, " B"]
    frame: Int[Tensor, " B"]
    conditions: Mapping[str, Tensor] = field(default_factory=dict)
    inputs: Mapping[str, Course] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        count: int,
        conditions: Mapping[str, Float[Tensor, "B *S"]] | None = None,
        inputs: Mapping[str, Course] | None = None,
    ) -> Given:
        """For whole trajectories, numbered from zero.

        Raises ValueError where a condition or an input is not of as many.
        """
        for name, known in {**(conditions or {}), **{n: one.values for n, one in (inputs or {}).items()}}.items():
            if len(known) != count:
                raise ValueError(f"{name} is given for {len(known)} trajectories, there are {count}.")
            if not bool(known.isfinite().all()):
                raise ValueError(f"{name} is not finite everywhere; what is given has to be known.")
        return cls(torch.arange(count), torch.zeros(count, dtype=torch.long), conditions or {}, inputs or {})

    def __len__(self) -> int:
        return len(self.trajectory)

    @property
    def size(self) -> int:
        """How many numbers are given."""
        known = (*self.conditions.values(), *(course.values for course in self.inputs.values()))
        return sum(values.numel() for values in known)

    @property
    def names(self) -> frozenset[str]:
        """Of all conditions and inputs."""
        return frozenset((*self.conditions, *self.inputs))

    def mapped(self, tensors: Callable[[Tensor], Tensor], courses: Callable[[Course], Course] | None = None) -> Given:
        """With a function of every tensor, and perhaps another of the courses."""
        alike = courses or (lambda course: replace(course, values=tensors(course.values)))
        return Given(
            tensors(self.trajectory),
            tensors(self.frame),
            {name: tensors(value) for name, value in self.conditions.items()},
            {name: alike(course) for name, course in self.inputs.items()},
        )

    def tensors(self) -> dict[str, Tensor]:
        """All that it holds, each with the samples first."""
        return {
            "trajectory": self.trajectory,
            "frame": self.frame,
            **{f"condition {name}": value for name, value in self.conditions.items()},
            **{f"input {name}": course.values for name, course in self.inputs.items()},
        }

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Given:
        """The same with others in their places."""
        return Given(
            tensors["trajectory"],
            tensors["frame"],
            {name: tensors[f"condition {name}"] for name in self.conditions},
            {name: replace(course, values=tensors[f"input {name}"]) for name, course in self.inputs.items()},
        )

    def rows(self, rows: slice | Sequence[int] | Int[Tensor, " b"]) -> Given:
        """Of some of the samples."""
        index = rows if isinstance(rows, slice) else torch.as_tensor(rows, dtype=torch.long)
        return self.mapped(lambda values: values[index])

    def to(self, like: torch.device | torch.dtype) -> Given:
        """On another device, or with conditions and inputs in another precision."""

        def moved(values: Tensor) -> Tensor:
            return values.to(like) if isinstance(like, torch.device) or values.is_floating_point() else values

        return self.mapped(moved)

    def repeated(self, times: int) -> Given:
        """All samples, again and again."""
        return self.mapped(lambda values: values.repeat(times, *[1] * (values.dim() - 1)))

    def window(self, rows: Int[Tensor, " b"], frames: Int[Tensor, " b"], num_steps: int) -> Given:
        """Of stretches of some of the samples: from a frame on, over so many intervals of the data.

        Raises ValueError where an input ends before.
        """
        rows, frames = rows.to(self.frame.device), frames.to(self.frame.device)
        if len(frames):
            self.require((), int(frames.max()) + num_steps)

        def stretch(course: Course) -> Course:
            each = round(course.per_step)
            knots = frames[:, None] * each + torch.arange(num_steps * each + 1, device=frames.device)
            return replace(course, values=course.values[rows[:, None], knots])

        some = self.rows(rows)
        return replace(
            some, frame=some.frame + frames, inputs={name: stretch(one) for name, one in self.inputs.items()}
        )

    def later(self, steps: int) -> Given:
        """From so many intervals later on, to the same end."""
        inputs = {name: course.later(steps) for name, course in self.inputs.items()}
        return replace(self, frame=self.frame + steps, inputs=inputs)

    def begun_at(self, frames: Int[Tensor, " B"]) -> Given:
        """From a frame of its own on for each sample; inputs keep their length, their last values going on."""

        def shifted(course: Course) -> Course:
            knots = torch.arange(course.values.shape[1]) + frames[:, None] * round(course.per_step)
            rows = torch.arange(len(frames))[:, None]
            return replace(course, values=course.values[rows, knots.clamp(max=course.values.shape[1] - 1)])

        return replace(
            self, frame=self.frame + frames, inputs={name: shifted(one) for name, one in self.inputs.items()}
        )

    def on_another_grid(self, moved: Callable[[Float[Tensor, "R 1 *S"]], Float[Tensor, "R 1 *F"]]) -> Given:
        """With every field moved to another grid."""

        def fields(values: Tensor, leading: int) -> Tensor:
            if values.dim() == leading:
                return values
            there: Tensor = moved(values.flatten(0, leading - 1)[:, None])[:, 0]
            apart: Tensor = there.unflatten(0, values.shape[:leading])
            return apart

        return replace(
            self,
            conditions={name: fields(value, 1) for name, value in self.conditions.items()},
            inputs={name: replace(one, values=fields(one.values, 2)) for name, one in self.inputs.items()},
        )

    def slowed(self, factor: int) -> Given:
        """For steps that are so many times shorter."""
        inputs = {name: replace(one, per_step=one.per_step / factor) for name, one in self.inputs.items()}
        return replace(self, frame=self.frame * factor, inputs=inputs)

    def require(self, names: Collection[str], num_steps: int) -> None:
        """Raise ValueError unless all of these are given, and every input to the end of so many steps."""
        missing = sorted(set(names) - self.names)
        if missing:
            known = ", ".join(sorted(self.names)) or "nothing"
            raise ValueError(f"{', '.join(missing)} must be given with the starts; what is given is {known}.")
        for name, course in self.inputs.items():
            if course.steps < num_steps - 1e-6:
                raise ValueError(
                    f"input {name} ends after {course.steps:g} intervals, the rollout takes {num_steps}; give it to "
                    "the end, or roll out fewer steps."
                )


def joined(parts: Sequence[Given]) -> Given:
    """Samples of several, one after the other; all are given the same things."""
    first = parts[0]
    return Given(
        torch.cat([one.trajectory for one in parts]),
        torch.cat([one.frame for one in parts]),
        {name: torch.cat([one.conditions[name] for one in parts]) for name in first.conditions},
        {
            name: replace(course, values=torch.cat([one.inputs[name].values for one in parts]))
            for name, course in first.inputs.items()
        },
    )
