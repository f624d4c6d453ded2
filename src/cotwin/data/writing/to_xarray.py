"""Trajectories as an xarray.Dataset, by CF conventions as far as they go, that reads back as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cotwin.data.formats.dimensions import COMPONENT
from cotwin.data.formats.labelled_fields import MASK
from cotwin.data.optional import needed
from cotwin.data.trajectories import Trajectories
from cotwin.data.writing.written import boundary_words, fields_of, known_of, require_names, row_of, times_of
from cotwin.layout import Layout

if TYPE_CHECKING:
    import xarray as xr

ROW, TIME = "trajectory", "time"


def dataset_of(trajectories: Trajectories) -> xr.Dataset:
    """Fields by trajectory, time, (component,) x, y and z, in the memory of the states where all is observed.

    Where something was not, values are not a number, and NAME_mask says where. What is given are variables too.
    Raises ValueError where states lie beside the frames, and for names that are taken.
    """
    xarray = needed("xarray", "xarray", trajectories.source)
    layout = trajectories.layout
    variables: dict[str, tuple[Any, ...]] = {}
    coordinates = _coordinates(trajectories)
    space = tuple("xyz"[: layout.dims])
    leading = {"n": ROW, "t": TIME}
    given = known_of(trajectories)
    require_names([field.name for field in layout.fields], given, (ROW, TIME, *space, "mask"), "an xarray.Dataset")
    for one in fields_of(trajectories):
        name, values, observed = one.field.name, one.values, one.observed
        component = _component(one.field.components, layout)
        if component is None:
            values = values.squeeze(len(one.order))
            observed = None if observed is None else observed.squeeze(len(one.order))
        dims = (*(leading[axis] for axis in one.order), *([component] if component else []), *space)
        attributes: dict[str, Any] = {"units": one.field.unit}
        if observed is not None:
            attributes["ancillary_variables"] = f"{name}{MASK}"
            variables[f"{name}{MASK}"] = (dims, observed, {"long_name": f"where {name} was observed"})
        variables[name] = (dims, values, attributes)
    for name, known in given.items():
        own = f"{name}_{TIME}"
        dims = tuple(leading[axis] for axis in known.order)
        if known.times is not None:
            dims = tuple(own if axis == TIME else axis for axis in dims)
            coordinates[own] = ((own,), known.times, {"units": layout.time_unit, "axis": "T"})
        variables[name] = ((*dims, *space[: known.values.ndim - len(dims)]), known.values)
    on_grid = [name for name in given if set(space).intersection(variables[name][0])]
    dataset: xr.Dataset = xarray.Dataset(variables, coordinates, _attributes(layout, on_grid))
    return dataset


def _component(components: int, layout: Layout) -> str | None:
    if components == 1:
        return None
    return COMPONENT if components == layout.dims else f"{COMPONENT}_{components}"


def _coordinates(trajectories: Trajectories) -> dict[str, Any]:
    layout, numbers = trajectories.layout, trajectories.given.trajectory.cpu().numpy()
    times = {"units": layout.time_unit, "axis": "T", "step": layout.dt}
    # Starts of one's own are of no trajectory.
    found: dict[str, Any] = {
        ROW: ((ROW,), numbers if (numbers >= 0).all() else np.arange(len(numbers))),
        TIME: ((TIME,), times_of(trajectories), times),
    }
    for axis, name in enumerate("xyz"[: layout.dims]):
        domain = np.array([layout.lower[axis], layout.upper[axis]])
        attributes = {"units": layout.space_unit, "axis": name.upper(), "domain": domain}
        found[name] = ((name,), row_of(layout, axis), attributes)
    return found


def _attributes(layout: Layout, given: list[str]) -> dict[str, str]:
    """given: fields that are no part of the state."""
    return {
        "Conventions": "CF-1.11",
        "boundary": ", ".join(boundary_words(layout)),
        "centring": ", ".join(layout.centring),
        "fields": ", ".join(field.name for field in layout.fields),
    } | ({"given": ", ".join(given)} if given else {})
