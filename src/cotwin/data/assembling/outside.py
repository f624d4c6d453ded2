"""What a file gives beside the states: known parameters of each trajectory, and courses in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import scipy.interpolate
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.assembling.times import Frames
from cotwin.data.stored.contents import ALL, Array, Contents, StoredField
from cotwin.given import Course, Given
from cotwin.layout import Layout

SMOOTH = 0.25
"""Error of a cubic spline over that of straight lines, below which a course is taken to be smooth."""
SPLINED = 8
"""Parts into which the spline then divides each of its intervals."""
FEWEST_SPLINED = 9
"""Values from which on every second one tells whether a course is smooth."""
MOST_KNOTS = 64
"""Known times in one interval of the data, at most, to which a course with times of its own is interpolated."""


def given_of(
    contents: Contents,
    names: Sequence[str],
    layout: Layout,
    frames: Frames | None = None,
    ends: Sequence[int] | None = None,
) -> Given:
    """All numbers that come with the trajectories, and the fields of these names.

    What is the same at all times is a condition, else an input; a field that is the same everywhere is a number. An
    input is linear between its times, or where it is smooth a cubic spline.
    frames: of the states, where they are not one for each step. ends: states of each trajectory before it ends; what
    is given after it may be missing.
    Raises ValueError for a name that the file has not, and values that are not finite or end too early.
    """
    frames = frames or Frames.regular(contents.num_trajectories, contents.num_frames, layout.dt)
    known: dict[str, Course] = {}
    for name, rows in contents.scalars.items():
        values = _held(torch.from_numpy(rows), ends)
        if name in names or bool(values.isfinite().all()):
            known[name] = _course(contents, name, values, frames)
    for name, (times, rows) in contents.courses.items():
        known[name] = _with_own_times(contents, name, times, rows, frames)
    fields = {field.name: field for field in contents.fields}
    for name in names:
        if name in fields:
            known[name] = _course(contents, name, _held(_field(contents, fields[name], layout), ends), frames)
        elif name not in known:
            have = (
                f"nothing is called {name!r} that could be given; it has {', '.join((*known, *fields)) or 'nothing'}."
            )
            why = {**contents.unread, **contents.misfits}.get(name, have)
            raise ValueError(f"{contents.source}: {why}")
    steady = {name for name, course in known.items() if bool((course.values == course.values[:, :1]).all())}
    given = Given.of(
        len(frames.stretches),
        {name: known[name].values[:, 0].clone() for name in known if name in steady},
        {name: course for name, course in known.items() if name not in steady},
    )
    return replace(
        given,
        trajectory=torch.tensor([one.trajectory for one in frames.stretches]),
        frame=torch.tensor([one.frame for one in frames.stretches]),
    )


def _held(values: Float[Tensor, "N T *S"], ends: Sequence[int] | None) -> Float[Tensor, "N T *S"]:
    """With the last value before a trajectory's end where nothing is known after it."""
    if ends is None or bool(values.isfinite().all()):
        return values
    values = values.clone()
    for row, end in zip(values, ends, strict=True):
        row[end:] = torch.where(row[end:].isfinite(), row[end:], row[end - 1])
    return values


def _course(contents: Contents, name: str, values: Float[Tensor, "N T *S"], frames: Frames) -> Course:
    """What is known at the times of the states, from the first frame of each stretch to the last of the longest.

    A cubic spline where that tells every second value much better than straight lines do, told by the others.
    """
    if not bool(values.isfinite().all()):
        known = values.isfinite().reshape(*values.shape[:2], -1).all(dim=2)
        number, state = (int(one) for one in (~known).nonzero()[0])
        raise ValueError(
            f"{contents.source}: {name} is given, and not finite everywhere: in {int((~known.all(dim=1)).sum())} of "
            f"{len(values)} trajectories it is not, the first time in trajectory {number} at state {state}. Fill it "
            "in the file, or leave these trajectories out; what is unknown in some may be estimated, per: trajectory."
        )
    own = [(one.steps, values[one.trajectory, one.states].numpy()) for one in frames.stretches]
    if all((rows == rows[:1]).all() for _, rows in own):
        first = torch.from_numpy(np.stack([rows[0] for _, rows in own]))
        return Course(first[:, None].expand(-1, frames.count, *first.shape[1:]))
    degree = 3 if _smooth(own) else 1
    parts = SPLINED if degree == 3 or any((steps != np.round(steps)).any() for steps, _ in own) else 1
    wanted = np.arange((frames.count - 1) * parts + 1) / parts
    along = [_through(steps, rows, min(degree, len(steps) - 1))(wanted.clip(max=steps[-1])) for steps, rows in own]
    return Course(torch.from_numpy(np.stack(along)), parts)


def _smooth(own: Sequence[tuple[Array, Array]]) -> bool:
    """Whether a cubic spline tells every second value much better than straight lines do."""
    lines = spline = 0.0
    for steps, rows in own:
        if len(steps) >= FEWEST_SPLINED:
            left = slice(1, 2 * ((len(steps) - 1) // 2), 2)
            for degree in (1, 3):
                missed = np.square(_through(steps[::2], rows[::2], degree)(steps[left]) - rows[left]).sum()
                lines, spline = (lines + missed, spline) if degree == 1 else (lines, spline + missed)
    return bool(spline < SMOOTH**2 * lines)


def _through(steps: Array, rows: Array, degree: int) -> Callable[[Array], Array]:
    if degree == 3:
        return scipy.interpolate.CubicSpline(steps, rows)
    line: Callable[[Array], Array] = scipy.interpolate.make_interp_spline(steps, rows, k=1)
    return line


def _field(contents: Contents, field: StoredField, layout: Layout) -> Float[Tensor, "N T *S"]:
    """Of all trajectories, on the layout's grid, without the axes of a grid on which it is the same everywhere."""
    if field.components != 1:
        raise ValueError(
            f"{contents.source}: {field.name} is given and has {field.components} components; give each as a field."
        )
    every = [np.asarray(field.read(index, ALL)[:, 0], dtype=np.float64) for index in range(contents.num_trajectories)]
    values = torch.from_numpy(np.stack(every))
    for axis, points in enumerate(layout.grid, start=2):
        values = values.narrow(axis, 0, points)  # without a point that repeats the first
    flat = values.flatten(2)
    return flat[:, :, 0] if bool((flat == flat[:, :, :1]).all()) else values


def _with_own_times(contents: Contents, name: str, times: Array, rows: Array, frames: Frames) -> Course:
    """A course known at any times, at the least equal parts of the data's interval that miss none of them.

    It may go on after the last state.
    """
    source, states = contents.source, np.atleast_2d(np.asarray(contents.times, dtype=np.float64))
    if not (states == states[:1]).all():
        raise ValueError(
            f"{source}: {name} has times of its own, and each trajectory has other times; give it at theirs."
        )
    dt, own = frames.dt, np.asarray(times, dtype=np.float64)
    begins = np.array([states[0, one.first] for one in frames.stretches])
    start, end = begins.min(), states[0, -1]
    if not (np.isfinite(own).all() and np.isfinite(rows).all() and (np.diff(own) > 0).all()):
        raise ValueError(
            f"{source}: the times of {name} do not rise, or it is not finite everywhere; sort and fill it."
        )
    if own[0] > start + 1e-6 * dt or own[-1] < end - 1e-6 * dt:
        raise ValueError(
            f"{source}: {name} is known from {own[0]:.6g} to {own[-1]:.6g}, the states from {start:.6g} to "
            f"{end:.6g}; give it from the first state to the last."
        )
    places = (own - begins[:, None]) / dt
    whole = (m for m in range(1, MOST_KNOTS) if np.allclose(places * m, np.round(places * m), atol=1e-6))
    per_step = next(whole, MOST_KNOTS)
    # Of one stretch all that is known; of several, no more than the longest needs.
    longest = places.max() if len(begins) == contents.num_trajectories else frames.count - 1
    wanted = begins[:, None] + dt * np.arange(int(longest * per_step + 1e-6) + 1) / per_step
    values = [np.interp(at, own, rows[one.trajectory]) for at, one in zip(wanted, frames.stretches, strict=True)]
    finer = _finer(np.stack(values), per_step)
    return Course(torch.from_numpy(finer[0]), finer[1])


def _finer(values: Array, per_step: int) -> tuple[Array, int]:
    """A course at equal times; where it is smooth at more of them, along a spline."""
    own = [(np.arange(values.shape[1]) * 1.0, row) for row in values]
    if per_step * SPLINED > MOST_KNOTS or not _smooth(own):
        return values, per_step
    wanted = np.arange((values.shape[1] - 1) * SPLINED + 1) / SPLINED
    return np.stack([_through(steps, row, 3)(wanted) for steps, row in own]), per_step * SPLINED
