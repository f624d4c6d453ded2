"""What is wrong with times, coordinates and arrays of a file, and with values that are missing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cotwin.data.assembling.times import NEAR, Frames
from cotwin.data.inspection.finding import Finding
from cotwin.data.inspection.summary import FileSummary
from cotwin.data.stored.contents import Array, Contents, as_type, setting, unevenness


def of_times(contents: Contents, dt: float | None = None, tolerance: float = NEAR) -> Iterator[Finding]:
    """Times that come twice or fall, and steps that are uneven."""
    source = contents.source
    for number, row in enumerate(as_type(contents.times, np.float64)):
        problem = _disorder(row, f"times of trajectory {number}" if len(contents.times) > 1 else "times")
        if problem is not None:
            yield Finding(source, "times", problem, "sort the states by time, each time once", refused=True)
            return
    try:
        frames = Frames.of(contents.times, contents.num_trajectories, source, dt or contents.dt, tolerance)
    except ValueError as error:
        text, _, cure = str(error).removeprefix(f"{source}: ").rstrip(".").rpartition("; ")
        yield Finding(source, "times", text, cure, refused=True)
        return
    for note in frames.notes():
        yield Finding(source, "times", note, f"nothing, where it is meant so; {setting('dt')} says another step")


def of_coordinates(contents: Contents) -> Iterator[Finding]:
    """Axes that are not sorted, have a point twice, or unequal spacing."""
    for axis in contents.axes:
        problem = unevenness(axis.coordinates, "interpolate the data to a uniform grid")
        if problem is None:
            continue
        disorder = _disorder(as_type(axis.coordinates, np.float64), f"coordinates {axis.name}")
        text, _, cure = f"coordinates {axis.name} are not equally spaced: {problem}".rpartition("; ")
        if disorder is not None:
            text, cure = disorder, f"sort the points along {axis.name}, and the fields with them, each point once"
        yield Finding(contents.source, "coordinates", text, cure, refused=True)


def _disorder(row: Array, what: str) -> str | None:
    """Values that are not finite, fall somewhere, or come twice."""
    bad = ~np.isfinite(row)
    if bad.any():
        return f"{int(bad.sum())} of the {what} are not finite, the first at index {int(np.argmax(bad))}"
    gaps = np.diff(row)
    copies = len(row) - len(np.unique(row))
    twice = f"{copies} of the {what} are there twice"
    if (gaps < 0).any():
        at = int(np.argmax(gaps < 0))
        falls = f"the {what} fall at {int((gaps < 0).sum())} places, the first from {row[at]:.6g} (index {at}) to "
        return f"{falls}{row[at + 1]:.6g}{f'; {twice}' if copies else ''}"
    if not copies:
        return None
    at = int(np.argmax(gaps == 0))
    return f"{twice}, the first {row[at]:.6g} (indices {at} and {at + 1})"


def of_missing(contents: Contents, summary: FileSummary, masked: bool) -> Iterator[Finding]:
    """Values that are not finite: how many, and where."""
    for field in summary.fields:
        if not field.non_finite:
            continue
        text = f"{field.non_finite} values of {field.name} are not finite, the first at {field.first_non_finite}"
        refused, cure = not masked, f"repair them, or say mask as {setting('missing')}"
        if field.static:
            refused, cure = True, "fill them in the file: a rollout needs all of a static field"
        yield Finding(contents.source, "missing", text, cure if refused else "nothing: they are masked", refused)


def of_arrays(contents: Contents, fields: tuple[str, ...] | None, given: tuple[str, ...]) -> Iterator[Finding]:
    """Why nothing can be read; and arrays that are no fields, unless others are named."""
    for refusal in contents.refusals:
        yield Finding(contents.source, "file", refusal.rstrip("."), "write it in another way", refused=True)
    there = {one.name for one in contents.fields}
    for name, why in contents.misfits.items():
        if name in (contents.misfits if fields is None else fields) and not (name in given and name in there):
            cure = f"name the fields to read with {setting('fields')}"
            yield Finding(contents.source, "array", why.rstrip("."), cure, refused=True)
