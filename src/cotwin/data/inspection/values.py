"""What the fields of a file hold, in few numbers: of large ones of a part of the values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cotwin.data.inspection.sampling import MOST, parts_of, require_some
from cotwin.data.inspection.summary import AxisSummary, FieldSummary, FileSummary, Place
from cotwin.data.stored.contents import Array, Axis, Contents, StoredField, as_type, step, unevenness


def summary_of(contents: Contents, most: int = MOST) -> FileSummary:
    """The file as it is read. most: values of each field that are looked at. Raises ValueError for an empty one."""
    require_some(contents)
    ends = _ends(contents, most)
    counted = [parts_of(contents, field, most) for field in contents.fields]
    return FileSummary(
        source=contents.source,
        format=contents.format,
        trajectories=contents.num_trajectories,
        axes=tuple(_axis(axis) for axis in contents.axes),
        time=_axis(Axis("t", contents.times[0], unit=contents.time_unit)),
        fields=tuple(_field(contents, field, ends, most) for field in contents.fields),
        scalars={name: (float(v.min()), float(v.max())) for name, v in contents.scalars.items()},
        refusals=(),
        notes=contents.notes,
        seen=(sum(len(parts) for parts, _ in counted), sum(count for _, count in counted)),
    )


def _axis(axis: Axis) -> AxisSummary:
    values = axis.coordinates
    spacing = None if unevenness(values, "") else step(values)
    return AxisSummary(axis.name, len(values), float(values[0]), float(values[-1]), spacing, axis.unit, axis.boundary)


def _ends(contents: Contents, most: int) -> Sequence[int]:
    """How many states each trajectory has before nothing but NaN follows in all fields that change in time.

    All, where not all states are looked at.
    """
    known = np.zeros((contents.num_trajectories, contents.num_frames), dtype=bool)
    for field in (one for one in contents.fields if not one.static):
        parts, count = parts_of(contents, field, most)
        if len(parts) < count:
            return [contents.num_frames] * contents.num_trajectories
        for trajectory, frames in parts:
            values = as_type(field.read(trajectory, frames), np.float64)
            rows = trajectory if field.per_trajectory else slice(None)
            known[rows, frames] |= ~np.isnan(values).all(axis=tuple(range(1, values.ndim)))
    ends = [int(row.nonzero()[0].max(initial=-1)) + 1 for row in known]
    return [end if end >= 2 else contents.num_frames for end in ends]


def _field(contents: Contents, field: StoredField, ends: Sequence[int], most: int) -> FieldSummary:
    low, high = np.inf, -np.inf
    non_finite, unobserved = 0, 0
    first: Place | None = None
    for trajectory, frames in parts_of(contents, field, most)[0]:
        values = as_type(field.read(trajectory, frames), np.float64)
        seen = True if field.observed is None else field.observed(trajectory, frames)
        seen = np.broadcast_to(seen, values.shape)
        if not field.static:
            before = max(0, ends[trajectory] - frames.start)
            values, seen = values[:before], seen[:before]
        finite, bad = seen & np.isfinite(values), seen & ~np.isfinite(values)
        low = min(low, float(values.min(where=finite, initial=np.inf)))
        high = max(high, float(values.max(where=finite, initial=-np.inf)))
        non_finite += int(bad.sum())
        if first is None and bad.any():
            first = _first(trajectory, frames.start, bad)
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


def _first(trajectory: int, begin: int, where: Array) -> Place:
    time, component, *point = (int(index) for index in np.unravel_index(int(np.argmax(where)), where.shape))
    return Place(trajectory, begin + time, component, tuple(point))
