"""HDF5 files of no known layout, and MATLAB's of version 7.3, which are HDF5: arrays with names, nothing more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotwin.data.formats.groups import of_each_group
from cotwin.data.formats.hdf5 import H5Array, damage_explained, datasets_of, opened, words_about, words_of
from cotwin.data.stored.arrays import Arrays, Squeezed, StoredArray
from cotwin.data.stored.contents import Contents
from cotwin.data.stored.named import Said, contents_of
from cotwin.data.stored.wanted import Wanted


@contextmanager
def arrays_of_hdf5(path: str | Path) -> Iterator[Arrays]:
    """The datasets of a file, by their paths."""
    with opened(path) as file:
        with damage_explained(str(path)):
            found = _arrays(file, str(path), reverse=False)
        yield found


@contextmanager
def arrays_of_groups(path: str | Path) -> Iterator[Arrays]:
    """The same, with one array for all groups that are trajectories."""
    with arrays_of_hdf5(path) as found:
        with damage_explained(str(path)):
            joined, _ = of_each_group(found)
        yield joined


@contextmanager
def arrays_of_matlab_hdf5(path: str | Path) -> Iterator[Arrays]:
    """The same with axes in MATLAB's order, as they were there; a row or a column is one axis."""
    with opened(path) as file:
        with damage_explained(str(path)):
            found = _arrays(file, str(path), reverse=True)
            rows = {
                name: Squeezed(one) if max(one.shape, default=1) == math.prod(one.shape) else one
                for name, one in found.named.items()
            }
        yield replace(found, named=rows)


@contextmanager
def open_hdf5(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What a file holds: datasets that are times, coordinates and fields by their names and shapes."""
    with arrays_of_hdf5(path) as found:
        with damage_explained(str(path)):
            joined, notes = of_each_group(found)
            contents = contents_of(joined.named, joined.unreadable, wanted, str(path), "HDF5", Said(notes=notes))
        yield contents


@contextmanager
def open_matlab_hdf5(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What a file of MATLAB's holds, likewise."""
    with arrays_of_matlab_hdf5(path) as found:
        with damage_explained(str(path)):
            contents = contents_of(found.named, found.unreadable, wanted, str(path), "MATLAB 7.3")
        yield contents


def _arrays(file: Any, source: str, reverse: bool) -> Arrays:
    arrays: dict[str, StoredArray] = {}
    unreadable: dict[str, str] = {}
    words = {"": words_about(file)}
    for name, dataset in datasets_of(file).items():
        if words_of(dataset.attrs.get("MATLAB_class", "double"))[0] in ("char", "cell", "function_handle"):
            continue
        words[name] = words_about(dataset)
        try:
            arrays[name] = H5Array(dataset, source, reverse)
        except ValueError as error:
            unreadable[name] = f"{error}; copy the file with all that belongs to it, or write it again."
    return Arrays(arrays, unreadable, words)
