"""Trajectories in numpy's npz and npy files, without pickles. The keys are documented in docs/data.md."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cotwin.data.formats.archive import header_of, open_archive
from cotwin.data.stored.arrays import Arrays, Held, StoredArray
from cotwin.data.stored.boundaries import FROM_END_TO_END
from cotwin.data.stored.contents import Contents
from cotwin.data.stored.named import Said, contents_of
from cotwin.data.stored.wanted import Wanted

WORDS = ("boundary", "centring")
KNOWN = ("x", "y", "z", "t", "mask", *WORDS)


@contextmanager
def arrays_of_npz(path: str | Path) -> Iterator[Arrays]:
    """The arrays of an npz file, with their units; unpacked only when asked."""
    with open_archive(path) as (members, unreadable):
        arrays: dict[str, StoredArray] = dict(members)
        labels = {name for name in arrays if name.endswith("_unit") and name.removesuffix("_unit") in arrays}
        for name in labels:
            arrays[name.removesuffix("_unit")].unit = _unit(members[name])
        yield Arrays({name: one for name, one in arrays.items() if name not in labels}, unreadable)


@contextmanager
def open_npz(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What an npz file holds."""
    source = str(path)
    with arrays_of_npz(path) as found:
        names = [name for name in "xyz" if name in found.named]
        said = Said(_boundaries(found.named, names, source), _centrings(found.named, names, source))
        arrays = {name: one for name, one in found.named.items() if name not in WORDS}
        yield contents_of(arrays, found.unreadable, wanted, source, "npz", said)


@contextmanager
def arrays_of_npy(path: str | Path) -> Iterator[Arrays]:
    """The one array of an npy file, by the file's name without a number at its end: both run0 and run1 hold run."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            shape, fortran, dtype = header_of(file)
            begin = file.tell()
        held = path.stat().st_size - begin
        if math.prod(shape) * dtype.itemsize != held:
            raise ValueError(f"its header declares {shape} {dtype}, and {held} bytes follow")
        array = np.memmap(path, dtype, "r", begin, shape, "F" if fortran else "C")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a whole npy file of numbers ({error}); copy it again.") from error
    yield Arrays({re.sub(r"[_.-]*\d+$", "", path.stem) or path.stem: Held(array)})


@contextmanager
def open_npy(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What an npy file holds: a field, whose coordinates and times the caller gives."""
    with arrays_of_npy(path) as found:
        yield contents_of(found.named, {}, wanted, str(path), "npy")


def _centrings(arrays: Mapping[str, StoredArray], names: list[str], source: str) -> dict[str, str]:
    if "centring" not in arrays:
        return {}
    words = _words(arrays["centring"])
    if len(words) not in (1, len(names)) or not words:
        raise ValueError(f"{source}: centring holds {words} for the axes {names}; give one word, or one for each.")
    return dict(zip(names, words * (len(names) // len(words)), strict=True))


def _boundaries(arrays: Mapping[str, StoredArray], names: list[str], source: str) -> dict[str, str]:
    if "boundary" not in arrays:
        return {}
    stored = arrays["boundary"]
    words = [word.lower() for word in _words(stored)]
    if stored.shape == (len(names), 2):
        pairs = zip(words[::2], words[1::2], strict=True)
        words = [lower if lower == upper else f"{lower}{FROM_END_TO_END}{upper}" for lower, upper in pairs]
    if stored.dtype.kind not in "US" or len(words) not in (1, len(names)) or not words:
        raise ValueError(
            f"{source}: boundary holds {words} for the axes {names}; give one word, one for each axis, or a pair for "
            "each axis."
        )
    return dict(zip(names, words * (len(names) // len(words)), strict=True))


def _unit(stored: StoredArray) -> str:
    return ", ".join(_words(stored)) if stored.dtype.kind in "US" else "1"


def _words(stored: StoredArray) -> list[str]:
    return [word.decode() if isinstance(word, bytes) else str(word) for word in np.ravel(stored.values)]
