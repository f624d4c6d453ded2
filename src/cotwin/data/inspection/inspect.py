"""What is in a data file, said without refusing any of it: `cotwin data inspect FILE`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cotwin.data.assembling.times import Frames
from cotwin.data.files import files_of
from cotwin.data.formats.known import TABLES, format_of, open_arrays, open_contents
from cotwin.data.inspection.fitting import UNKNOWN
from cotwin.data.inspection.guess import names_of
from cotwin.data.inspection.inspect_table import inspect_table
from cotwin.data.inspection.listing import listed, shortened
from cotwin.data.inspection.recipe import chosen_fields, domain, holes, step_of, structure
from cotwin.data.inspection.rendering import render
from cotwin.data.inspection.summary import FieldSummary, FileSummary, Inspection, Place, Setting
from cotwin.data.inspection.trying import Way, met, refusal, way_to
from cotwin.data.inspection.values import summary_of
from cotwin.data.stored.boundaries import KINDS, said_by
from cotwin.data.stored.contents import Contents, setting, unevenness

__all__ = ["FieldSummary", "FileSummary", "Inspection", "Place", "inspect_file", "render"]

PLAIN = ("npz", "npy", "matlab", "matlab_hdf5", "hdf5")
"""Formats of arrays that names alone tell apart."""
TAKEN = ("fields", "given", "boundary", "extent", "points", "missing", "dt")
"""Settings that are options of assembling what was opened."""


def inspect_file(path: str | Path, format: str | None = None) -> Inspection:
    """What a file holds, what reading it would refuse, and the settings that read it.

    Values that are not finite and uneven intervals are reported, not refused. Of large files a part of the values is
    looked at. Raises ValueError only for a file that cannot be opened as any format known.
    """
    with inspected(path, format) as (found, _):
        return found


@contextmanager
def inspected(path: str | Path, format: str | None = None) -> Iterator[tuple[Inspection, Contents | None]]:
    """The same, with the open file as it is read; None where it cannot be.

    path: of several files, a pattern or a folder, the first is looked at.
    """
    files = files_of(path)
    with _inspected(Path(files[0]), format) as (first, contents):
        if files == [str(path)]:
            yield first, contents
            return
        recipe = tuple(replace(one, value=str(path)) if one.name == "path" else one for one in first.recipe)
        yield replace(first, source=f"{first.source}, the first of {len(files)} files", recipe=recipe), contents


@contextmanager
def _inspected(path: Path, format: str | None) -> Iterator[tuple[Inspection, Contents | None]]:
    name = format_of(path, format)
    if name in TABLES:
        yield inspect_table(path, name), None
        return
    recipe = [Setting("kind", "file"), Setting("path", str(path))]
    with open_arrays(path, name) as arrays:
        way, problem = way_to(path, name, arrays)
        found = Inspection(
            source=str(path),
            format=name,
            words={key: shortened(word) for key, word in arrays.words.get("", {}).items()},
            arrays=tuple(listed(arrays)),
            reasons=() if way is None else way.guess.reasons,
            problem=problem,
            summary=None,
            recipe=tuple(recipe),
        )
        if way is None:
            yield found, None
            return
        if way.format != name or format is not None:
            recipe.append(Setting("format", way.format))
        with open_contents(path, way.guess.wanted, way.format) as contents:
            summary = summary_of(contents)
            names = names_of(arrays, way.guess.wanted) if way.format in PLAIN else dict(way.guess.wanted.names)
            recipe += _recipe(path, way, contents, summary, names)
            refusals = list(_in_sight(contents, summary.fields))
            left = _left(contents, recipe)
            if left is not None:
                refusals += [left] * (left not in refusals)
                recipe += _order(contents)
            summary = replace(summary, refusals=tuple(refusals))
            yield replace(found, format=contents.format, summary=summary, recipe=tuple(recipe)), contents


def _recipe(
    path: Path, way: Way, contents: Contents, summary: FileSummary, names: dict[str, str]
) -> Iterator[Setting]:
    """The settings after format and path."""
    order = next((one.order for one in contents.fields if not one.static), "") if way.format in PLAIN else ""
    yield from structure(way.guess, names, order)
    fields = list(chosen_fields(contents, summary.fields))
    yield from fields
    said = {one.name: one.value for one in fields}
    try:
        ends = met(path, way, contents, said)
    except ValueError:  # the refusals say why
        ends = [UNKNOWN] * len(contents.axes)
    yield from domain(contents, ends, placed="extent" not in way.guess.asked)
    yield from holes(summary.fields)
    yield from step_of(contents, way.guess)


def _left(contents: Contents, recipe: list[Setting]) -> str | None:
    """Why what is read with these settings is refused all the same; None where it is not, or some are to choose."""
    if not all(one.said for one in recipe):
        return None
    known = {one.name: one.value for one in recipe if one.name in TAKEN}
    return refusal(contents, known)


def _order(contents: Contents) -> Iterator[Setting]:
    """Where a field might be read in several orders of axes."""
    for one in contents.fields:
        if one.other_orders:
            orders = " or ".join((one.order, *one.other_orders))
            yield Setting("axes", one.order, f"choose: {one.name} might be {orders}", said=False)
            return


def _in_sight(contents: Contents, fields: tuple[FieldSummary, ...]) -> Iterator[str]:
    yield from contents.refusals
    for axis in contents.axes:
        problem = unevenness(axis.coordinates, "interpolate the data to a uniform grid")
        if problem:
            yield f"coordinates {axis.name} are not equally spaced: {problem}"
    try:
        Frames.of(contents.times, contents.num_trajectories, contents.source, contents.dt)
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
