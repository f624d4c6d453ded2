"""Fields of labelled arrays: whatever the order of their dimensions, read a few frames of a trajectory at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from cotwin.data.formats.dimensions import CHANNEL, COMPONENT, Dimensions
from cotwin.data.room import require_room
from cotwin.data.stored.contents import Array, Read, StoredField, setting

if TYPE_CHECKING:
    import xarray as xr

REAL = "fiub"
"""Kinds of types that hold real numbers."""
MASK = "_mask"
MOST_CHANNELS = 16
VALID = ("valid_range", "valid_min", "valid_max")
"""CF's attributes of what may be measured, which files often give in other units: nothing is left out by them."""


@contextmanager
def damage_explained(source: str) -> Iterator[None]:
    """What xarray and its backends raise where bytes are not what they should be, as one message."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except (
        *(OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError),
        *(OverflowError, MemoryError, RecursionError, EOFError, NotImplementedError, SystemError),
        *(BadZipFile, zlib.error),
    ) as error:
        if isinstance(error, ValueError) and str(error).startswith(source):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{source}: not all of it can be read ({said[:300]}); where it is damaged, copy it again."
        ) from error


@dataclass(frozen=True)
class Lattice:
    """The dimensions that the fields of a dataset share. source: for messages."""

    dataset: xr.Dataset
    known: Dimensions
    source: str

    @cached_property
    def rows(self) -> str | None:
        """Of trajectories."""
        return self.known.dimension("n")

    @cached_property
    def times(self) -> str:
        """Of times."""
        return self.known.dimension("t") or ""

    @cached_property
    def space(self) -> tuple[str, ...]:
        """Of the grid, in the order x, y, z."""
        return tuple(name for name in self.known.space if name in self.dataset.sizes)

    @property
    def count(self) -> int:
        """Trajectories."""
        return int(self.dataset.sizes.get(self.rows, 1))

    @property
    def frames(self) -> int:
        """States of each."""
        return int(self.dataset.sizes[self.times])

    def fields(self, name: str, variable: xr.Variable) -> tuple[list[StoredField], list[str]]:
        """A variable as a field, or as several: parts of complex numbers, channels; and notes.

        Raises ValueError where it has a dimension of unknown meaning, or a mask that does not fit.
        """
        dims, notes = [str(one) for one in variable.dims], []
        several = [one for one in dims if self.known.of.get(one) in (COMPONENT, CHANNEL)][:1]
        for one in dims:
            if one not in (self.rows, self.times, *self.space, *several):
                raise ValueError(self._why_strange(name, one))
        mask = self._mask(name, variable)
        if flat := [one for one in self.space if one not in dims]:
            notes.append(f"{name} is the same along {' and '.join(flat)}")
        notes += [
            f"{name} has {one} = {variable.attrs[one]!s:.40}; values outside it are read as they are"
            for one in VALID
            if one in variable.attrs
        ]
        parts: dict[str, Callable[[Array], Array]] = {name: np.asarray}
        if variable.dtype.kind == "c":
            parts = {f"{name}_re": np.real, f"{name}_im": np.imag}
            notes.append(f"{name} is complex and read as two fields, {' and '.join(parts)}")
        found = []
        for part, of in parts.items():
            labels = self._labels(part, several[0]) if several else None
            if labels is None:
                found.append(self._field(part, variable, mask, of, slice(None), *several))
                continue
            notes.append(f"{part} has {len(labels)} channels, read as the fields {', '.join(labels)}")
            found += [
                self._field(label, variable, mask, of, slice(place, place + 1), *several)
                for place, label in enumerate(labels)
            ]
        return found, notes

    def _why_strange(self, name: str, dimension: str) -> str:
        size = self.dataset.sizes[dimension]
        likely = "nxyz"
        if dimension in self.known.angles:
            likely = "yxz" if "lat" in dimension.lower() else "xyz"
        free = next((role for role in likely if self.known.dimension(role) is None), likely[0])
        if dimension in self.known.angles:
            return (
                f"{name} lies along {dimension}, which is an angle; project the data to coordinates in metres, or to "
                f"take it as a length say so with {setting('names')}, {{{free}: {dimension}}}."
            )
        return (
            f"{name} has the dimension {dimension} ({size}), whose meaning is not clear; say it with "
            f"{setting('names')}, such as {{{free}: {dimension}}} or {{{COMPONENT}: {dimension}}}, or select one of "
            f"them with xarray, dataset.isel({dimension}=0)."
        )

    def _labels(self, name: str, dimension: str) -> list[str] | None:
        """Names of the fields along a dimension, its own where it has such; None where it is that of a vector."""
        size = int(self.dataset.sizes[dimension])
        exact = dimension == f"{COMPONENT}_{size}"
        if self.known.of[dimension] == COMPONENT and (exact or size == len(self.space)):
            return None
        if size > MOST_CHANNELS:
            raise ValueError(f"{name} has {size} values along {dimension}, too many for fields; select those needed.")
        labels = self.dataset.variables.get(dimension)
        if labels is not None and labels.dtype.kind in "UT" and len({*labels.values}) == size:
            return [str(one) for one in labels.values]
        return [f"{name}_{one}" for one in range(size)]

    def _mask(self, name: str, variable: xr.Variable) -> xr.Variable | None:
        """True where it was observed; `mask` holds for all fields that change in time."""
        names = [f"{name}{MASK}", *(["mask"] if self.times in variable.dims else [])]
        chosen = next((one for one in names if one in self.dataset.data_vars), None)
        if chosen is None:
            return None
        mask = self.dataset.variables[chosen]
        if mask.dtype != bool or not set(mask.dims) <= set(variable.dims):
            raise ValueError(
                f"{chosen} has type {mask.dtype} and the dimensions {list(mask.dims)}; expected bool, and none that "
                f"{name} has not."
            )
        return mask

    def _field(
        self,
        name: str,
        variable: xr.Variable,
        mask: xr.Variable | None,
        part: Callable[[Array], Array],
        chosen: slice,
        component: str | None = None,
    ) -> StoredField:
        size = 1 if component is None else len(range(int(self.dataset.sizes[component]))[chosen])
        return StoredField(
            name=name,
            shape=tuple(variable.shape),
            dtype=str(np.empty(0, variable.dtype).real.dtype),
            components=size,
            static=self.times not in variable.dims,
            read=self._reader(name, variable, component, chosen, size, part),
            observed=None if mask is None else self._reader(name, mask, component, chosen, size, np.asarray),
            per_trajectory=self.rows in variable.dims,
            unit=str(variable.attrs.get("units", "1")),
        )

    def _reader(
        self,
        name: str,
        variable: xr.Variable,
        component: str | None,
        chosen: slice,
        size: int,
        part: Callable[[Array], Array],
    ) -> Read:
        order: Sequence[str | None] = (self.times, component, *self.space)
        grid = tuple(int(self.dataset.sizes[one]) for one in self.space)
        lengths = tuple(n if one in variable.dims else 1 for one, n in zip(self.space, grid, strict=True))

        def read(index: int, frames: slice) -> Array:
            places: dict[str | None, Any] = {self.rows: index, self.times: frames, component: chosen}
            some = variable.isel({one: place for one, place in places.items() if one in variable.dims})
            require_room(some.shape, some.dtype.itemsize, f"{self.source}: {name}")
            with damage_explained(self.source):
                values = part(some.transpose(*(one for one in order if one in some.dims)).values)
            values = values.reshape(some.sizes.get(self.times, 1), some.sizes.get(component, 1), *lengths)
            return np.broadcast_to(values, (len(values), size, *grid))

        return read
