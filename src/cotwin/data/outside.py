"""What a file gives beside the states: known parameters of each trajectory, and courses in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.interpolate
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.contents import Array, Contents, StoredField
from cotwin.data.times import Frames
from cotwin.given import Course, Given
from cotwin.layout import Layout

SMOOTH = 0.25
"""Error of a cubic spline over that of straight lines, below which a course is taken to be smooth."""
SPLINED = 8
"""Parts into which the spline then divides each of its intervals."""
MOST_KNOTS = 64
"""Known times in one interval of the data, at most, to which a course with times of its own is interpolated."""


def given_of(contents: Contents, names: Sequence[str], layout: Layout, frames: Frames | None = None) -> Given:
    """All numbers that come with the trajectories, and the fields of these names.

    What is the same at all times is a condition, else an input; a field that is the same everywhere is a number. An
    input is linear between its times, or where it is smooth a cubic spline.
    frames: of the states, where some may be missing.
    Raises ValueError for a name that the file has not, and values that are not finite or end too early.
    """
    between = (lambda values: values) if frames is None else frames.between
    known: dict[str, Course] = {}
    for name, rows in contents.scalars.items():
        if name in names or np.isfinite(rows).all():
            known[name] = Course(between(torch.from_numpy(rows)))
    for name, (times, rows) in contents.courses.items():
        known[name] = _with_own_times(contents, name, times, torch.from_numpy(rows.copy()), layout.dt)
    fields = {field.name: field for field in contents.fields}
    for name in names:
        if name in fields:
            known[name] = Course(between(_field(contents, fields[name], layout)))
        elif name not in known:
            have = (
                f"nothing is called {name!r} that could be given; it has {', '.join((*known, *fields)) or 'nothing'}."
            )
            raise ValueError(f"{contents.source}: {contents.misfits.get(name, have)}")
    for name, course in known.items():
        if not bool(course.values.isfinite().all()):
            raise ValueError(f"{contents.source}: {name} is given, and not finite everywhere; fill it in the file.")
    known = {name: _smooth(course) for name, course in known.items()}
    steady = {name for name, course in known.items() if bool((course.values == course.values[:, :1]).all())}
    return Given.of(
        contents.num_trajectories,
        {name: known[name].values[:, 0].clone() for name in known if name in steady},
        {name: course for name, course in known.items() if name not in steady},
    )


def _smooth(course: Course) -> Course:
    """A course that a cubic spline tells much better than straight lines do, at more times along that spline.

    Every second time is left out, and told by the others.
    """
    values = course.values.numpy()
    times = np.arange(values.shape[1])
    if len(times) < 9 or round(course.per_step) * SPLINED > MOST_KNOTS:
        return course
    kept, left = times[::2], times[1 : 2 * ((len(times) - 1) // 2) : 2]
    lines = (values[:, left - 1] + values[:, left + 1]) / 2 - values[:, left]
    spline = scipy.interpolate.CubicSpline(kept, values[:, kept], axis=1)(left) - values[:, left]
    if not np.square(spline).mean() < SMOOTH**2 * np.square(lines).mean():
        return course
    finer = np.arange((len(times) - 1) * SPLINED + 1) / SPLINED
    return Course(
        torch.from_numpy(scipy.interpolate.CubicSpline(times, values, axis=1)(finer)), course.per_step * SPLINED
    )


def _field(contents: Contents, field: StoredField, layout: Layout) -> Float[Tensor, "N T *S"]:
    """Of all trajectories, on the layout's grid, without the axes of a grid on which it is the same everywhere."""
    if field.components != 1:
        raise ValueError(
            f"{contents.source}: {field.name} is given and has {field.components} components; give each as a field."
        )
    every = [np.asarray(field.read(index)[:, 0], dtype=np.float64) for index in range(contents.num_trajectories)]
    values = torch.from_numpy(np.stack(every))
    for axis, points in enumerate(layout.grid, start=2):
        values = values.narrow(axis, 0, points)  # without a point that repeats the first
    flat = values.flatten(2)
    return flat[:, :, 0] if bool((flat == flat[:, :, :1]).all()) else values


def _with_own_times(contents: Contents, name: str, times: Array, rows: Float[Tensor, "N J"], dt: float) -> Course:
    """A course known at any times, at the least equal parts of the data's interval that miss none of them.

    It may go on after the last state.
    """
    frames = np.atleast_2d(np.asarray(contents.times, dtype=np.float64))
    if not (frames == frames[:1]).all():
        raise ValueError(
            f"{contents.source}: {name} has times of its own, and each trajectory has other times; give it at theirs."
        )
    start, end, own = frames[0, 0], frames[0, -1], np.asarray(times, dtype=np.float64)
    if not (np.isfinite(own).all() and (np.diff(own) > 0).all()):
        raise ValueError(f"{contents.source}: the times of {name} do not rise; sort them.")
    if own[0] > start + 1e-6 * dt or own[-1] < end - 1e-6 * dt:
        raise ValueError(
            f"{contents.source}: {name} is known from {own[0]:.6g} to {own[-1]:.6g}, the states from {start:.6g} to "
            f"{end:.6g}; give it from the first state to the last."
        )
    places = (own - start) / dt
    whole = (m for m in range(1, MOST_KNOTS) if np.allclose(places * m, np.round(places * m), atol=1e-6))
    per_step = next(whole, MOST_KNOTS)
    wanted = start + dt * np.arange(int(places[-1] * per_step + 1e-6) + 1) / per_step
    values = np.stack([np.interp(wanted, own, row) for row in rows.numpy()])
    return Course(torch.from_numpy(values), per_step)
