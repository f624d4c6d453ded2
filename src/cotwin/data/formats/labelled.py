"""What an xarray.Dataset says, of NetCDF, of Zarr or in memory; docs/data.md has what is found by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from cotwin.data.formats.attributes import number_of, pair_of
from cotwin.data.formats.dates import Clock
from cotwin.data.formats.dimensions import Dimensions, by_name, dimensions_of, is_angle
from cotwin.data.formats.labelled_fields import MASK, REAL, Lattice
from cotwin.data.formats.labelled_sorted import Sorted
from cotwin.data.formats.meshes import without_meshes
from cotwin.data.room import require_room
from cotwin.data.stored.contents import Array, Axis, Contents, setting
from cotwin.data.stored.wanted import Wanted

if TYPE_CHECKING:
    import xarray as xr


@contextmanager
def open_dataset(dataset: xr.Dataset, wanted: Wanted) -> Iterator[Contents]:
    """What a dataset in memory holds, or one that xarray opened. Raises TypeError for anything else."""
    xarray = sys.modules.get("xarray")
    if xarray is None or not isinstance(dataset, xarray.Dataset):
        raise TypeError(f"a path or an xarray.Dataset is needed, not {type(dataset).__name__}.")
    yield contents_of(dataset, wanted, str(dataset.encoding.get("source", "the dataset")))


def contents_of(
    dataset: xr.Dataset,
    wanted: Wanted,
    source: str = "the dataset",
    format: str = "xarray",
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> Contents:
    """What labelled arrays hold; fields are read when asked. unreadable: why other variables cannot be read.

    Raises ValueError, naming the source, where times, coordinates or the meaning of a dimension cannot be told.
    """
    try:
        _require_labels(dataset)
        dataset = without_meshes(dataset)
        known = dimensions_of(dataset, wanted.names)
        for name in known.of:
            if name in unreadable:
                raise ValueError(unreadable[name])
        dataset, notes = _squeezed(dataset, known)
        lattice = Lattice(dataset, known, source)
        grid = tuple(int(dataset.sizes[name]) for name in lattice.space)
        if 0 in (lattice.count, lattice.frames, *grid):
            raise ValueError(f"empty: {lattice.count} trajectories, {lattice.frames} times and a grid of {grid}.")
        axes = _axes(lattice, wanted, notes)
        times, clock = _times(lattice, wanted, notes)
        require_room((lattice.count, lattice.frames), 8, "what it says of each state")
        found = Sorted(lattice, clock, notes)
        for name, variable in _others(lattice, wanted, notes):
            found.add(name, variable)
    except ValueError as error:
        raise ValueError(f"{source}: {str(error).removeprefix(f'{source}: ')}") from error
    stepped = dataset.variables.get(known.coordinates.get(lattice.times, ""))
    return Contents(
        source=source,
        format=format,
        axes=axes,
        times=times,
        num_trajectories=lattice.count,
        fields=found.in_order(_words(dataset.attrs.get("fields"))),
        time_unit=clock.unit,
        dt=None if stepped is None else number_of(stepped.attrs.get("step")),
        scalars=found.scalars,
        courses=found.courses,
        given=tuple(field.name for field in found.fields if field.name in _words(dataset.attrs.get("given"))),
        misfits={**unreadable, **found.misfits},
        unread=found.unread,
        notes=tuple(notes),
    )


def _require_labels(dataset: xr.Dataset) -> None:
    unnamed = [name for name in (*dataset.sizes, *dataset.variables) if not isinstance(name, str)]
    if unnamed:
        raise ValueError(f"{unnamed[0]!r} is no name; call variables and dimensions by text, dataset.rename.")
    if not dataset.sizes:
        raise ValueError("no variable in it has a dimension; fields lie along times and coordinates.")


def _squeezed(dataset: xr.Dataset, known: Dimensions) -> tuple[xr.Dataset, list[str]]:
    """Without dimensions of one point that are neither time nor trajectory; and notes."""
    single = [
        str(name) for name, size in dataset.sizes.items() if size == 1 and known.of.get(str(name)) not in ("n", "t")
    ]
    if all(name in single for name in known.space):
        single = [name for name in single if name not in known.space]
    used = [name for name in single if any(name in one.dims for one in dataset.data_vars.values())]
    return dataset.isel(dict.fromkeys(single, 0)), [f"{name} has a single point and is left out" for name in used]


def _axes(lattice: Lattice, wanted: Wanted, notes: list[str]) -> tuple[Axis, ...]:
    dataset, known, found = lattice.dataset, lattice.known, []
    said, centred = (_words_of_axes(lattice, name) for name in ("boundary", "centring"))
    for index, name in enumerate(lattice.space):
        variable = dataset.variables.get(known.coordinates.get(name, ""))
        if variable is None:
            row = wanted.row(index, int(dataset.sizes[name]))
            if row is None:
                raise ValueError(f"{name} has no coordinates; give the ends of the domain with {setting('extent')}.")
            found.append(Axis(name, row, said[index], points=centred[index]))
            continue
        if variable.dtype.kind not in "fiu":
            raise ValueError(f"coordinates {name} have type {variable.dtype}; coordinates are real numbers.")
        if is_angle(variable):
            notes.append(f"{name} is in {variable.attrs['units']} and taken as a length")
        row, unit = np.asarray(variable.values), str(variable.attrs.get("units", "1"))
        ends, points = pair_of(variable.attrs.get("domain")), centred[index]
        if ends is None and (around := _around_cells(dataset, variable)) is not None:
            ends, points = around, points or "cells"
        found.append(Axis(name, row, said[index], unit, points, ends))
    return tuple(found)


def _around_cells(dataset: xr.Dataset, variable: xr.Variable) -> tuple[float, float] | None:
    """The ends of the domain, where CF bounds say that coordinates are the centres of equal cells."""
    bounds = dataset.variables.get(str((variable.encoding | variable.attrs).get("bounds", "")))
    if bounds is None or bounds.shape != (variable.size, 2) or bounds.dtype.kind != "f" or variable.size < 2:
        return None
    row, lower, upper = variable.values.astype(np.float64), float(bounds.values.min()), float(bounds.values.max())
    half = float(np.ptp(row)) / (variable.size - 1) / 2
    near = [abs(lower - (row.min() - half)), abs(upper - (row.max() + half))]
    return (lower, upper) if max(near) < 0.01 * half else None


def _words_of_axes(lattice: Lattice, name: str) -> list[str | None]:
    words: list[str | None] = [word.lower() for word in _words(lattice.dataset.attrs.get(name))]
    if len(words) not in (0, 1, len(lattice.space)):
        raise ValueError(
            f"the attribute {name} holds {words} for the axes {list(lattice.space)}; give one word, or one for each."
        )
    return words * (len(lattice.space) // len(words)) if words else [None] * len(lattice.space)


def _times(lattice: Lattice, wanted: Wanted, notes: list[str]) -> tuple[Array, Clock]:
    name = lattice.known.coordinates.get(lattice.times)
    if name is None:
        if wanted.dt is None:
            raise ValueError(f"{lattice.times} has no times; give the step with {setting('dt')}.")
        return wanted.dt * np.arange(lattice.frames)[None], Clock("1")
    variable = lattice.dataset.variables[name]
    require_room(variable.shape, 8, f"its times {name}")
    try:
        clock = Clock.of(variable)
    except ValueError as error:
        raise ValueError(f"{name} {error}.") from error
    if note := clock.note(name):
        notes.append(note)
    rows = [one for one in (lattice.rows, lattice.times) if one in variable.dims]
    return np.atleast_2d(clock.numbers(variable.transpose(*rows))), clock


def _others(lattice: Lattice, wanted: Wanted, notes: list[str]) -> Iterator[tuple[str, xr.Variable]]:
    """Variables that are no coordinates of the grid, and describe neither these nor other variables."""
    dataset, known = lattice.dataset, lattice.known
    taken, left = {*known.coordinates.values(), *known.of, *known.own_times}, []
    for variable in dataset.variables.values():
        stated = variable.attrs | variable.encoding
        taken |= {str(stated[one]) for one in ("bounds", "climatology", "grid_mapping") if one in stated}
    for name, variable in dataset.variables.items():
        mask = name == "mask" or (str(name).endswith(MASK) and str(name).removesuffix(MASK) in dataset.data_vars)
        if name in taken or mask:
            continue
        real = variable.dtype.kind in REAL
        if name not in dataset.coords or (real and variable.dims in ((), (lattice.rows,))):
            yield str(name), variable
        elif real:
            left.append(str(name))
    label = known.coordinates.get(lattice.rows or "", "")
    parameter = label in dataset.variables and by_name(label) != "n" and dataset.variables[label].dtype.kind in REAL
    if "n" in wanted.names and parameter:
        yield label, dataset.variables[label]
    if left:
        notes.append(f"coordinates beside those of the grid are not read: {', '.join(left)}")


def _words(value: Any) -> list[str]:
    """An attribute's words: a text with commas between them, or several texts."""
    if value is None:
        return []
    return [word.strip() for one in np.ravel(np.asarray(value)) for word in str(one).split(",")]
