"""Coordinates of labelled arrays that come as meshes of all points, where each varies along one dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cotwin.data.formats.dimensions import SPACE, by_name, role_of
from cotwin.data.room import require_room

if TYPE_CHECKING:
    import xarray as xr


def without_meshes(dataset: xr.Dataset) -> xr.Dataset:
    """With rows in place of meshes of x, y or z, along dimensions that have no coordinates of their own.

    Raises ValueError for coordinates that vary along several dimensions.
    """
    rows = {}
    for name, variable in dataset.variables.items():
        if variable.ndim < 2 or variable.dtype.kind not in "fiu" or role_of(str(name), dataset) not in tuple(SPACE):
            continue
        if any(dim in dataset.variables or by_name(str(dim)) == "t" for dim in variable.dims):
            continue
        require_room(variable.shape, 8, str(name))
        values = np.asarray(variable.values, dtype=np.float64)
        spread = [float(np.ptp(values, axis=axis).max(initial=0.0)) for axis in range(values.ndim)]
        # Meshes that were computed, not copied, differ by rounding.
        varying = [dim for dim, own in zip(variable.dims, spread, strict=True) if own > 1e-6 * max(spread)]
        if len(varying) == 1:
            rows[name] = variable.isel({dim: 0 for dim in variable.dims if dim != varying[0]})
        elif varying and name in dataset.coords:
            raise ValueError(
                f"coordinates {name} vary along {' and '.join(map(str, varying))}, and those of a grid along one "
                "dimension; interpolate the data to such a grid."
            )
    return dataset.assign_coords(rows) if rows else dataset
