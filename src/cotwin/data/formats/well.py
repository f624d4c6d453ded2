"""Trajectories in HDF5 files of The Well's layout.

Format: Ohana et al. (2024), The Well, arXiv:2412.00568. What is read and what is not stands in docs/data.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cotwin.data.formats.attributes import number_of, pair_of
from cotwin.data.formats.hdf5 import damage_explained, gap, member, opened, path_of, unit_of, words_of
from cotwin.data.room import require_room
from cotwin.data.stored.boundaries import FROM_END_TO_END
from cotwin.data.stored.contents import Array, Axis, Contents, Read, StoredField
from cotwin.data.stored.wanted import Wanted


@contextmanager
def open_well(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What such a file holds; its fields are read only when asked, some frames at a time."""
    source = str(path)
    with opened(path) as file:
        with _explained(source):
            contents = _contents(file, source)
        yield contents


def is_well(file: Any) -> bool:
    """Whether an HDF5 file is in this layout."""
    return any(isinstance(file.get(name), h5py.Group) for name in ("dimensions", "t0_fields", "t1_fields"))


def _explained(source: str) -> AbstractContextManager[None]:
    return damage_explained(source, "in The Well's layout")


def _contents(file: Any, source: str) -> Contents:
    dimensions = file["dimensions"]
    names = words_of(dimensions.attrs["spatial_dims"])
    count = _count(file.attrs["n_trajectories"])
    times = np.atleast_2d(_numbers(dimensions, "time"))
    if times.ndim > 2 or len(times) not in (1, count):
        raise ValueError(f"dimensions/time has shape {times.shape}; a row is needed, or one for each of {count}.")
    coordinates = [_row(dimensions, name) for name in names]
    sizes = tuple(len(values) for values in coordinates)
    if 0 in (times.size, *sizes) or count < 1:
        raise ValueError(f"empty: {count} trajectories, {times.shape[-1]} times and a grid of {sizes}.")
    require_room((count, times.shape[-1]), 8, "what it says of each state")
    said, notes = _boundaries(file, names)
    axes = [
        Axis(name, values, said.get(name), unit_of(dimensions[name]), *_placed(dimensions[name]))
        for name, values in zip(names, coordinates, strict=True)
    ]
    for axis in axes:
        if len(axis.coordinates) == 1:
            notes.append(f"axis {axis.name} has a single point and is left out of the grid")
    fields, misfits, said_of_tensors = _fields(file, count, times.shape[-1], sizes, source)
    scalars, other = _scalars(file, count, times.shape[-1])
    notes += said_of_tensors
    order, given = words_of(file.attrs.get("fields", [])), words_of(file.attrs.get("given", []))
    notes += [f"scalar {name} {reason}: not read" for name, reason in other.items()]
    return Contents(
        source=source,
        format="The Well's HDF5",
        axes=tuple(axis for axis in axes if len(axis.coordinates) != 1),
        times=times,
        num_trajectories=count,
        # Stable: within those that change and those that do not, the order is the file's.
        fields=tuple(sorted(fields, key=lambda field: (_place(field.name, order), field.static))),
        time_unit=unit_of(dimensions["time"]),
        dt=number_of(dimensions["time"].attrs.get("step")),
        given=tuple(field.name for field in fields if field.name in given),
        scalars=scalars,
        misfits=misfits,
        unread={name: f"scalar {name} {reason}." for name, reason in other.items()},
        refusals=tuple(_refusals(file, names)),
        notes=tuple(notes),
    )


def _placed(coordinates: Any) -> tuple[str | None, tuple[float, float] | None]:
    """What the points are and the ends of the domain, where the file says more than The Well does."""
    points = words_of(coordinates.attrs.get("centring", []))
    return (points[0] if len(points) == 1 else None), pair_of(coordinates.attrs.get("domain"))


def _place(name: str, order: list[str]) -> int:
    """Of a field among others, those without a place last."""
    return order.index(name) if name in order else len(order)


def _count(value: Any) -> int:
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "fiu" or not float(number.item()).is_integer():
        raise ValueError(f"n_trajectories is {value}; a whole number is needed.")
    return int(number.item())


def _row(group: Any, name: str) -> Array:
    """Coordinates along one axis; where there is a row for each trajectory or time, all have to be the same."""
    values = np.atleast_2d(_numbers(group, name))
    # Not a number is equal here: that the coordinates are no row of numbers is said where they are placed.
    if values.ndim > 2 or not np.array_equal(values, np.broadcast_to(values[:1], values.shape), equal_nan=True):
        raise ValueError(
            f"coordinates {name} have shape {values.shape} and differ from row to row; Cotwin needs one grid for all "
            "states."
        )
    row: Array = values[0]
    return row


def _numbers(group: Any, name: str) -> Array:
    """The values of a dataset, real numbers. Raises ValueError where there are none, or not all."""
    dataset = member(group, name)
    problem = gap(dataset)
    if problem is None and dataset.dtype.kind not in "fiub":
        problem = f"has type {dataset.dtype}, where real numbers are needed"
    if problem is not None:
        raise ValueError(f"{path_of(dataset)} {problem}.")
    require_room(dataset.shape, dataset.dtype.itemsize, path_of(dataset))
    return np.asarray(dataset[()])


def _refusals(file: Any, names: list[str]) -> Iterator[str]:
    grid_type = words_of(file.attrs.get("grid_type", "cartesian"))[0]
    if grid_type.lower() != "cartesian":
        yield f"grid_type is {grid_type!r}; Cotwin reads cartesian grids."
    for name in names:
        varying = [
            kind for kind in ("sample_varying", "time_varying") if file["dimensions"][name].attrs.get(kind, False)
        ]
        if varying:
            yield f"coordinates {name} are {' and '.join(varying)}; Cotwin needs one grid for all states."


def _fields(
    file: Any, count: int, num_times: int, sizes: tuple[int, ...], source: str
) -> tuple[list[StoredField], dict[str, str], list[str]]:
    """Fields, why others are none, and how tensors are read: as one field for each entry that no other repeats."""
    fields: list[StoredField] = []
    misfits, notes = {}, []
    for rank in (0, 1, 2):
        for name in _names(file, f"t{rank}_fields"):
            try:
                dataset = member(file[f"t{rank}_fields"], name)
                shape = _full_shape(dataset, count, num_times, sizes, rank)
                _require_field(dataset, shape, rank, sizes)
            except ValueError as error:
                misfits[name] = str(error)
                continue
            read = _reader(dataset, shape, sizes, source)
            whole = StoredField(
                name=name,
                shape=dataset.shape,
                dtype=str(dataset.dtype),
                components=shape[-1],
                static=not dataset.attrs.get("time_varying", True),
                read=read,
                per_trajectory=shape[0] > 1,
                unit=unit_of(dataset),
            )
            if rank < 2:
                fields.append(whole)
                continue
            entries = _entries(dataset, len(sizes))
            fields += [
                replace(whole, name=f"{name}_{one}", components=1, read=_entry(read, at)) for one, at in entries
            ]
            notes.append(
                f"the tensor {name} is read as the fields {', '.join(f'{name}_{one}' for one, _ in entries)}"
            )
    return fields, misfits, notes


def _entries(dataset: Any, dims: int) -> list[tuple[str, int]]:
    """The entries of a tensor that no other repeats, by name, and their places in its row."""
    symmetric, antisymmetric = (bool(dataset.attrs.get(one, False)) for one in ("symmetric", "antisymmetric"))
    return [
        ("xyz"[row] + "xyz"[column], row * dims + column)
        for row in range(dims)
        for column in range(dims)
        if column > row or (column == row and not antisymmetric) or not (symmetric or antisymmetric)
    ]


def _entry(read: Read, place: int) -> Read:
    return lambda index, frames: read(index, frames)[:, place : place + 1]


def _require_field(dataset: Any, shape: tuple[int, ...], rank: int, sizes: tuple[int, ...]) -> None:
    """Raise ValueError unless it holds real numbers, all of them, of this shape but for axes of length 1.

    The entries of a tensor stand in a row, or in rows and columns.
    """
    where = path_of(dataset)
    if dataset.dtype.kind not in "fiub":
        parts = ": give real and imaginary part as two fields" if dataset.dtype.kind == "c" else ""
        raise ValueError(f"{where} has type {dataset.dtype}; a field holds real numbers{parts}.")
    hole = gap(dataset)
    if hole is not None:
        raise ValueError(f"{where} {hole}; copy the file with all that belongs to it, or write it again.")
    split = shape[0] == 1 or dataset.shape[:1] == shape[:1]
    square = (*shape[:-1], *[len(sizes)] * rank)
    if not split or _without_ones(dataset.shape) not in (_without_ones(shape), _without_ones(square)):
        raise ValueError(
            f"{where} has shape {dataset.shape}; by its attributes it needs {shape} "
            "(trajectory, time, *grid, component), where axes of length 1 may be absent."
        )


def _full_shape(dataset: Any, count: int, num_times: int, sizes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """The shape that the attributes promise, with 1 along each axis on which the values do not depend."""
    varying = list(dataset.attrs.get("dim_varying", [True] * len(sizes)))
    # Broadcasting over axes that the list leaves out would be a guess; the shape is then found not to fit.
    varying += [True] * (len(sizes) - len(varying))
    return (
        count if dataset.attrs.get("sample_varying", True) else 1,
        num_times if dataset.attrs.get("time_varying", True) else 1,
        *(size if varies else 1 for size, varies in zip(sizes, varying, strict=False)),
        len(sizes) ** rank,
    )


def _reader(dataset: Any, shape: tuple[int, ...], sizes: tuple[int, ...], source: str) -> Read:
    """Reads frames of a trajectory as (T, components, *grid), repeated along axes that it does not vary along."""
    grid = tuple(size for size in sizes if size != 1)

    split = int(shape[0] > 1)
    # Axes of length 1 may be there or not: times are the first that are more than one.
    before = next((i for i, size in enumerate(dataset.shape[split:]) if size != 1), 0) if shape[1] > 1 else 0

    def read(index: int, frames: slice) -> Array:
        moving = shape[1] > 1
        count = len(range(*frames.indices(shape[1]))) if moving else 1
        part = ((index,) * split, (slice(None),) * before, (frames,) * moving)
        with _explained(source):
            require_room((count, *shape[2:]), dataset.dtype.itemsize, path_of(dataset))
            values = dataset[tuple(one for some in part for one in some)]
        full = np.broadcast_to(np.reshape(values, (count, *shape[2:])), (count, *sizes, shape[-1]))
        return np.moveaxis(full.reshape(count, *grid, shape[-1]), -1, 1)

    return read


def _boundaries(file: Any, names: list[str]) -> tuple[dict[str, str], list[str]]:
    """What holds along each axis, or at each of its ends, and notes on what of it is not read."""
    said: dict[str, tuple[set[str], set[str]]] = {}
    notes = []
    for name, condition in file.get("boundary_conditions", {}).items():
        kind = words_of(condition.attrs.get("kind", condition.attrs["bc_type"]))[0].lower()
        along = [axis for axis in words_of(condition.attrs["associated_dims"]) if axis in names]
        ends = _ends_of(condition, len(file["dimensions"][along[0]])) if len(along) == 1 else (0, 1)
        for axis in along:
            for end in ends if kind != "periodic" else (0, 1):
                said.setdefault(axis, (set(), set()))[end].add(kind)
        if len(along) > 1 and kind != "periodic":
            notes.append(f"boundary condition {name} ({kind}) may lie inside the domain; walls there are not read")
        # Rarely present.
        if "values" in condition and np.any(values := _numbers(condition, "values")):
            about = f"{np.min(values):.6g} to {np.max(values):.6g}" if np.ptp(values) else f"{values.flat[0]:.6g}"
            where = ", ".join(f"{axis}_{('lower', 'upper')[end]}" for axis in along for end in ends)
            notes.append(
                f"boundary condition {name} has values other than zero, {about}, which are not read; say them in the "
                f"simulator, as physical.walls: {{{where}: {{value: …}}}}"
            )
    return {axis: _both(*(" and ".join(sorted(kinds)) for kinds in ends)) for axis, ends in said.items()}, notes


def _ends_of(condition: Any, points: int) -> tuple[int, ...]:
    """At which ends of its axis a condition holds, by its mask; at both where that does not tell."""
    if "mask" not in condition or condition["mask"].shape != (points,) or points < 2:
        return (0, 1)
    mask = np.asarray(condition["mask"][()])
    return tuple(end for end in (0, 1) if mask[-end]) or (0, 1)


def _both(lower: str, upper: str) -> str:
    """One word where both ends have the same, or only one of them has any."""
    return lower or upper if lower == upper or not (lower and upper) else f"{lower}{FROM_END_TO_END}{upper}"


def _scalars(file: Any, count: int, num_times: int) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """Each scalar as (N, T), and for those that are none the reason."""
    scalars, other = {}, {}
    for name in words_of(file.attrs.get("simulation_parameters", [])):
        if name not in file.attrs:
            other[name] = "is named, but has no value"
            continue
        value = np.asarray(file.attrs[name])
        if value.size == 1 and value.dtype.kind in "fiub":
            scalars[name] = np.full((count, num_times), float(value.item()))
        else:
            other[name] = f"has shape {value.shape} and type {value.dtype}, no real number"
    for name in _names(file, "scalars"):
        dataset = member(file["scalars"], name)
        shape = (
            count if dataset.attrs.get("sample_varying", False) else 1,
            num_times if dataset.attrs.get("time_varying", False) else 1,
        )
        if dataset.dtype.kind not in "fiub":
            other[name] = f"has type {dataset.dtype}, no real numbers"
            continue
        if math.prod(dataset.shape) != math.prod(shape):
            other[name] = (
                f"has shape {dataset.shape}, no real number a time: by its attributes sample_varying and "
                f"time_varying {shape} are needed, with {count} trajectories and {num_times} times"
            )
            continue
        values = np.reshape(_numbers(file["scalars"], name).astype(np.float64), shape)
        scalars[name] = np.broadcast_to(values, (count, num_times)).copy()
    return scalars, other


def _names(file: Any, group: str) -> list[str]:
    """The datasets that a group lists, all of them if it lists none by attribute."""
    if group not in file:
        return []
    return words_of(file[group].attrs.get("field_names", list(file[group])))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
