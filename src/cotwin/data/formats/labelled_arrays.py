"""Variables of an xarray.Dataset as they are, whatever their dimensions mean."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from cotwin.data.formats.labelled_fields import damage_explained
from cotwin.data.room import require_room
from cotwin.data.stored.arrays import Arrays, StoredArray
from cotwin.data.stored.contents import Array

if TYPE_CHECKING:
    import xarray as xr


class _Labelled(StoredArray):
    """An array of a dataset, whatever its dimensions mean."""

    def __init__(self, variable: xr.Variable, source: str) -> None:
        self.variable, self.source, self.shape, self.dtype = variable, source, variable.shape, variable.dtype
        self.unit = str(variable.attrs.get("units", "1"))

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        some = self.variable[index]
        require_room(some.shape, some.dtype.itemsize, self.source)
        with damage_explained(self.source):
            return np.asarray(some.values)


def decoded(dataset: xr.Dataset) -> xr.Dataset:
    """With what is missing as no number, and scales applied; times stay numbers, whatever their calendar."""
    import xarray

    with warnings.catch_warnings():
        # Several fill values are all missing: there is nothing to mend.
        warnings.simplefilter("ignore", xarray.SerializationWarning)
        return xarray.decode_cf(dataset, decode_times=False, decode_timedelta=False)


def require_variables(dataset: xr.Dataset, groups: Sequence[str], source: str) -> None:
    """Raise ValueError where all that a file holds is in groups."""
    if not dataset.variables and groups:
        raise ValueError(
            f"{source}: its variables are in groups ({', '.join(groups)}), and the first one has none. Open one with "
            f"xarray.open_dataset({source!r}, group={groups[0]!r}), and give the dataset to open_trajectories, or "
            "write it to a file of its own."
        )


def arrays_of(dataset: xr.Dataset, source: str, unreadable: Mapping[str, str] = MappingProxyType({})) -> Arrays:
    """All variables of a dataset, with the names of their dimensions and other attributes in words."""
    words = {
        str(name): {"dimensions": ", ".join(map(str, one.dims))}
        | {key: str(value) for key, value in one.attrs.items()}
        for name, one in dataset.variables.items()
    }
    return Arrays(
        {str(name): _Labelled(one, f"{source}: {name}") for name, one in dataset.variables.items()},
        unreadable,
        words | {"": {key: str(value) for key, value in dataset.attrs.items()}},
    )
