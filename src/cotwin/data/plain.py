"""HDF5 files of no known layout, and MATLAB's of version 7.3, which are HDF5: arrays with names, nothing more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cotwin.data.arrays import Squeezed, StoredArray
from cotwin.data.contents import Contents
from cotwin.data.hdf5 import H5Array, damage_explained, datasets_of, opened, words_of
from cotwin.data.named import contents_of
from cotwin.data.wanted import Wanted


@contextmanager
def open_hdf5(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What a file holds: datasets that are times, coordinates and fields by their names and shapes."""
    source = str(path)
    with opened(path) as file:
        with damage_explained(source):
            arrays, unreadable = _arrays(file, source, reverse=False)
            contents = contents_of(arrays, unreadable, wanted, source, "HDF5")
        yield contents


@contextmanager
def open_matlab_hdf5(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """The same with axes in MATLAB's order, as they were there; a row or a column is one axis."""
    source = str(path)
    with opened(path) as file:
        with damage_explained(source):
            arrays, unreadable = _arrays(file, source, reverse=True)
            rows = {
                name: Squeezed(one) if max(one.shape, default=1) == math.prod(one.shape) else one
                for name, one in arrays.items()
            }
            contents = contents_of(rows, unreadable, wanted, source, "MATLAB 7.3")
        yield contents


def _arrays(file: Any, source: str, reverse: bool) -> tuple[dict[str, StoredArray], dict[str, str]]:
    arrays: dict[str, StoredArray] = {}
    unreadable: dict[str, str] = {}
    for name, dataset in datasets_of(file).items():
        if words_of(dataset.attrs.get("MATLAB_class", "double"))[0] in ("char", "cell", "function_handle"):
            continue
        try:
            arrays[name] = H5Array(dataset, source, reverse)
        except ValueError as error:
            unreadable[name] = f"{error}; copy the file with all that belongs to it, or write it again."
    return arrays, unreadable
