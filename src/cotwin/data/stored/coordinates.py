"""Coordinates of one axis from the arrays in which they come: 1-D, a row or a column, a mesh of all points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cotwin.data.stored.contents import Array, setting


def along_one_axis(arrays: Mapping[str, Array], order: str) -> dict[str, Array]:
    """Coordinates and times as 1-D arrays.

    order: of the axes in the fields, such as "txy"; a mesh has to vary along its axes in this order.

    Raises ValueError, beginning with the name, for what is no row of real numbers.

    >>> x, t = np.meshgrid([0.0, 0.5], [1.0, 2.0, 3.0])
    >>> along_one_axis({"t": t, "x": x}, "tx")
    {'t': array([1., 2., 3.]), 'x': array([0. , 0.5])}
    """
    found: dict[str, Array] = {}
    meshed: dict[str, int] = {}
    for name, stored in arrays.items():
        if stored.dtype.kind not in "fiu":
            raise ValueError(
                f"{name} has type {stored.dtype}; coordinates are real numbers, times real numbers or dates."
            )
        array = np.atleast_1d(stored.squeeze())
        if array.size == 0:
            raise ValueError(f"{name} is empty, of shape {stored.shape}.")
        varying = [axis for axis in range(array.ndim) if _varies(array, axis)]
        if array.ndim > 1 and len(varying) != 1:
            raise ValueError(
                f"{name} has shape {stored.shape} and varies along {len(varying)} of its axes; coordinates of a grid "
                "vary along one: interpolate the data to such a grid, and give x (and y, z) and t as rows."
            )
        if array.ndim > 1:
            meshed[name] = varying[0]
            array = np.moveaxis(array, varying[0], 0).reshape(array.shape[varying[0]], -1)[:, 0]
        found[name] = array
    names = [name for name in order if name in meshed]
    if [meshed[name] for name in names] != sorted({meshed[name] for name in names}):
        by_axis = "".join(sorted(names, key=lambda name: meshed[name]))
        raise ValueError(
            f"{', '.join(names)} are meshes that vary along axes {[meshed[name] for name in names]}, so the "
            f"axes of the fields come in the order {by_axis!r} instead of {''.join(names)!r}; say so with "
            f"{setting('axes')}, or transpose the fields and give 1-D coordinates."
        )
    return found


def _varies(array: Array, axis: int) -> bool:
    exact = array.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of infinite ones, which the grid refuses
        spread = np.ptp(exact, axis=axis).max()
    # Meshes that were computed, not copied, differ by rounding.
    return bool(not spread <= 1e-6 * np.ptp(exact))
