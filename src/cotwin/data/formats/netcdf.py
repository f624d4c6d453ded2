"""NetCDF files, of version 3 by scipy and of version 4 by h5netcdf, both through xarray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from cotwin.data.formats.hdf5 import MOST_OBJECTS, gap, words_of
from cotwin.data.formats.labelled import contents_of
from cotwin.data.formats.labelled_arrays import arrays_of, decoded, require_variables
from cotwin.data.formats.labelled_fields import damage_explained
from cotwin.data.optional import needed
from cotwin.data.room import require_room
from cotwin.data.stored.arrays import Arrays
from cotwin.data.stored.contents import Contents
from cotwin.data.stored.wanted import Wanted

if TYPE_CHECKING:
    import xarray as xr

FILLS = {"f4": np.float32(9.969209968386869e36), "f8": np.float64(9.969209968386869e36)}
"""What the netCDF library puts where nothing was written."""
NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"


def is_netcdf(file: Any) -> bool:
    """Whether an open HDF5 file is of the netCDF library: datasets have their dimensions attached."""
    if "_NCProperties" in file.attrs:
        return True
    some = (file.get(name) for name, _ in zip(file, range(MOST_OBJECTS), strict=False))
    return any("DIMENSION_LIST" in one.attrs for one in some if isinstance(one, h5py.Dataset))


@contextmanager
def open_netcdf(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What a file holds; its fields are read only when asked, a few frames of a trajectory at a time."""
    with _opened(path) as (dataset, unreadable, groups):
        with damage_explained(str(path)):
            require_variables(dataset, groups, str(path))
            version = 4 if h5py.is_hdf5(path) else 3
            contents = contents_of(dataset, wanted, str(path), f"NetCDF {version}", unreadable)
        left = f"groups are not read: {', '.join(groups)}"
        yield replace(contents, notes=(*contents.notes, left)) if groups else contents


@contextmanager
def arrays_of_netcdf(path: str | Path) -> Iterator[Arrays]:
    """The variables of a file, whatever they mean."""
    with _opened(path) as (dataset, unreadable, _):
        yield arrays_of(dataset, str(path), unreadable)


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[xr.Dataset, dict[str, str], list[str]]]:
    """The file's first group, what of it cannot be read and why, and other groups."""
    source, four = str(path), h5py.is_hdf5(path)
    xarray = needed("xarray", "xarray", source)
    if four:
        needed("h5netcdf", "xarray", source)
    with damage_explained(source):
        unreadable, groups = _looked(path) if four else ({}, [])
        dataset = xarray.open_dataset(
            path,
            engine="h5netcdf" if four else "scipy",
            decode_cf=False,
            cache=False,
            drop_variables=list(unreadable),
            **({"phony_dims": "access"} if four else {}),
        )
    with dataset:
        with damage_explained(source):
            for variable in dataset.variables.values():
                fill = FILLS.get(variable.dtype.str[1:])
                if fill is not None and not {"_FillValue", "missing_value"}.intersection(variable.attrs):
                    variable.attrs["_FillValue"] = fill
            found = decoded(dataset)
        yield found, unreadable, groups


def _looked(path: str | Path) -> tuple[dict[str, str], list[str]]:
    """Variables of an HDF5 file whose values are not all there, with the reason; and its groups."""
    unreadable: dict[str, str] = {}
    groups = []
    with h5py.File(path, "r") as file:
        if len(file) > MOST_OBJECTS:
            raise ValueError(
                f"{path}: more than {MOST_OBJECTS} variables; write those that are wanted to a file of their own."
            )
        for name in file:
            item = file.get(name)
            if item is None:
                raise ValueError(
                    f"{path}: {name} is a link to what is not there; copy the file with all that belongs to it."
                )
            if isinstance(item, h5py.Group):
                groups.append(name)
            elif isinstance(item, h5py.Dataset) and not words_of(item.attrs.get("NAME", ""))[0].startswith(
                NO_VARIABLE
            ):
                reason = gap(item, fill_is_missing=_fill_is_missing(item))
                if reason is not None:
                    unreadable[name] = (
                        f"{name} {reason}; copy the file with all that belongs to it, or write it again."
                    )
                elif item.ndim == 1:
                    # Coordinates are read as the file is opened.
                    require_room(item.shape, item.dtype.itemsize, name)
    return unreadable, groups


def _fill_is_missing(dataset: Any) -> bool:
    """Whether what HDF5 reads where nothing was written is read as missing."""
    said = dataset.attrs.get("_FillValue", FILLS.get(dataset.dtype.str[1:]))
    return said is not None and bool(np.all(np.asarray(said) == dataset.fillvalue))
