"""Trajectories from a file of any format that Cotwin reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from cotwin.data.assemble import Missing, assemble
from cotwin.data.contents import Contents
from cotwin.data.npz import open_npz
from cotwin.data.trajectories import Trajectories
from cotwin.data.well import open_well, takes_from_other_files
from cotwin.layout import Boundary

Opener = Callable[[str | Path], AbstractContextManager[Contents]]

# By the bytes that a file begins with, and by its ending where those are damaged.
SIGNATURES: dict[bytes, Opener] = {b"PK\x03\x04": open_npz, b"\x89HDF\r\n\x1a\n": open_well}
ENDINGS: dict[str, Opener] = {".npz": open_npz, ".h5": open_well, ".hdf5": open_well}


def read_trajectories(
    path: str | Path,
    *,
    fields: Sequence[str] | None = None,
    boundary: Boundary | Sequence[Boundary] | None = None,
    extent: Sequence[tuple[float, float]] | None = None,
    missing: Missing = "error",
) -> Trajectories:
    """Trajectories from an npz file or from HDF5 in The Well's layout; docs/data.md describes both.

    fields: which to read, in order; default all.
    boundary: what the file leaves open, for each axis or for all.
    extent: (lower, upper) of each axis; see `cotwin.data.grid.place` for what it decides.
    missing: refuse values that are not finite, or mask them.

    Raises ValueError, naming the array or dataset and the cure, for a file that does not fit.
    """
    with open_contents(path) as contents:
        return assemble(contents, fields=fields, boundary=boundary, extent=extent, missing=missing)


def is_self_contained(path: str | Path) -> bool:
    """Whether all that a file holds lies in it, so that its bytes decide what is read."""
    with Path(path).open("rb") as file:
        is_hdf5 = file.read(8) == b"\x89HDF\r\n\x1a\n"
    return not (is_hdf5 and takes_from_other_files(path))


def open_contents(path: str | Path) -> AbstractContextManager[Contents]:
    """What a file holds. Raises ValueError for one of no known format, or one that is damaged."""
    with Path(path).open("rb") as file:
        begin = file.read(8)
    for signature, opener in SIGNATURES.items():
        if begin.startswith(signature):
            return opener(path)
    if Path(path).suffix in ENDINGS:
        return ENDINGS[Path(path).suffix](path)
    raise ValueError(
        f"{path}: neither its content nor its ending {Path(path).suffix!r} is of a format that Cotwin reads; "
        f"these are {', '.join(ENDINGS)} (HDF5 in The Well's layout)."
    )
