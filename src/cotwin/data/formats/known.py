"""The formats that Cotwin reads, and which of them a file is of: by its content, whatever its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from cotwin.data.formats.foreign import what_it_is
from cotwin.data.formats.hdf5 import damage_explained, opened
from cotwin.data.formats.labelled import open_dataset
from cotwin.data.formats.matlab import arrays_of_matlab, open_matlab
from cotwin.data.formats.netcdf import arrays_of_netcdf, is_netcdf, open_netcdf
from cotwin.data.formats.npz import arrays_of_npy, arrays_of_npz, open_npy, open_npz
from cotwin.data.formats.pdebench import is_pdebench, open_pdebench
from cotwin.data.formats.phiflow import arrays_of_scenes, is_scene, open_phiflow
from cotwin.data.formats.plain import (
    arrays_of_groups,
    arrays_of_hdf5,
    arrays_of_matlab_hdf5,
    open_hdf5,
    open_matlab_hdf5,
)
from cotwin.data.formats.well import is_well, open_well
from cotwin.data.formats.zarr import arrays_of_zarr, open_zarr
from cotwin.data.formats.zarr_store import is_zarr
from cotwin.data.stored.arrays import Arrays
from cotwin.data.stored.contents import Contents, setting
from cotwin.data.stored.rising import rising
from cotwin.data.stored.wanted import NOTHING_SAID, ROLES, Wanted

if TYPE_CHECKING:
    import xarray as xr

Open = Callable[[Path, Wanted], AbstractContextManager[Contents]]
List = Callable[[Path], AbstractContextManager[Arrays]]
Begins = Callable[[Path, bytes], bool]
Holds = Callable[[Any], bool]
BEGIN = 512
"""Bytes of a file that tell what it is."""
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Format:
    """A format: how it is opened, and what tells it.

    arrays: how what it holds is listed, whatever it means.
    begins: whether a file's first bytes, or a folder, look so. holds: whether an HDF5 file does, open; None for
        formats that are not HDF5.
    """

    open: Open
    arrays: List
    begins: Begins
    holds: Holds | None = None


def _is_hdf5(path: Path, begin: bytes) -> bool:
    if begin.startswith(ZIP):
        return False
    # By its ending alone one that is damaged.
    return path.is_file() and (h5py.is_hdf5(path) or path.suffix in (".h5", ".hdf5"))


def _is_matlab(path: Path, begin: bytes) -> bool:
    return begin.startswith(b"MATLAB 5.0") or (path.suffix == ".mat" and not _is_hdf5(path, begin))


def _is_netcdf(path: Path, begin: bytes) -> bool:
    return begin.startswith(b"CDF") or (path.suffix in (".nc", ".nc4", ".cdf") and not _is_hdf5(path, begin))


FORMATS: dict[str, Format] = {
    "zarr": Format(
        open_zarr,
        arrays_of_zarr,
        lambda path, begin: (path.is_dir() or begin.startswith(ZIP)) and is_zarr(path),
    ),
    "npz": Format(open_npz, arrays_of_npz, lambda path, begin: begin.startswith(ZIP) or path.suffix == ".npz"),
    "phiflow": Format(open_phiflow, arrays_of_scenes, lambda path, begin: is_scene(path)),
    "npy": Format(open_npy, arrays_of_npy, lambda path, begin: begin.startswith(b"\x93NUMPY")),
    "matlab": Format(open_matlab, arrays_of_matlab, _is_matlab),
    "well": Format(open_well, arrays_of_hdf5, _is_hdf5, is_well),
    "pdebench": Format(open_pdebench, arrays_of_groups, _is_hdf5, is_pdebench),
    "netcdf": Format(open_netcdf, arrays_of_netcdf, _is_hdf5, is_netcdf),
    "netcdf3": Format(open_netcdf, arrays_of_netcdf, _is_netcdf),
    "matlab_hdf5": Format(
        open_matlab_hdf5,
        arrays_of_matlab_hdf5,
        lambda path, begin: begin.startswith(b"MATLAB 7.3"),
        lambda file: True,
    ),
    "hdf5": Format(open_hdf5, arrays_of_groups, _is_hdf5, lambda file: True),
}
"""By the name that `data.format` has; of several that fit a file the first."""
TABLES: dict[str, Begins] = {
    "parquet": lambda path, begin: begin.startswith(b"PAR1"),
    "csv": lambda path, begin: path.is_file() and path.suffix.lower() in (".csv", ".tsv"),
}
"""Tables of readings that lie on no grid, which `off_grid.read_sensors` reads."""


def is_store(folder: Path) -> bool:
    """Whether a folder is one set of data, not several files."""
    return any(one.begins(folder, b"") for one in FORMATS.values())


def format_of(path: Path, asked: str | None = None) -> str:
    """The name of a file's format. Raises ValueError where it is of none, with what it is and the cure."""
    if asked is not None and asked not in (*FORMATS, *TABLES):
        raise ValueError(f"{setting('format')} is {asked!r}; Cotwin reads {', '.join((*FORMATS, *TABLES))}.")
    if not path.is_file() and not path.is_dir():
        # A pipe: opened, it waits for ever.
        path.stat()
        raise ValueError(what_it_is(path))
    if asked is not None:
        return asked
    begin = b""
    if path.is_file():
        with path.open("rb") as file:
            begin = file.read(BEGIN)
    found = [name for name, one in FORMATS.items() if one.begins(path, begin)]
    if any(FORMATS[name].holds for name in found):
        with opened(path) as content, damage_explained(str(path)):
            return next(name for name in found if (holds := FORMATS[name].holds) is not None and holds(content))
    found += [name for name, begins in TABLES.items() if begins(path, begin)]
    if found:
        return found[0]
    raise ValueError(what_it_is(path))


@contextmanager
def open_contents(
    source: str | Path | xr.Dataset, wanted: Wanted = NOTHING_SAID, format: str | None = None
) -> Iterator[Contents]:
    """What a file, or a dataset in memory, holds; by Cotwin's names; coordinates that fall are reversed, with the
    fields.

    Raises ValueError for a file of no known format, or one that is damaged.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        opening = _on_a_grid(path, format).open(path, wanted)
    else:
        opening = open_dataset(source, wanted)
    with opening as contents:
        yield _renamed(rising(contents), wanted)


def _renamed(contents: Contents, wanted: Wanted) -> Contents:
    """With the caller's names of fields, where the format has not used them already.

    Raises ValueError for names that no field has, and for two fields of one name.
    """
    ours = {theirs: name for name, theirs in wanted.names.items() if name not in ROLES}
    there = {field.name for field in contents.fields}
    known = {*there, *contents.misfits, *contents.scalars, *contents.courses}
    strange = [theirs for theirs, name in ours.items() if theirs not in known and name not in known]
    if strange:
        raise ValueError(
            f"{contents.source}: {setting('names')} speaks of {strange[0]!r}; its fields are {', '.join(there)}."
        )
    called = [ours.get(field.name, field.name) for field in contents.fields]
    twice = [name for name in called if called.count(name) > 1]
    if twice:
        raise ValueError(
            f"{contents.source}: two fields would be called {twice[0]}, by {setting('names')} or as part of another "
            "array; give one of them another name there or in the file."
        )
    named = zip(contents.fields, called, strict=True)
    return replace(contents, fields=tuple(replace(one, name=name) for one, name in named))


def open_arrays(path: str | Path, format: str | None = None) -> AbstractContextManager[Arrays]:
    """The arrays of a file, whatever they mean. Raises ValueError where there is no known format, or damage."""
    path = Path(path)
    return _on_a_grid(path, format).arrays(path)


def _on_a_grid(path: Path, asked: str | None) -> Format:
    """The format of a file. Raises ValueError for tables of readings, which have no grid."""
    kind = format_of(path, asked)
    if kind in TABLES:
        raise ValueError(
            f"{path}: a table of readings, which lie on no grid; cotwin estimate and cotwin train read it "
            "(docs/data.md)."
        )
    return FORMATS[kind]
