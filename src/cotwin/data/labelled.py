"""What an xarray.Dataset says, of NetCDF, of Zarr or in memory; docs/data.md has what is found by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotwin.data.arrays import Arrays, StoredArray
from cotwin.data.attributes import number_of, pair_of
from cotwin.data.contents import Array, Axis, Contents, StoredField, setting
from cotwin.data.dates import SINCE, Clock
from cotwin.data.dimensions import Dimensions, by_name, dimensions_of, is_angle
from cotwin.data.labelled_fields import MASK, REAL, Lattice, damage_explained
from cotwin.data.room import require_room
from cotwin.data.wanted import Wanted

if TYPE_CHECKING:
    import xarray as xr


class _Labelled(StoredArray):
    """An array of a dataset, whatever its dimensions mean."""

    def __init__(self, variable: xr.Variable, source: str) -> None:
        self.variable, self.source, self.shape, self.dtype = variable, source, variable.shape, variable.dtype
        self.unit = str(variable.attrs.get("units", "1"))

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        some = self.variable[index]
        require_room(some.shape, some.dtype.itemsize, self.source)
        with damage_explained(self.source):
            return np.asarray(some.values)


def arrays_of(dataset: xr.Dataset, source: str, unreadable: Mapping[str, str] = MappingProxyType({})) -> Arrays:
    """All variables of a dataset, with the names of their dimensions and other attributes in words."""
    words = {
        str(name): {"dimensions": ", ".join(map(str, one.dims))}
        | {key: str(value) for key, value in one.attrs.items()}
        for name, one in dataset.variables.items()
    }
    return Arrays(
        {str(name): _Labelled(one, f"{source}: {name}") for name, one in dataset.variables.items()},
        unreadable,
        words | {"": {key: str(value) for key, value in dataset.attrs.items()}},
    )


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
        sorted_ = _Sorted(lattice, clock, notes)
        for name, variable in _others(lattice, wanted, notes):
            sorted_.add(name, variable)
    except ValueError as error:
        raise ValueError(f"{source}: {str(error).removeprefix(f'{source}: ')}") from error
    stepped = dataset.variables.get(known.coordinates.get(lattice.times, ""))
    return Contents(
        source=source,
        format=format,
        axes=axes,
        times=times,
        num_trajectories=lattice.count,
        fields=sorted_.in_order(_words(dataset.attrs.get("fields"))),
        time_unit=clock.unit,
        dt=None if stepped is None else number_of(stepped.attrs.get("step")),
        scalars=sorted_.scalars,
        courses=sorted_.courses,
        given=tuple(field.name for field in sorted_.fields if field.name in _words(dataset.attrs.get("given"))),
        misfits={**unreadable, **sorted_.misfits},
        unread=sorted_.unread,
        notes=tuple(notes),
    )


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


class _Sorted:
    """Variables by what they are: fields, numbers, and others, with the reason. notes: to which it adds its own."""

    def __init__(self, lattice: Lattice, clock: Clock, notes: list[str]) -> None:
        self.lattice, self.clock, self.notes = lattice, clock, notes
        self.fields: list[StoredField] = []
        self.scalars: dict[str, NDArray[np.float64]] = {}
        self.courses: dict[str, tuple[Array, NDArray[np.float64]]] = {}
        self.misfits: dict[str, str] = {}
        self.unread: dict[str, str] = {}

    def in_order(self, names: list[str]) -> tuple[StoredField, ...]:
        """The fields, those of these names first, then those that change in time."""
        place = {name: index for index, name in enumerate(names)}
        return tuple(sorted(self.fields, key=lambda field: (place.get(field.name, len(place)), field.static)))

    def add(self, name: str, variable: xr.Variable) -> None:
        """One more."""
        lattice, dims = self.lattice, [str(one) for one in variable.dims]
        if variable.dtype.kind not in (*REAL, "c"):
            self.unread[name] = f"{name} has type {variable.dtype}, no real numbers."
            self.notes.append(f"{name} has type {variable.dtype}, no real numbers: not read")
            return
        try:
            if set(dims).intersection(lattice.known.own_times):
                self.courses[name] = self._course(name, variable)
            elif set(dims) <= {lattice.rows, lattice.times}:
                self.scalars[name] = self._numbers(name, variable)
            else:
                fields, notes = lattice.fields(name, variable)
                self.fields += fields
                self.notes += notes
        except ValueError as error:
            self.misfits[name] = str(error)

    def _numbers(self, name: str, variable: xr.Variable) -> NDArray[np.float64]:
        """(N, T), of each trajectory, each time, both or neither."""
        if variable.dtype.kind == "c":
            raise ValueError(f"{name} is a complex number; give its real and imaginary part.")
        lattice = self.lattice
        values = variable.transpose(*(one for one in (lattice.rows, lattice.times) if one in variable.dims)).values
        shape = tuple(
            size if one in variable.dims else 1
            for one, size in ((lattice.rows, lattice.count), (lattice.times, lattice.frames))
        )
        rows = np.asarray(values, dtype=np.float64).reshape(shape)
        return np.broadcast_to(rows, (lattice.count, lattice.frames)).copy()

    def _course(self, name: str, variable: xr.Variable) -> tuple[Array, NDArray[np.float64]]:
        """Times of its own and (N, J) numbers at these."""
        lattice, dims = self.lattice, [str(one) for one in variable.dims]
        own = next(one for one in dims if one in lattice.known.own_times)
        times = self._variable(own)
        if set(dims) - {own, lattice.rows} or times is None or variable.dtype.kind == "c":
            raise ValueError(f"{name} has the dimensions {dims}: numbers alone may have times of their own.")
        main = self._variable(lattice.times)
        if _how(times) != _how(main) and (main is not None or _how(times)[0]):
            raise ValueError(f"the times of {name} are counted in another way than those of the fields.")
        values: Any = variable.transpose(*(one for one in (lattice.rows, own) if one in dims)).values
        rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
        return self.clock.numbers(times), np.broadcast_to(rows, (lattice.count, times.size))

    def _variable(self, dimension: str) -> xr.Variable | None:
        return self.lattice.dataset.variables.get(self.lattice.known.coordinates.get(dimension, ""))


def _how(times: xr.Variable | None) -> tuple[bool, str]:
    """Times are counted: whether as dates or intervals, and in which unit."""
    if times is None:
        return False, "1"
    unit = str(times.attrs.get("units", "1"))
    return times.dtype.kind in "mM" or SINCE.match(unit) is not None, unit


def _words(value: Any) -> list[str]:
    """An attribute's words: a text with commas between them, or several texts."""
    if value is None:
        return []
    return [word.strip() for one in np.ravel(np.asarray(value)) for word in str(one).split(",")]
