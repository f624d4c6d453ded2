"""Trajectories into a file that `open_trajectories` reads back, of the format that its ending names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from cotwin.data.optional import needed
from cotwin.data.trajectories import Trajectories
from cotwin.data.writing.to_xarray import dataset_of
from cotwin.data.writing.write_npz import write_npz
from cotwin.data.writing.write_well import write_well
from cotwin.pieces import AT_ONCE


def write_trajectories(path: str | Path, trajectories: Trajectories) -> None:
    """States, with what is given, coordinates, times, boundaries and units; whole or not at all.

    .npz under the keys of docs/data.md, .nc as NetCDF 4, .zarr as Zarr 3, .h5 and .hdf5 in The Well's layout.
    Raises what `require_new` does, ValueError for names that the format keeps for something else and where states lie
    beside the frames, or OSError.
    """
    path = Path(path)
    require_new(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        WRITERS[path.suffix](part, trajectories)
        part.replace(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)


def require_new(path: Path) -> None:
    """Raise FileExistsError where there is something already, ValueError where no such file can be written."""
    if path.suffix not in WRITERS:
        raise ValueError(
            f"{path}: what is written is npz, NetCDF, Zarr or The Well's HDF5; let the name end in "
            f"{', '.join(WRITERS)}."
        )
    for package in NEEDED.get(path.suffix, ()):
        needed(package, "xarray", str(path))
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}; make it first.")
    if path.exists():
        raise FileExistsError(f"{path} exists; choose another name, or move it away.")


def _netcdf(path: Path, trajectories: Trajectories) -> None:
    dataset_of(trajectories).to_netcdf(path, engine="h5netcdf")


def _zarr(path: Path, trajectories: Trajectories) -> None:
    """In chunks of some frames of a trajectory, each of which is written: a missing one says that it was lost."""
    dataset = dataset_of(trajectories)
    chunks = {}
    for name, variable in dataset.data_vars.items():
        frames = max(1, AT_ONCE * len(trajectories) * trajectories.num_frames // max(variable.nbytes, 1))
        longest = {"trajectory": 1, "time": frames}
        chunks[name] = {
            "chunks": tuple(min(longest.get(str(one), size), size) for one, size in variable.sizes.items())
        }
    dataset.to_zarr(path, mode="w", zarr_format=3, consolidated=False, write_empty_chunks=True, encoding=chunks)


NEEDED = {".nc": ("xarray", "h5netcdf"), ".zarr": ("xarray", "zarr")}
WRITERS: dict[str, Callable[[Path, Trajectories], None]] = {
    ".npz": write_npz,
    ".nc": _netcdf,
    ".zarr": _zarr,
    ".h5": write_well,
    ".hdf5": write_well,
}
