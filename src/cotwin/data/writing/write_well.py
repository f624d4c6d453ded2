"""Trajectories into HDF5 in The Well's layout, which `the_well` opens.

Format: Ohana et al. (2024), The Well, arXiv:2412.00568. Beside it stands what it has no word for: the kind of a wall,
the ends of the domain, the step, what the points are, and the order of the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cotwin.data.stored.contents import Array
from cotwin.data.trajectories import Trajectories
from cotwin.data.writing.written import (
    WrittenField,
    WrittenNumber,
    fields_of,
    known_of,
    require_names,
    row_of,
    times_of,
)
from cotwin.layout import Boundary, Layout

TYPES: dict[Boundary, str] = {
    "periodic": "PERIODIC",
    "dirichlet": "WALL",
    "neumann": "WALL",
    "robin": "WALL",
    "outflow": "OPEN",
}
"""What The Well calls the ends of a domain."""


def write_well(path: Path, trajectories: Trajectories) -> None:
    """States with dimensions, boundary conditions and scalars; not a number where nothing was observed.

    A vector is one where it has a component for each axis, else each component is a field. What is given and changes
    in time is written at the states' times, fields that are given as constant ones.
    Raises ValueError where states lie beside the frames.
    """
    layout, axes = trajectories.layout, list("xyz"[: trajectories.layout.dims])
    given = known_of(trajectories)
    require_names([field.name for field in layout.fields], given, (), "")
    with h5py.File(path, "x") as file:
        file.attrs["dataset_name"] = "cotwin"
        file.attrs["grid_type"] = "cartesian"
        file.attrs["n_spatial_dims"] = layout.dims
        file.attrs["n_trajectories"] = len(trajectories)
        file.attrs["fields"] = [field.name for field in layout.fields]
        _write_dimensions(file, layout, axes, times_of(trajectories))
        _write_boundaries(file, layout, axes)
        groups = [file.create_group(f"t{rank}_fields") for rank in range(3)]
        for group in groups:
            group.attrs["field_names"] = []
        for one in fields_of(trajectories):
            _write_field(groups, one, layout)
        _write_given(file, groups[0], given, layout, times_of(trajectories))


def _write_dimensions(file: h5py.File, layout: Layout, axes: list[str], times: Array) -> None:
    group = file.create_group("dimensions")
    group.attrs["spatial_dims"] = axes
    _dataset(group, "time", times, layout.time_unit, "", step=layout.dt)
    for axis, name in enumerate(axes):
        said: dict[str, Any] = {"domain": [layout.lower[axis], layout.upper[axis]], "centring": layout.centring[axis]}
        _dataset(group, name, row_of(layout, axis), layout.space_unit, "", **said)


def _write_boundaries(file: h5py.File, layout: Layout, axes: list[str]) -> None:
    conditions = file.create_group("boundary_conditions")
    for axis, name in enumerate(axes):
        sides, last = layout.sides(axis), layout.grid[axis] - 1
        alike = len(set(sides)) == 1
        for end, kind in zip(("both",) if alike else ("lower", "upper"), sides, strict=False):
            group = conditions.create_group(f"{name}_{kind}" if alike else f"{name}_{end}_{kind}")
            at = {"both": (0, last), "lower": (0,), "upper": (last,)}[end]
            group.create_dataset("mask", data=np.isin(np.arange(layout.grid[axis]), at))
            said = {"associated_dims": [name], "associated_fields": [], "bc_type": TYPES[kind], "kind": kind}
            for key, value in (said | {"sample_varying": False, "time_varying": False}).items():
                group.attrs[key] = value


def _write_field(groups: list[h5py.Group], one: WrittenField, layout: Layout) -> None:
    axis, field = len(one.order), one.field
    if field.components == layout.dims > 1:
        _add(groups[1], field.name, np.moveaxis(one.values, axis, -1), field.unit, one.order, layout)
        return
    names = (layout.channel_names[channel] for channel in layout.channels_of(field.name))
    for name, values in zip(names, np.moveaxis(one.values, axis, 0), strict=True):
        _add(groups[0], name, values, field.unit, one.order, layout)


def _write_given(
    file: h5py.File, scalar_fields: h5py.Group, given: Mapping[str, WrittenNumber], layout: Layout, times: Array
) -> None:
    scalars, fields, steady = file.create_group("scalars"), [], []
    scalars.attrs["field_names"] = []
    for name, known in given.items():
        values = known.values
        if known.times is not None:
            rows = [np.interp(times, known.times, row) for row in np.atleast_2d(values)]
            values = np.stack(rows) if "n" in known.order else rows[0]
        if values.ndim > len(known.order):
            fields.append(name)
            _add(scalar_fields, name, values, "1", known.order, layout)
            continue
        _add(scalars, name, values, "1", known.order, None)
        if not known.order and name not in file.attrs:
            file.attrs[name] = values
            steady.append(name)
    file.attrs["simulation_parameters"] = steady
    file.attrs["given"] = fields


def _add(group: h5py.Group, name: str, values: Array, unit: str, order: str, layout: Layout | None) -> None:
    """One more of the names that a group lists; layout: of fields, which say along which axes they vary."""
    varying = {} if layout is None else {"dim_varying": [True] * layout.dims}
    _dataset(group, name, values, unit, order, **varying)
    group.attrs["field_names"] = [*group.attrs["field_names"], name]


def _dataset(group: h5py.Group, name: str, values: Array, unit: str, order: str, **said: Any) -> None:
    dataset = group.create_dataset(name, data=values)
    said |= {"sample_varying": "n" in order, "time_varying": "t" in order, "unit": unit}
    for key, value in said.items():
        dataset.attrs[key] = value
