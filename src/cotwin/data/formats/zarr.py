"""Zarr stores of versions 2 and 3, folders or zip files: through xarray, or where nothing is labelled by shapes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from cotwin.data.formats.labelled import contents_of
from cotwin.data.formats.labelled_arrays import arrays_of, decoded, require_variables
from cotwin.data.formats.labelled_fields import damage_explained
from cotwin.data.formats.packing import Packing
from cotwin.data.formats.unpacked import unpacks_to_more
from cotwin.data.formats.zarr_store import METADATA, Looked, look_at
from cotwin.data.optional import needed
from cotwin.data.room import require_room
from cotwin.data.stored.arrays import Arrays, StoredArray
from cotwin.data.stored.contents import Array, Contents
from cotwin.data.stored.named import contents_of as contents_of_named
from cotwin.data.stored.wanted import Wanted

if TYPE_CHECKING:
    import xarray as xr


@contextmanager
def open_zarr(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What a store holds; its fields are read only when asked, a few frames of a trajectory at a time."""
    with _opened(path) as (store, looked):
        source, format = str(path), f"Zarr {looked.version}"
        with damage_explained(source):
            if looked.labelled:
                contents = contents_of(_labelled(store, looked, source), wanted, source, format, looked.unreadable)
            else:
                arrays = _arrays(store, looked, source)
                contents = contents_of_named(arrays, looked.unreadable, wanted, source, format)
        groups = [f"groups are not read: {', '.join(looked.groups)}"] if looked.groups else []
        yield replace(contents, notes=(*looked.notes, *groups, *contents.notes))


@contextmanager
def arrays_of_zarr(path: str | Path) -> Iterator[Arrays]:
    """The arrays of a store, whatever they mean."""
    with _opened(path) as (store, looked):
        source = str(path)
        if looked.labelled:
            yield arrays_of(_labelled(store, looked, source), source, looked.unreadable)
        else:
            yield Arrays(_arrays(store, looked, source), looked.unreadable)


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Looked]]:
    source, path = str(path), Path(path)
    zarr = needed("zarr", "xarray", source)
    with damage_explained(source):
        try:
            looked = look_at(path)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        kind = zarr.storage.LocalStore if path.is_dir() else zarr.storage.ZipStore
        store = _watched(kind(path, read_only=True), looked, source)
    try:
        yield store, looked
    finally:
        store.close()


def _watched(store: Any, looked: Looked, source: str) -> Any:
    """A store that refuses chunks which would unpack to more than a chunk holds."""
    zarr = needed("zarr", "xarray", source)
    begin = f"{looked.inside}/" if looked.inside else ""

    class Watched(zarr.storage.WrapperStore):  # type: ignore[misc, name-defined]
        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            value = await super().get(key, prototype, byte_range)
            packed = looked.arrays.get(key.removeprefix(begin).split("/", maxsplit=1)[0])
            if value is None or packed is None or key.endswith(METADATA):
                return value
            room = psutil.virtual_memory().available // 8
            if unpacks_to_more(value.to_bytes(), packed.codecs, packed.bytes, room):
                raise ValueError(f"{source}: {key} would unpack to more than {packed.bytes} bytes, and is no chunk.")
            return value

    return Watched(store)


def _labelled(store: Any, looked: Looked, source: str) -> xr.Dataset:
    xarray = needed("xarray", "xarray", source)
    with damage_explained(source):
        dataset = xarray.open_dataset(
            store,
            engine="zarr",
            group=looked.inside or None,
            consolidated=False,
            zarr_format=looked.version,
            decode_cf=False,
            cache=False,
            drop_variables=list(looked.unreadable),
        )
        for variable in dataset.variables.values():
            # Zarr's default in version 2, which says nothing of what is missing.
            if looked.version == 2 and variable.attrs.get("_FillValue") == 0:
                del variable.attrs["_FillValue"]
        require_variables(dataset, looked.groups, source)
        return decoded(dataset)


def _arrays(store: Any, looked: Looked, source: str) -> dict[str, StoredArray]:
    with damage_explained(source):
        group = needed("zarr", "xarray", source).open_group(
            store, mode="r", path=looked.inside or None, zarr_format=looked.version, use_consolidated=False
        )
        return {name: _ZarrArray(group[name], source) for name in looked.arrays if name not in looked.unreadable}


class _ZarrArray(StoredArray):
    """An array without names of its dimensions, unpacked as its attributes say."""

    def __init__(self, array: Any, source: str) -> None:
        self.array, self.source, self.shape, self.dtype = array, source, tuple(array.shape), np.dtype(array.dtype)
        try:
            self.packing = Packing.of(array.attrs, self.dtype)
        except ValueError as error:
            raise ValueError(f"{source}: {array.basename} {error}") from error
        if self.packing is not None:
            self.dtype = self.packing.dtype(self.dtype)
        self.unit = str(array.attrs.get("units", "1"))

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        whole = (*index, *[slice(None)] * (self.ndim - len(index)))
        wanted = [
            len(range(*one.indices(size))) if isinstance(one, slice) else 1
            for one, size in zip(whole, self.shape, strict=True)
        ]
        require_room(wanted, self.dtype.itemsize, f"{self.source}: {self.array.name}")
        with damage_explained(self.source):
            stored = np.asarray(self.array[whole])
        return stored if self.packing is None else self.packing.values(stored)
