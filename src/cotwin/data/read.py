"""Trajectories from a file of any format that Cotwin reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict

import h5py

from cotwin.data.assembling.assemble import Missing, Walls, assemble
from cotwin.data.assembling.precision import Precision
from cotwin.data.assembling.times import NEAR
from cotwin.data.files import files_of
from cotwin.data.formats.hdf5 import takes_from_other_files
from cotwin.data.formats.known import TABLES, format_of, open_contents
from cotwin.data.room import MEMORY, Room
from cotwin.data.several import together
from cotwin.data.stored.contents import setting
from cotwin.data.stored.wanted import Wanted
from cotwin.data.tables.off_grid import read_sensors
from cotwin.data.trajectories import Trajectories
from cotwin.layout import Boundary, Centring, Ends

if TYPE_CHECKING:
    import xarray as xr


class Options(TypedDict, total=False):
    """The options of `open_trajectories`, for whoever hands them on."""

    format: str | None
    names: Mapping[str, str]
    fields: Sequence[str] | None
    boundary: Boundary | Sequence[Ends] | None
    extent: Sequence[tuple[float, float]] | None
    missing: Missing
    axes: str | None
    precision: Precision
    walls: Walls
    given: Sequence[str]
    given_at: Sequence[str]
    points: Centring | Sequence[Centring] | None
    dt: float | None
    dt_tolerance: float
    grid: Sequence[int] | None
    begin: float | None


def open_trajectories(
    source: str | Path | Sequence[str | Path] | xr.Dataset,
    *,
    format: str | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
    fields: Sequence[str] | None = None,
    boundary: Boundary | Sequence[Ends] | None = None,
    extent: Sequence[tuple[float, float]] | None = None,
    missing: Missing = "error",
    axes: str | None = None,
    precision: Precision = "auto",
    walls: Walls = "checked",
    given: Sequence[str] = (),
    given_at: Sequence[str] = (),
    points: Centring | Sequence[Centring] | None = None,
    dt: float | None = None,
    dt_tolerance: float = NEAR,
    room: Room = MEMORY,
    grid: Sequence[int] | None = None,
    begin: float | None = None,
) -> Trajectories:
    """Trajectories from a file of any format that docs/data.md names, from several as one set, or an xarray.Dataset.

    source: a file, a pattern such as runs/*.npz, a folder of files, or several of these.
    format: of the file, by its content if not given.
    names: what the file calls times (t), coordinates (x, y, z), trajectories (n) and fields, by Cotwin's names:
        {"t": "time", "u": "usol"}.
    fields: which to read, in order; default all.
    boundary: what the file leaves open, for each axis, for each of its ends, or for all.
    extent: (lower, upper) of each axis; see `cotwin.data.assembling.grid.place` for what it decides. Where the file
        has no coordinates, they follow from it and from `points`.
    missing: refuse values that are not finite, or mask them.
    axes: the order of the axes of fields where the format does not settle it, such as "xt", "nxyt" or "ntcxy", n for
        trajectories and c for components; by their lengths if not given, times first.
    precision: of the states; see `cotwin.data.assembling.precision.fitting_precision` for what auto decides.
    given: fields that are no part of the state but given with it: known coefficients, forcings. Numbers always are.
    walls: refuse data that surely contradict the boundary, or trust it and note them.
    points: whether those of an axis are nodes, the outermost on the ends of the domain, or centres of cells; for each
        axis, or for all that are not periodic. Where neither this nor `extent` says it, the coordinates do.
    dt: the step, where times are uneven, or the file has none; if not given, the interval that most of them meet.
    dt_tolerance: of a step, by which a state may lie beside one and still be a frame that trains.
    grid: of tables of readings that lie on none (csv, parquet): points of the model's, along each axis.
    begin: likewise when all trajectories start; each with its first reading if not given.
    given_at: ends at which a model of theirs has a value or a flux, "x_lower" and so on; elsewhere that is zero.
    room: where the states are put; `cotwin.store.room.MemoryOrDisk` has some for more than fit into memory.

    Raises ValueError, naming the array or dataset and the cure, for a file that does not fit.
    """
    options = Options(
        format=format,
        names=names,
        fields=fields,
        boundary=boundary,
        extent=extent,
        missing=missing,
        axes=axes,
        precision=precision,
        walls=walls,
        given=given,
        given_at=given_at,
        points=points,
        dt=dt,
        dt_tolerance=dt_tolerance,
        grid=grid,
        begin=begin,
    )
    every = files_of(source) if isinstance(source, str | Path | Sequence) else [source]
    parts = [_from_one(one, options, room) for one in every]
    return parts[0] if len(parts) == 1 else together(parts, f"{len(parts)} files")


def _from_one(source: str | xr.Dataset, said: Options, room: Room) -> Trajectories:
    """From a table of readings, or from data on a grid."""
    name = source if isinstance(source, str) else "dataset"
    if isinstance(source, str) and format_of(Path(source), said["format"]) in TABLES:
        masked = said["missing"] == "mask" or None
        _require_nothing_in_vain(name, "a table of readings", axes=said["axes"], missing=masked)
        return read_sensors(
            source,
            **_some(said, "names fields grid extent boundary points dt begin precision given"),
        )
    _require_nothing_in_vain(name, "data on a grid", grid=said["grid"], begin=said["begin"])
    wanted = Wanted(said["names"], said["axes"], said["extent"], said["boundary"], said["points"], said["dt"])
    judged = "fields boundary extent missing precision walls given given_at points dt dt_tolerance"
    with open_contents(source, wanted, said["format"]) as contents:
        return assemble(contents, **_some(said, judged), room=room)


def _some(said: Options, names: str) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name in names.split()}


def _require_nothing_in_vain(source: str, what: str, **options: object) -> None:
    """Raise ValueError for an option that says nothing of such data."""
    for name, said in options.items():
        if said is not None:
            raise ValueError(f"{source}: {setting(name)} is of no effect on {what}; leave it out.")


def is_self_contained(path: str | Path) -> bool:
    """Whether all that a file or a store holds lies in it, so that its bytes decide what is read; else False."""
    path = Path(path)
    if path.is_dir():
        return not any(one.is_symlink() for one in path.rglob("*"))
    if not h5py.is_hdf5(path):
        return path.is_file()
    try:
        return not takes_from_other_files(path)
    except (OSError, RuntimeError):
        return False
