"""How the axes of a stored array become those of a field: trajectory, time, component, grid."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cotwin.data.contents import Array, setting


@runtime_checkable
class Sliced(Protocol):
    """An array that gives parts of itself, one index or slice for each of its leading axes."""

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True)
class Reading:
    """One way to see an array as a field.

    order: its axes, such as "ntx": n for trajectories, t for times, then coordinates.
    vector: whether the components stand last, after these.

    >>> Reading("xt", vector=False).read(np.zeros((16, 6)), 0, slice(0, 2)).shape
    (2, 1, 16)
    """

    order: str
    vector: bool

    def count(self, shape: tuple[int, ...]) -> int:
        """Trajectories in an array of this shape."""
        return shape[self.order.index("n")] if "n" in self.order else 1

    def read(self, array: Sliced, trajectory: int, frames: slice) -> Array:
        """Some frames of one trajectory, (T, components, *grid); T is 1 where the field is static."""
        chosen: dict[str, int | slice] = {"n": trajectory, "t": frames}
        values = array[tuple(chosen.get(name, slice(None)) for name in self.order)]
        left = self.order.replace("n", "")
        values = values if self.vector else values[..., None]
        values = values.transpose(*(left.index(name) for name in "txyz" if name in left), values.ndim - 1)
        return np.moveaxis(values if "t" in left else values[None], -1, 1)


@dataclass(frozen=True)
class Frame:
    """The axes that every field of a file shares.

    order: of the axes of a field that changes in time, trajectories left out where they come first.
    sizes: of times and coordinates, by name.
    """

    order: str
    sizes: Mapping[str, int]

    @property
    def dims(self) -> int:
        """Number of space dimensions."""
        return len(self.sizes) - 1

    def readings(self, shape: tuple[int, ...]) -> list[Reading]:
        """Each way to see an array of this shape as a field, its axes in the order of the file."""
        single = self.order.replace("n", "")
        orders = (single.replace("t", ""), single, self.order if "n" in self.order else f"n{self.order}")
        return [
            Reading(order, vector)
            for vector in (False, True)
            for order in orders
            if self._fits(order, shape[:-1] if vector else shape) and not (vector and shape[-1] != self.dims)
        ]

    def other_orders(self, shape: tuple[int, ...], reading: Reading) -> list[str]:
        """Orders in which times or trajectories stand elsewhere, and that fit the shape as well."""
        scalar = shape[:-1] if reading.vector else shape
        space = [name for name in reading.order if name in "xyz"]
        return [
            order
            for order in map("".join, itertools.permutations(reading.order))
            if order != reading.order
            and [name for name in order if name in "xyz"] == space
            and self._fits(order, scalar)
        ]

    def fitting_orders(self, shape: tuple[int, ...]) -> list[str]:
        """Orders of times and coordinates, each trajectory in one stretch, in which an array would be a field."""
        single = self.order.replace("n", "")
        return [
            order
            for order in map("".join, itertools.permutations(single))
            if self._fits(order, shape) or self._fits(f"n{order}", shape)
        ]

    def expected(self) -> str:
        """The shapes of fields, in words."""
        single = [name for name in self.order if name != "n"]
        every = list(self.order) if "n" in self.order else ["n", *single]
        static = ", ".join(name for name in single if name != "t")
        shapes = [", ".join(names).replace("n", "N").replace("t", "T") for names in (every, single)]
        grid = tuple(self.sizes[name] for name in single if name != "t")
        return (
            f"[{shapes[0]}], [{shapes[1]}] or, static, [{static}], with T = {self.sizes['t']} and grid {grid}, "
            f"and for a vector a last axis of {self.dims}"
        )

    def _fits(self, order: str, shape: tuple[int, ...]) -> bool:
        return len(order) == len(shape) and all(
            self.sizes.get(name, size) == size for name, size in zip(order, shape, strict=True)
        )


def order_of(axes: str | None, names: list[str]) -> str:
    """The order of axes that a caller asks for; times first if not.

    Raises ValueError for one that is not of this file.
    """
    if axes is None:
        return "t" + "".join(names)
    axes = axes.lower()
    if sorted(axes.replace("n", "", 1)) != sorted(["t", *names]):
        raise ValueError(
            f"{setting('axes')} is {axes!r}; it names each of t, {', '.join(names)} once, in the order of the "
            "arrays' axes, and n where trajectories do not come first."
        )
    return axes
