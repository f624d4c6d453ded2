"""Trajectories in HDF5 files of The Well's layout.

Format: Ohana et al. (2024), The Well, arXiv:2412.00568. What is read and what is not stands in docs/data.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cotwin.data.contents import Array, Axis, Contents, StoredField


@contextmanager
def open_well(path: str | Path) -> Iterator[Contents]:
    """What such a file holds; its fields are read only when asked, one trajectory at a time."""
    try:
        with h5py.File(path, "r") as file:
            yield _contents(file, str(path))
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise ValueError(f"{path}: not a whole HDF5 file ({error}); it may be truncated: copy it again.") from error


def takes_from_other_files(path: str | Path) -> bool:
    """Whether an HDF5 file has content that lies elsewhere: external links or storage, virtual datasets."""
    found: list[str] = []

    def look_at_link(name: str, link: object) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(name)

    def look_at(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            found.append(name)

    with h5py.File(path, "r") as file:
        file.visititems_links(look_at_link)
        file.visititems(look_at)
    return bool(found)


def _contents(file: Any, source: str) -> Contents:
    try:
        return _read_contents(file, source)
    except KeyError as error:
        raise ValueError(
            f"{source}: HDF5, but not in The Well's layout, which docs/data.md describes: {error.args[0]}."
        ) from error


def _read_contents(file: Any, source: str) -> Contents:
    dimensions = file["dimensions"]
    names = _words(dimensions.attrs["spatial_dims"])
    count = int(file.attrs["n_trajectories"])
    times = np.atleast_2d(dimensions["time"][()])
    coordinates = [np.atleast_2d(dimensions[name][()])[0] for name in names]
    sizes = tuple(len(values) for values in coordinates)
    if 0 in (times.size, *sizes):
        raise ValueError(f"{source}: empty: {times.shape[-1]} times and a grid of {sizes}.")
    said, notes = _boundaries(file, names)
    axes = [
        Axis(name, values, said.get(name), _unit(dimensions[name]))
        for name, values in zip(names, coordinates, strict=True)
    ]
    for axis in axes:
        if len(axis.coordinates) == 1:
            notes.append(f"axis {axis.name} has a single point and is left out of the grid")
    tensors = _names(file, "t2_fields")
    if tensors:
        notes.append(f"fields of rank 2 are not supported and not read: {', '.join(tensors)}")
    fields, misfits = _fields(file, count, times.shape[-1], sizes)
    scalars, other = _scalars(file, count, times.shape[-1])
    notes += [f"scalar {name} has shape {shape}, which is no number a time: not read" for name, shape in other]
    return Contents(
        source=source,
        format="The Well's HDF5",
        axes=tuple(axis for axis in axes if len(axis.coordinates) != 1),
        times=times,
        num_trajectories=count,
        # Stable: within those that change and those that do not, the order is the file's.
        fields=tuple(sorted(fields, key=lambda field: field.static)),
        time_unit=_unit(dimensions["time"]),
        scalars=scalars,
        misfits=misfits,
        refusals=tuple(_refusals(file, names)),
        notes=tuple(notes),
    )


def _refusals(file: Any, names: list[str]) -> Iterator[str]:
    grid_type = _words(file.attrs.get("grid_type", "cartesian"))[0]
    if grid_type.lower() != "cartesian":
        yield f"grid_type is {grid_type!r}; Cotwin reads cartesian grids."
    for name in names:
        varying = [
            kind for kind in ("sample_varying", "time_varying") if file["dimensions"][name].attrs.get(kind, False)
        ]
        if varying:
            yield f"coordinates {name} are {' and '.join(varying)}; Cotwin needs one grid for all states."


def _fields(
    file: Any, count: int, num_times: int, sizes: tuple[int, ...]
) -> tuple[list[StoredField], dict[str, str]]:
    fields, misfits = [], {}
    for group, rank in (("t0_fields", 0), ("t1_fields", 1)):
        for name in _names(file, group):
            dataset = file[group][name]
            if dataset.dtype.kind not in "fiub":
                misfits[name] = f"{group}/{name} has type {dataset.dtype}; a field holds real numbers."
                continue
            shape = _full_shape(dataset, count, num_times, sizes, rank)
            split = shape[0] == 1 or dataset.shape[:1] == shape[:1]
            if not split or _without_ones(dataset.shape) != _without_ones(shape):
                misfits[name] = (
                    f"{group}/{name} has shape {dataset.shape}; by its attributes it needs {shape} "
                    "(trajectory, time, *grid, component), where axes of length 1 may be absent."
                )
                continue
            fields.append(
                StoredField(
                    name=name,
                    shape=dataset.shape,
                    dtype=str(dataset.dtype),
                    components=shape[-1],
                    static=not dataset.attrs.get("time_varying", True),
                    read=_reader(dataset, shape, sizes),
                    per_trajectory=shape[0] > 1,
                    unit=_unit(dataset),
                )
            )
    return fields, misfits


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


def _reader(dataset: Any, shape: tuple[int, ...], sizes: tuple[int, ...]) -> Callable[[int], Array]:
    """Reads one trajectory as (T, components, *grid), repeated along axes that it does not vary along."""
    grid = tuple(size for size in sizes if size != 1)

    def read(index: int) -> Array:
        values = dataset[index] if shape[0] > 1 else dataset[()]
        full = np.broadcast_to(np.reshape(values, shape[1:]), (shape[1], *sizes, shape[-1]))
        return np.moveaxis(full.reshape(shape[1], *grid, shape[-1]), -1, 1)

    return read


def _boundaries(file: Any, names: list[str]) -> tuple[dict[str, str], list[str]]:
    """What holds along each axis, and notes on what of it is not read."""
    said: dict[str, set[str]] = {}
    notes = []
    for name, condition in file.get("boundary_conditions", {}).items():
        kind = _words(condition.attrs["bc_type"])[0].lower()
        along = [axis for axis in _words(condition.attrs["associated_dims"]) if axis in names]
        for axis in along:
            said.setdefault(axis, set()).add(kind)
        if len(along) > 1 and kind != "periodic":
            notes.append(f"boundary condition {name} ({kind}) may lie inside the domain; walls there are not read")
        # Rarely present, and never needed: Cotwin's conditions are homogeneous.
        if "values" in condition and np.any(condition["values"][()]):
            notes.append(f"boundary condition {name} has values other than zero, which are not read")
    return {axis: " and ".join(sorted(kinds)) for axis, kinds in said.items()}, notes


def _scalars(
    file: Any, count: int, num_times: int
) -> tuple[dict[str, NDArray[np.float64]], list[tuple[str, tuple[int, ...]]]]:
    """Each scalar as (N, T), and name and shape of those that are none."""
    parameters = _words(file.attrs.get("simulation_parameters", []))
    scalars = {
        name: np.full((count, num_times), float(file.attrs[name]))
        for name in parameters
        if isinstance(file.attrs.get(name), (int, float, np.number))
    }
    other = []
    for name in _names(file, "scalars"):
        dataset = file["scalars"][name]
        shape = (
            count if dataset.attrs.get("sample_varying", False) else 1,
            num_times if dataset.attrs.get("time_varying", False) else 1,
        )
        if math.prod(dataset.shape) != math.prod(shape) or dataset.dtype.kind not in "fiub":
            other.append((name, dataset.shape))
            continue
        values = np.reshape(dataset[()].astype(np.float64), shape)
        scalars[name] = np.broadcast_to(values, (count, num_times)).copy()
    return scalars, other


def _names(file: Any, group: str) -> list[str]:
    """The datasets that a group lists, all of them if it lists none by attribute."""
    if group not in file:
        return []
    return _words(file[group].attrs.get("field_names", list(file[group])))


def _words(value: Any) -> list[str]:
    """An attribute as text: a string, bytes, or an array of either."""
    if isinstance(value, h5py.Empty):
        return []
    words = [value] if isinstance(value, (str, bytes)) else list(np.ravel(value))
    return [word.decode() if isinstance(word, bytes) else str(word) for word in words]


def _unit(dataset: Any) -> str:
    return _words(dataset.attrs.get("unit", "1"))[0]


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
