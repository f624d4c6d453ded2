"""MATLAB files of version 4 and 5, by SciPy; those of version 7.3 are HDF5."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.io

from cotwin.data.formats.archive import MOST_UNPACKED
from cotwin.data.formats.matlab_tags import require_sound_tags
from cotwin.data.room import require_room
from cotwin.data.stored.arrays import Arrays, StoredArray
from cotwin.data.stored.contents import Array, Contents
from cotwin.data.stored.named import contents_of
from cotwin.data.stored.wanted import Wanted

NUMBERS = ("double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


class _Variable(StoredArray):
    """A numeric variable; a row or a column is one axis, and a single number none."""

    def __init__(self, path: Path, name: str, shape: tuple[int, ...]) -> None:
        self.path, self.name, self.whole = path, name, shape
        self.shape = tuple(n for n in shape if n != 1) if max(shape, default=1) == math.prod(shape) else shape
        require_room(shape, 1, f"variable {name!r}")
        self.dtype = self._loaded.dtype

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        return np.asarray(self._loaded[index])

    @cached_property
    def _loaded(self) -> Array:
        # All of it: whosmat does not tell whether numbers are complex, and in version 5 none takes more than 2 GB.
        with _damage_explained(str(self.path)):
            found = scipy.io.loadmat(self.path, variable_names=[self.name], chars_as_strings=False)[self.name]
        if not isinstance(found, np.ndarray) or found.dtype.hasobject or found.shape != self.whole:
            raise ValueError(f"{self.path}: variable {self.name!r} is no array of numbers.")
        return found.reshape(self.shape)


@contextmanager
def arrays_of_matlab(path: str | Path) -> Iterator[Arrays]:
    """The numeric variables of a file."""
    path = Path(path)
    source, most = str(path), path.stat().st_size * MOST_UNPACKED
    arrays: dict[str, StoredArray] = {}
    unreadable: dict[str, str] = {}
    with _damage_explained(source):
        require_sound_tags(path)
        listed = scipy.io.whosmat(path)
    for name, shape, kind in listed:
        if kind not in NUMBERS:
            unreadable[name] = f"variable {name!r} is of MATLAB's class {kind}; a field holds numbers."
        elif math.prod(shape) > most:
            unreadable[name] = f"variable {name!r} declares {shape} numbers, more than the file can hold."
        else:
            arrays[name] = _Variable(path, name, tuple(map(int, shape)))
    yield Arrays(arrays, unreadable)


@contextmanager
def open_matlab(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What a file holds: times, coordinates and fields by their names and shapes."""
    with arrays_of_matlab(path) as found:
        yield contents_of(found.named, found.unreadable, wanted, str(path), "MATLAB")


@contextmanager
def _damage_explained(source: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    # SciPy raises what reading beyond the end, or nonsense, comes to: struct, zlib and index errors among them.
    except Exception as error:
        raise ValueError(
            f"{source}: not a whole MATLAB file ({error}); it may be truncated: copy it again."
        ) from error
