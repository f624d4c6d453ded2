"""How the axes of a stored array become those of a field: trajectory, time, component, grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cotwin.data.stored.contents import Array, setting

MOST_CHANNELS = 16
"""Along an axis that is neither time nor space: more are taken for something else."""


@runtime_checkable
class Sliced(Protocol):
    """An array that gives parts of itself, one index or slice for each of its leading axes."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True)
class Reading:
    """One way to see an array as a field, or as several.

    order: its axes, such as "ntxc": n for trajectories, which may have several axes, t for times, then coordinates, c
        for components.

    >>> import numpy as np
    >>> Reading("xt").read(np.zeros((16, 6)), 0, slice(0, 2)).shape
    (2, 1, 16)
    """

    order: str

    @property
    def alone(self) -> Reading:
        """Without the axis of components."""
        return Reading(self.order.replace("c", ""))

    def of(self, shape: tuple[int, ...], name: str) -> int:
        """How long an array of this shape is along an axis, or several of one name; 1 where it has none."""
        return math.prod(size for size, one in zip(shape, self.order, strict=True) if one == name)

    def read(self, array: Sliced, trajectory: int, frames: slice, components: slice = slice(None)) -> Array:
        """Some frames of one trajectory, (T, components, *grid); T is 1 where the field is static."""
        chosen = {"t": frames, "c": components}
        sizes = [size for size, name in zip(array.shape, self.order, strict=True) if name == "n"]
        places = iter(np.unravel_index(trajectory, sizes) if sizes else ())
        values = array[
            tuple(int(next(places)) if name == "n" else chosen.get(name, slice(None)) for name in self.order)
        ]
        left = self.order.replace("n", "")
        for name in "tc":
            if name not in left:
                values, left = values[None], name + left
        found: Array = values.transpose([left.index(name) for name in "tcxyz" if name in left])
        return found


@dataclass(frozen=True)
class Frame:
    """The axes that every field of a file shares.

    order: of the axes of a field that changes in time, trajectories left out where they come first, components where
        they come last.
    sizes: of times and coordinates, by name.
    """

    order: str
    sizes: Mapping[str, int]

    @property
    def dims(self) -> int:
        """Number of space dimensions."""
        return len(self.sizes) - 1

    def readings(self, shape: tuple[int, ...]) -> list[Reading]:
        """Each way to see an array of this shape as a field, its axes in the order of the file.

        Where it is no scalar and no vector, as several fields that change in time.
        """
        several = [one for one in self._with_components() if self._fits(one, shape)]
        found = [one for one in self._scalars() if self._fits(one, shape)]
        found += [one for one in several if one.of(shape, "c") == self.dims]
        return found or [one for one in several if one.of(shape, "c") <= (MOST_CHANNELS if "t" in one.order else 1)]

    def other_orders(self, shape: tuple[int, ...], reading: Reading) -> list[str]:
        """Orders in which times or trajectories stand elsewhere, components left out, and that fit the shape too."""
        scalar = tuple(size for size, name in zip(shape, reading.order, strict=True) if name != "c")
        own = reading.alone.order
        space = [name for name in own if name in "xyz"]
        return [
            order
            for order in map("".join, itertools.permutations(own))
            if order != own
            and [name for name in order if name in "xyz"] == space
            and self._fits(Reading(order), scalar)
        ]

    def fitting_orders(self, shape: tuple[int, ...]) -> list[str]:
        """Orders of times and coordinates, each trajectory in one stretch, in which an array would be a field.

        Else those with components after times, as machine learning has them.
        """
        single = self.order.replace("n", "").replace("c", "")
        orders = ["".join(order) for order in itertools.permutations(single)]
        fitting = [order for order in orders if any(self._fits(Reading(one), shape) for one in (order, f"n{order}"))]
        return fitting or [
            order
            for order in (one.replace("t", "tc") for one in orders)
            if any(
                self._fits(reading := Reading(one), shape) and reading.of(shape, "c") <= MOST_CHANNELS
                for one in (order, f"n{order}")
            )
        ]

    def expected(self) -> str:
        """The shapes of fields, in words."""
        single = [name for name in self.order if name not in "nc"]
        every = [name for name in self.order if name != "c"] if "n" in self.order else ["n", *single]
        static = ", ".join(name for name in single if name != "t")
        shapes = [", ".join(names).replace("n", "N").replace("t", "T") for names in (every, single)]
        grid = tuple(self.sizes[name] for name in single if name != "t")
        return (
            f"[{shapes[0]}], [{shapes[1]}] or, static, [{static}], with T = {self.sizes['t']} and grid {grid}, "
            f"and for a vector a last axis of {self.dims}"
        )

    def _scalars(self) -> Iterator[Reading]:
        own = self.order.replace("c", "")
        single = own.replace("n", "")
        yield from map(Reading, (single.replace("t", ""), single, own if "n" in own else f"n{own}"))

    def _with_components(self) -> Iterator[Reading]:
        """Where no order says where they are, they come last."""
        own = self.order if "c" in self.order else f"{self.order}c"
        single = own.replace("n", "")
        yield from map(Reading, (single.replace("t", ""), single, own if "n" in own else f"n{own}"))

    def _fits(self, reading: Reading, shape: tuple[int, ...]) -> bool:
        return len(reading.order) == len(shape) and all(
            self.sizes.get(name, size) == size for name, size in zip(reading.order, shape, strict=True)
        )


def order_of(axes: str | None, names: list[str]) -> str:
    """The order of axes that a caller asks for; times first if not.

    Raises ValueError for one that is not of this file.
    """
    if axes is None:
        return "t" + "".join(names)
    axes = axes.lower()
    if sorted(axes.replace("n", "").replace("c", "", 1)) != sorted(["t", *names]):
        raise ValueError(
            f"{setting('axes')} is {axes!r}; it names each of t, {', '.join(names)} once, in the order of the "
            "arrays' axes, n where trajectories do not come first, and c where components do not come last."
        )
    return axes
