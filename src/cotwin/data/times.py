"""When states were measured: frames at equal steps, some of which may be missing, and trajectories of any length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.data.contents import Array, step, unevenness
from cotwin.data.trajectories import Trajectories
from cotwin.given import Course, Given, joined

TOLERANCE = 1e-3
"""Of a step, by which a state's time may lie beside a frame."""
SPARSE = 8
"""Frames for each state that was measured, at most: of more the most are empty."""


@dataclass(frozen=True)
class Frames:
    """The frames of trajectories, at equal steps dt from each one's first state.

    places: at which frame each state lies, (N, T), or (1, T) for all. count: frames of the longest.
    """

    dt: float
    places: Int[Tensor, "N T"]
    count: int

    @classmethod
    def of(cls, times: Array, source: str) -> Frames:
        """From the times of each trajectory, or of all. Raises ValueError unless all lie at whole steps.

        The step is the usual one of the trajectory whose is shortest.
        """
        rows = np.atleast_2d(np.asarray(times, dtype=np.float64))
        problems = [unevenness(row, "") for row in np.atleast_2d(times)]
        if not any(problems) and np.ptp(steps := [step(row) for row in rows]) <= TOLERANCE * steps[0]:
            return cls(steps[0], torch.arange(rows.shape[1])[None], rows.shape[1])
        first = next((problem for problem in problems if problem), "trajectories have other steps")
        if rows.shape[1] < 2 or not (np.isfinite(rows).all() and (np.diff(rows, axis=1) > 0).all()):
            raise ValueError(f"{source}: times are not equally spaced: {first}.")
        dt = float(np.median(np.diff(rows, axis=1), axis=1).min())
        exact = (rows - rows[:, :1]) / dt
        places = np.round(exact)
        count = int(places.max()) + 1
        if np.abs(exact - places).max() > 10 * TOLERANCE or count > SPARSE * rows.shape[1]:
            raise ValueError(
                f"{source}: times are not equally spaced: {first.rstrip('; ')}. Frames may be missing where all "
                f"others lie at whole steps of the usual one, {dt:.6g}, and at least one in {SPARSE} is there; "
                "interpolate in time, or keep a part that is."
            )
        return cls(dt, torch.from_numpy(places.astype(np.int64)), count)

    @property
    def whole(self) -> bool:
        """Whether no frame is missing."""
        return self.places.shape[1] == self.count

    @property
    def note(self) -> str:
        """How many are missing."""
        return (
            f"of {self.count} frames at steps of {self.dt:.6g} up to {self.count - self.places.shape[1]} are missing "
            "in a trajectory: nothing is scored there"
        )

    def spread(
        self, states: Float[Tensor, "N T C *S"], mask: Bool[Tensor, "N T C *S"] | None, static: Sequence[bool]
    ) -> tuple[Float[Tensor, "N F C *S"], Bool[Tensor, "N F C *S"]]:
        """States at their frames, zero and not observed at others; static channels are everywhere."""
        shape = (len(states), self.count, *states.shape[2:])
        rows, places = torch.arange(len(states))[:, None], self.places.expand(len(states), -1)
        wide, seen = states.new_zeros(shape), torch.zeros(shape, dtype=torch.bool)
        wide[rows, places] = states
        seen[rows, places] = torch.ones_like(states, dtype=torch.bool) if mask is None else mask
        fixed = torch.tensor(static)
        wide[:, :, fixed], seen[:, :, fixed] = states[:, :1, fixed], True
        return wide, seen

    def between(self, values: Float[Tensor, "N T *S"]) -> Float[Tensor, "N F *S"]:
        """What is given at the states' times, at all frames: linear between them."""
        if self.whole:
            return values
        every = zip(values, self.places.expand(len(values), -1), strict=True)
        return torch.stack([_linear(own, places, self.count) for own, places in every])


def together(parts: Sequence[Trajectories], source: str) -> Trajectories:
    """The trajectories of several files as one set, numbered through; each with its own length, and steps that are
    whole multiples of the shortest. Raises ValueError for another grid, fields or things given.
    """
    precision = max((part.states.dtype for part in parts), key=lambda dtype: dtype.itemsize)
    parts = [replace(one, states=one.states.to(precision), given=one.given.to(precision)) for one in parts]
    dt = min(part.layout.dt for part in parts)
    factors = [round(part.layout.dt / dt) for part in parts]
    first = parts[0]
    for part, factor in zip(parts, factors, strict=True):
        if abs(part.layout.dt / dt - factor) > TOLERANCE * factor:
            raise ValueError(
                f"{part.source}: its time step {part.layout.dt:.6g} is no multiple of {dt:.6g}, another file's."
            )
        if replace(part.layout, dt=dt) != replace(first.layout, dt=dt):
            raise ValueError(
                f"{part.source} and {first.source} have other fields, grids or boundaries; read them apart."
            )
        if part.given.names != first.given.names:
            only = ", ".join(sorted(part.given.names ^ first.given.names))
            raise ValueError(f"{part.source} and {first.source}: only one of them gives {only}; give it in each.")
    count = max((part.num_frames - 1) * factor + 1 for part, factor in zip(parts, factors, strict=True))
    whole = all(part.num_frames == count and part.mask is None for part in parts)
    spread = [
        Frames(dt, factor * torch.arange(part.num_frames)[None], count).spread(
            part.states, part.mask, part.layout.static_channels
        )
        for part, factor in zip(parts, factors, strict=True)
    ]
    states = torch.cat([one for one, _ in spread])
    given = joined(list(_stretched([part.given for part in parts], factors, count, first.layout.grid)))
    return Trajectories(
        states,
        replace(first.layout, dt=dt),
        None if whole else torch.cat([seen for _, seen in spread]),
        source,
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        replace(given, trajectory=torch.arange(len(states))),
    )


def _stretched(parts: Sequence[Given], factors: Sequence[int], count: int, grid: tuple[int, ...]) -> Iterator[Given]:
    """With courses at every frame of finer steps, up to so many, their last values going on.

    What is a course or a field in one of them is one in all; courses are known at as many times in each interval.
    """
    courses = {name for part in parts for name in part.inputs}
    fields = {name for part in parts for name, values in part.conditions.items() if values.dim() > 1}
    fields |= {name for part in parts for name, course in part.inputs.items() if course.values.dim() > 2}

    def wide(name: str, values: Tensor, leading: int) -> Tensor:
        if name not in fields or values.dim() > leading:
            return values
        return values.view(*values.shape, *[1] * len(grid)).expand(*values.shape, *grid)

    for part, factor in zip(parts, factors, strict=True):
        steady = {
            name: Course(value[:, None].expand(-1, 2, *value.shape[1:])) for name, value in part.conditions.items()
        }
        inputs = {}
        for name in courses:
            known = part.inputs.get(name) or steady[name]
            each = math.lcm(*(round(one.inputs[name].per_step) for one in parts if name in one.inputs))
            knots = torch.arange(known.values.shape[1]) * factor * (each // round(known.per_step))
            values = torch.stack([_linear(own, knots, (count - 1) * each + 1) for own in known.values])
            inputs[name] = Course(wide(name, values, 2), each)
        conditions = {name: wide(name, one, 1) for name, one in part.conditions.items() if name not in courses}
        yield replace(part, conditions=conditions, inputs=inputs)


def _linear(values: Float[Tensor, "T *S"], places: Int[Tensor, " T"], count: int) -> Float[Tensor, "F *S"]:
    """Between the places, and as at the last one after it."""
    wanted = torch.arange(count)
    above = torch.searchsorted(places, wanted).clamp(1, len(places) - 1)
    below = above - 1
    along = ((wanted - places[below]) / (places[above] - places[below])).clamp(0, 1).to(values)
    return torch.lerp(values[below], values[above], along.view(-1, *[1] * (values.dim() - 1)))
