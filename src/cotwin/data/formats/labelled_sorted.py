"""Variables of an xarray.Dataset by what they are: fields of the grid, numbers, or neither, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotwin.data.formats.dates import SINCE, Clock
from cotwin.data.formats.labelled_fields import REAL, Lattice
from cotwin.data.stored.contents import Array, StoredField

if TYPE_CHECKING:
    import xarray as xr


class Sorted:
    """Variables by what they are: fields, numbers, and others, with the reason. notes: to which it adds its own."""

    def __init__(self, lattice: Lattice, clock: Clock, notes: list[str]) -> None:
        self.lattice, self.clock, self.notes = lattice, clock, notes
        self.fields: list[StoredField] = []
        self.scalars: dict[str, NDArray[np.float64]] = {}
        self.courses: dict[str, tuple[Array, NDArray[np.float64]]] = {}
        self.misfits: dict[str, str] = {}
        self.unread: dict[str, str] = {}

    def in_order(self, names: list[str]) -> tuple[StoredField, ...]:
        """The fields, those of these names first, then those that change in time."""
        place = {name: index for index, name in enumerate(names)}
        return tuple(sorted(self.fields, key=lambda field: (place.get(field.name, len(place)), field.static)))

    def add(self, name: str, variable: xr.Variable) -> None:
        """One more."""
        lattice, dims = self.lattice, [str(one) for one in variable.dims]
        if variable.dtype.kind not in (*REAL, "c"):
            self.unread[name] = f"{name} has type {variable.dtype}, no real numbers."
            self.notes.append(f"{name} has type {variable.dtype}, no real numbers: not read")
            return
        try:
            if set(dims).intersection(lattice.known.own_times):
                self.courses[name] = self._course(name, variable)
            elif set(dims) <= {lattice.rows, lattice.times}:
                self.scalars[name] = self._numbers(name, variable)
            else:
                fields, notes = lattice.fields(name, variable)
                self.fields += fields
                self.notes += notes
        except ValueError as error:
            self.misfits[name] = str(error)

    def _numbers(self, name: str, variable: xr.Variable) -> NDArray[np.float64]:
        """(N, T), of each trajectory, each time, both or neither."""
        if variable.dtype.kind == "c":
            raise ValueError(f"{name} is a complex number; give its real and imaginary part.")
        lattice = self.lattice
        values = variable.transpose(*(one for one in (lattice.rows, lattice.times) if one in variable.dims)).values
        shape = tuple(
            size if one in variable.dims else 1
            for one, size in ((lattice.rows, lattice.count), (lattice.times, lattice.frames))
        )
        rows = np.asarray(values, dtype=np.float64).reshape(shape)
        return np.broadcast_to(rows, (lattice.count, lattice.frames)).copy()

    def _course(self, name: str, variable: xr.Variable) -> tuple[Array, NDArray[np.float64]]:
        """Times of its own and (N, J) numbers at these."""
        lattice, dims = self.lattice, [str(one) for one in variable.dims]
        own = next(one for one in dims if one in lattice.known.own_times)
        times = self._variable(own)
        if set(dims) - {own, lattice.rows} or times is None or variable.dtype.kind == "c":
            raise ValueError(f"{name} has the dimensions {dims}: numbers alone may have times of their own.")
        main = self._variable(lattice.times)
        if _how(times) != _how(main) and (main is not None or _how(times)[0]):
            raise ValueError(f"the times of {name} are counted in another way than those of the fields.")
        values: Any = variable.transpose(*(one for one in (lattice.rows, own) if one in dims)).values
        rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
        return self.clock.numbers(times), np.broadcast_to(rows, (lattice.count, times.size))

    def _variable(self, dimension: str) -> xr.Variable | None:
        return self.lattice.dataset.variables.get(self.lattice.known.coordinates.get(dimension, ""))


def _how(times: xr.Variable | None) -> tuple[bool, str]:
    """Times are counted: whether as dates or intervals, and in which unit."""
    if times is None:
        return False, "1"
    unit = str(times.attrs.get("units", "1"))
    return times.dtype.kind in "mM" or SINCE.match(unit) is not None, unit
