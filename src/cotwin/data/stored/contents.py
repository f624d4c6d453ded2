"""What a file holds before it is decided how to use it: the common ground of all formats.

A format is one function that opens a path and yields `Contents`; assembling trajectories and inspecting are
written once, on these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Read = Callable[[int, slice], Array]
ALL = slice(None)
"""All frames."""


@dataclass(frozen=True)
class Axis:
    """One space axis.

    coordinates: of the points, 1-D, as stored.
    boundary: what the file calls it, in lower case ("periodic", "wall"); None if it says nothing.
    points: likewise, "cells" or "nodes".
    ends: of the domain, lower and upper, where the file says them.
    """

    name: str
    coordinates: Array
    boundary: str | None = None
    unit: str = "1"
    points: str | None = None
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class StoredField:
    """One field of a file, read a trajectory at a time, or some of its frames.

    shape, dtype: as stored.
    read: index of a trajectory and a slice of frames -> values (T, components, *grid); where the field is static T
        is 1, whatever the slice.
    observed: likewise, True where observed; None where all of it is.
    per_trajectory: whether trajectories have different values of it.
    order: of the axes as stored, such as "ntx"; empty where the format settles it.
    other_orders: in which the shape would fit as well, so that the values have to decide, or the caller.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    components: int
    static: bool
    read: Read
    observed: Read | None = None
    per_trajectory: bool = True
    unit: str = "1"
    order: str = ""
    other_orders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contents:
    """Everything a file says.

    times: (1, T), or (N, T) where trajectories have times of their own. dt: the step, where the file says it.
    scalars: (N, T) for each name. courses: times (J,) and values (N, J) for each number with times of its own.
    given: fields that the file says are no part of the state, but given with it.
    misfits: arrays that are no field of this grid, by name, with the reason; reading them is an error.
    unread: numbers that are left out, by name, with the reason; asking for them is an error.
    refusals: why no trajectories can be read from the file at all.
    notes: what the file holds that is not read, or was decided in opening it.
    """

    source: str
    format: str
    axes: tuple[Axis, ...]
    times: Array
    num_trajectories: int
    fields: tuple[StoredField, ...]
    time_unit: str = "1"
    dt: float | None = None
    scalars: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    courses: Mapping[str, tuple[Array, NDArray[np.float64]]] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    misfits: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def grid(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(len(axis.coordinates) for axis in self.axes)

    @property
    def num_frames(self) -> int:
        """States in each trajectory."""
        return int(self.times.shape[-1])


def setting(name: str) -> str:
    """How messages call an option of reading: a setting of an experiment, an argument in Python.

    >>> setting("extent")
    'data.extent (in Python extent=)'
    """
    return f"data.{name} (in Python {name}=)"


def as_type(values: Array, dtype: type[np.floating[Any]]) -> Array:
    """A copy in another precision. What is no number stays so, without a warning for the bits that say it."""
    with np.errstate(invalid="ignore"):
        return np.array(values, dtype=dtype)


def step(values: Array) -> float:
    """The mean interval between successive values."""
    return float(np.float64(values[-1]) - np.float64(values[0])) / max(len(values) - 1, 1)


def unevenness(values: Array, cure: str) -> str | None:
    """Why values do not rise in equal steps, naming the first interval at fault, and what to do; None if they do.

    cure: for steps that are not equal; few or falling values have their own.

    Equal means within a thousandth of the step, plus the rounding of the type they are stored in.

    >>> unevenness(np.array([0.0, 0.1, 0.2, 0.5]), "interpolate")
    'the interval from 0.2 (index 2) to 0.5 (index 3) is 0.3, where the others are 0.1; interpolate'
    >>> unevenness(np.array([0.2, 0.1]), "interpolate")
    'they fall, from 0.2 (index 0) to 0.1 (index 1); reverse them, and the fields along this axis'
    """
    if len(values) < 2:
        return f"there is {len(values)} value, and at least two are needed; give a longer array"
    exact = values.astype(np.float64)
    if not np.isfinite(exact).all():
        index = int(np.argmin(np.isfinite(exact)))
        return f"the value at index {index} is {values[index]}; {cure}"
    gaps = np.diff(exact)
    # The median, not the mean: one long gap must not put the blame on the others.
    usual = float(np.median(gaps))
    if (gaps < 0).all():
        fall = f"they fall, from {values[0]} (index 0) to {values[1]} (index 1)"
        return f"{fall}; reverse them, and the fields along this axis"
    if usual <= 0:
        return f"they do not rise, from {values[0]} (index 0) to {values[1]} (index 1); {cure}"
    rounding = np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    allowed = min(1e-3 * usual + 4 * float(rounding) * float(np.abs(exact).max()), 0.1 * usual)
    uneven = np.abs(gaps - usual) > allowed
    if not uneven.any():
        return None
    index = int(np.argmax(uneven))
    return (
        f"the interval from {values[index]} (index {index}) to {values[index + 1]} (index {index + 1}) "
        f"is {gaps[index]:.6g}, where the others are {usual:.6g}; {cure}"
    )
