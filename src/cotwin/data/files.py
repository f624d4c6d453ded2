"""Which files a path, a pattern or a folder stands for."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cotwin.data.formats.known import is_store

ENDINGS = (".npz", ".npy", ".h5", ".hdf5", ".mat", ".nc", ".zarr", ".csv", ".tsv", ".parquet")
"""Of files that are taken from a folder."""


def files_of(path: str | Path | Sequence[str | Path]) -> list[str]:
    """One path; those that a pattern such as runs/*.npz fits, or the data files of a folder, in the order of their
    names, run2 before run10; or several of these.

    Raises ValueError for a pattern or a folder without any, and a file that is named twice.
    """
    several = [path] if isinstance(path, str | Path) else path
    found = [file for one in several for file in _fitting(str(one))]
    if len(set(found)) < len(found):
        twice = next(one for one in found if found.count(one) > 1)
        raise ValueError(f"{twice} is named twice; its trajectories would count twice.")
    if not found:
        raise ValueError("no file is named.")
    return found


def _fitting(path: str) -> Iterator[str]:
    folder = Path(path)
    if folder.is_dir() and not is_store(folder):
        files = sorted((str(one) for one in folder.iterdir() if one.suffix in ENDINGS), key=_counted)
        if not files:
            raise ValueError(
                f"{path}: a folder without data files (*{', *'.join(ENDINGS)}); name one of another ending."
            )
        yield from files
    elif glob.has_magic(path) and not folder.exists():
        # Path.glob takes no pattern that begins at the root.
        files = sorted(glob.glob(path), key=_counted)  # noqa: PTH207
        if not files:
            raise ValueError(f"no file fits {path}.")
        yield from files
    else:
        yield path


def _counted(name: str) -> list[str | int]:
    """Words and numbers of a name by turns, so that numbers are compared as such."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
