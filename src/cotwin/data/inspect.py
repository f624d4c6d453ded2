"""What is in a data file, said without refusing any of it: `cotwin data inspect FILE`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cotwin.data.assemble import assemble
from cotwin.data.boundaries import KINDS, said_by
from cotwin.data.contents import ALL, Array, Axis, Contents, StoredField, as_type, setting, step, unevenness
from cotwin.data.formats import open_contents
from cotwin.data.summary import AxisSummary, FieldSummary, FileSummary, Place, render
from cotwin.data.times import Frames

__all__ = ["AxisSummary", "FieldSummary", "FileSummary", "Place", "inspect_file", "render"]


def inspect_file(path: str | Path) -> FileSummary:
    """What a file holds, and what reading it would refuse.

    Values that are not finite and uneven intervals are reported, not refused. Raises ValueError only for a
    file that cannot be opened as any format known.
    """
    with open_contents(path) as contents:
        ends = _ends(contents)
        fields = tuple(_field(contents, field, ends) for field in contents.fields)
        refusals, notes = list(_refusals(contents, fields)), contents.notes
        if not refusals:
            # Nothing in sight: whatever reading finds in the values all the same.
            try:
                notes = assemble(contents).notes
            except ValueError as error:
                refusals.append(str(error).removeprefix(f"{contents.source}: "))
        return FileSummary(
            source=contents.source,
            format=contents.format,
            trajectories=contents.num_trajectories,
            axes=tuple(_axis(axis) for axis in contents.axes),
            time=_axis(Axis("t", contents.times[0], unit=contents.time_unit)),
            fields=fields,
            scalars={name: (float(v.min()), float(v.max())) for name, v in contents.scalars.items()},
            refusals=tuple(refusals),
            notes=notes,
        )


def _axis(axis: Axis) -> AxisSummary:
    values = axis.coordinates
    spacing = None if unevenness(values, "") else step(values)
    return AxisSummary(axis.name, len(values), float(values[0]), float(values[-1]), spacing, axis.unit, axis.boundary)


def _ends(contents: Contents) -> list[int]:
    """How many states each trajectory has before nothing but NaN follows in all fields that change in time."""
    moving = [field for field in contents.fields if not field.static]
    ends = []
    for trajectory in range(contents.num_trajectories):
        known = np.zeros(contents.num_frames, dtype=bool)
        for field in moving:
            values = as_type(field.read(trajectory, ALL), np.float64)
            known |= ~np.isnan(values).all(axis=tuple(range(1, values.ndim)))
        end = int(known.nonzero()[0].max(initial=-1)) + 1
        ends.append(end if end >= 2 else contents.num_frames)
    return ends


def _field(contents: Contents, field: StoredField, ends: list[int]) -> FieldSummary:
    low, high = np.inf, -np.inf
    non_finite, unobserved = 0, 0
    first: Place | None = None
    for trajectory in range(contents.num_trajectories if field.per_trajectory else 1):
        values = as_type(field.read(trajectory, ALL), np.float64)
        seen = True if field.observed is None else field.observed(trajectory, ALL)
        seen = np.broadcast_to(seen, values.shape)
        if not field.static:
            values, seen = values[: ends[trajectory]], seen[: ends[trajectory]]
        finite, bad = seen & np.isfinite(values), seen & ~np.isfinite(values)
        low = min(low, float(values.min(where=finite, initial=np.inf)))
        high = max(high, float(values.max(where=finite, initial=-np.inf)))
        non_finite += int(bad.sum())
        if first is None and bad.any():
            first = _first(trajectory, bad)
        unobserved += int((~seen).sum())
    return FieldSummary(
        name=field.name,
        shape=field.shape,
        dtype=field.dtype,
        components=field.components,
        static=field.static,
        unit=field.unit,
        minimum=low if low <= high else None,
        maximum=high if low <= high else None,
        non_finite=non_finite,
        first_non_finite=first,
        unobserved=unobserved,
    )


def _first(trajectory: int, where: Array) -> Place:
    time, component, *point = (int(index) for index in np.unravel_index(int(np.argmax(where)), where.shape))
    return Place(trajectory, time, component, tuple(point))


def _refusals(contents: Contents, fields: tuple[FieldSummary, ...]) -> Iterator[str]:
    yield from contents.refusals
    for axis in contents.axes:
        problem = unevenness(axis.coordinates, "interpolate the data to a uniform grid")
        if problem:
            yield f"coordinates {axis.name} are not equally spaced: {problem}"
    try:
        Frames.of(contents.times, contents.num_trajectories, contents.source)
    except ValueError as error:
        yield str(error).removeprefix(f"{contents.source}: ")
    yield from contents.misfits.values()
    for field in fields:
        if field.first_non_finite is not None:
            yield (f"{field.non_finite} values of {field.name} are not finite, the first at {field.first_non_finite}")
    for axis in contents.axes:
        if said_by(axis) is None:
            says = "not in the file" if axis.boundary is None else f"{axis.boundary!r} in the file"
            yield f"the boundary along {axis.name} is {says}: choose {', '.join(KINDS)} with {setting('boundary')}"
