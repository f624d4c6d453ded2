"""Trajectories in numpy's npz and npy files, without pickles. The keys are documented in docs/data.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cotwin.data.archive import open_archive
from cotwin.data.arrays import Held, StoredArray
from cotwin.data.boundaries import FROM_END_TO_END
from cotwin.data.contents import Contents
from cotwin.data.named import Said, contents_of
from cotwin.data.wanted import Wanted

WORDS = ("boundary", "centring")
KNOWN = ("x", "y", "z", "t", "mask", *WORDS)


@contextmanager
def open_npz(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What an npz file holds; its fields are unpacked only when asked."""
    source = str(path)
    with open_archive(path) as (members, unreadable):
        arrays: dict[str, StoredArray] = {name: one for name, one in members.items() if name not in WORDS}
        labels = {name for name in arrays if name.endswith("_unit") and name.removesuffix("_unit") in arrays}
        for name in labels:
            arrays[name.removesuffix("_unit")].unit = _unit(members[name])
        arrays = {name: one for name, one in arrays.items() if name not in labels}
        names = [name for name in "xyz" if name in arrays]
        said = Said(_boundaries(members, names, source), _centrings(members, names, source))
        yield contents_of(arrays, unreadable, wanted, source, "npz", said)


@contextmanager
def open_npy(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What an npy file holds: one array, a field of the file's name, whose coordinates and times the caller gives."""
    path = Path(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a whole npy file of numbers ({error}); copy it again.") from error
    yield contents_of({path.stem: Held(array)}, {}, wanted, str(path), "npy")


def _centrings(arrays: Mapping[str, StoredArray], names: list[str], source: str) -> dict[str, str]:
    if "centring" not in arrays:
        return {}
    words = _words(arrays["centring"])
    if len(words) not in (1, len(names)):
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
    if stored.dtype.kind not in "US" or len(words) not in (1, len(names)):
        raise ValueError(
            f"{source}: boundary holds {words} for the axes {names}; give one word, one for each axis, or a pair for "
            "each axis."
        )
    return dict(zip(names, words * (len(names) // len(words)), strict=True))


def _unit(stored: StoredArray) -> str:
    return ", ".join(_words(stored)) if stored.dtype.kind in "US" else "1"


def _words(stored: StoredArray) -> list[str]:
    return [word.decode() if isinstance(word, bytes) else str(word) for word in np.ravel(stored.values)]
