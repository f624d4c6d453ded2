"""Datasets of HDF5 files whose values are not all there: HDF5 would read fill values instead, without a word."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil

from cotwin.data.formats.packing import Packing
from cotwin.data.formats.unpacked import DEFLATE, unpacks_to_more
from cotwin.data.room import require_room
from cotwin.data.stored.arrays import StoredArray
from cotwin.data.stored.contents import Array

INTERNAL = ("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "MATLAB_class", "unit", "units")
"""Attributes that HDF5 and MATLAB write for themselves, and units, which are read as such."""
MOST_ATTRIBUTES, FEW = 100, 8
MOST_OBJECTS = 10_000
"""In a file whose arrays are listed: more is no file of fields."""


class H5Array(StoredArray):
    """A dataset, unpacked as its attributes say. reverse: its axes come in the reverse order, as MATLAB writes them.

    Raises ValueError for one whose values are not all there.
    """

    def __init__(self, dataset: Any, source: str, reverse: bool = False) -> None:
        hole = gap(dataset)
        if hole is not None:
            raise ValueError(f"{path_of(dataset)} {hole}")
        self.dataset, self.source, self.reverse = dataset, source, reverse
        self.parts = dataset.dtype.names == ("real", "imag")
        try:
            self.packing = Packing.of(dataset.attrs, dataset.dtype)
        except ValueError as error:
            raise ValueError(f"{path_of(dataset)} {error}") from error
        stored = np.dtype(complex) if self.parts else dataset.dtype
        self.dtype = stored if self.packing is None else self.packing.dtype(stored)
        self.shape = tuple(reversed(dataset.shape)) if reverse else tuple(dataset.shape)
        self.unit = unit_of(dataset)

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        whole = (*index, *[slice(None)] * (self.ndim - len(index)))
        wanted = [
            len(range(*one.indices(size))) if isinstance(one, slice) else 1
            for one, size in zip(whole, self.shape, strict=True)
        ]
        with damage_explained(self.source):
            require_room(wanted, self.dtype.itemsize, path_of(self.dataset))
            values = np.asarray(self.dataset[whole[::-1] if self.reverse else whole])
        values = values["real"] + 1j * values["imag"] if self.parts else values
        values = values if self.packing is None else self.packing.values(values)
        return values.T if self.reverse else values


def datasets_of(file: Any) -> dict[str, Any]:
    """Every dataset by its path, in the order of the file; what MATLAB hides (#refs#) left out. Links are not
    followed. Raises ValueError where there are too many objects."""
    found: dict[str, Any] = {}
    seen = 0

    def look_at(name: str, item: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > MOST_OBJECTS:
            raise ValueError(f"more than {MOST_OBJECTS} objects; write what is wanted to a file of its own.")
        if isinstance(item, h5py.Dataset) and not name.startswith("#"):
            found[name] = item

    file.visititems(look_at)
    return found


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """The file, open for reading. Raises ValueError where it is damaged."""
    with damage_explained(str(path)):
        file = h5py.File(path, "r")
    with file:
        yield file


@contextmanager
def damage_explained(source: str, layout: str = "in a layout that is known") -> Iterator[None]:
    """Mistakes with the file's name; what h5py raises where a file is damaged, or lacks what its layout promises."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except (LookupError, AttributeError) as error:
        raise ValueError(
            f"{source}: HDF5, but not {layout}, which docs/data.md describes: {error.args[0]}."
        ) from error
    except (OSError, RuntimeError, TypeError, OverflowError, UnicodeError) as error:
        raise ValueError(f"{source}: not a whole HDF5 file ({error}); it may be truncated: copy it again.") from error
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(source) else f"{source}: {text}") from error


def words_of(value: Any) -> list[str]:
    """An attribute as text: a string, bytes, or an array of either."""
    if isinstance(value, h5py.Empty):
        return []
    words = [value] if isinstance(value, (str, bytes)) else list(np.ravel(value))
    return [word.decode() if isinstance(word, bytes) else str(word) for word in words]


def words_about(item: Any) -> dict[str, str]:
    """What the attributes of a dataset, a group or a file say in a few words or numbers; not those of HDF5 itself."""
    found = {}
    for name in itertools.islice(item.attrs, MOST_ATTRIBUTES):
        kind = item.attrs.get_id(name)
        few = kind.get_space().get_simple_extent_npoints() <= FEW and kind.dtype.kind in "fiubSUO"
        if few and name not in INTERNAL and not name.startswith("_") and h5py.check_ref_dtype(kind.dtype) is None:
            found[str(name)] = ", ".join(words_of(item.attrs[name]))
    return found


def unit_of(dataset: Any) -> str:
    """A label, from the attribute unit or units."""
    words = words_of(dataset.attrs.get("unit", dataset.attrs.get("units", "1")))
    return words[0] if words else "1"


def takes_from_other_files(path: str | Path) -> bool:
    """Whether an HDF5 file has content that lies elsewhere: external links or storage, virtual datasets."""
    found: list[str] = []

    def look_at_link(name: str, link: object) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(name)

    def look_at(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            found.append(name)

    with h5py.File(path, "r") as file:
        file.visititems_links(look_at_link)
        file.visititems(look_at)
    return bool(found)


def member(group: Any, name: str) -> Any:
    """A dataset of a group. Raises KeyError where there is none, ValueError where its link leads nowhere."""
    link = group.get(name, getlink=True)
    found = group.get(name)
    if found is None and isinstance(link, h5py.ExternalLink):
        raise ValueError(f"{group.name.strip('/')}/{name} is a link into {link.filename}, which is not there.")
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"there is no dataset {name!r} in {group.name.strip('/')}")
    return found


def path_of(dataset: Any) -> str:
    """Where a dataset is in its file, without the root's slash."""
    return str(dataset.name).lstrip("/")


def gap(dataset: Any, within: tuple[Any, ...] = (), fill_is_missing: bool = False) -> str | None:
    """Which values of a dataset are nowhere, in words that follow its name; None if all were written.

    within: the virtual datasets that lead to this one. fill_is_missing: whether the file says of its fill value that
    it stands for what is missing.
    """
    if dataset.size is None:
        return "is empty"
    if dataset.is_virtual:
        return "takes values from itself" if dataset in within else _virtual_gap(dataset, (*within, dataset))
    if dataset.external:
        return _external_gap(dataset)
    if dataset.chunks is None:
        return None if dataset.id.get_storage_size() >= dataset.nbytes else "was never written"
    parts = math.prod(-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    written = dataset.id.get_num_chunks()
    if written == 0 < parts:
        return "was never written"
    # Not a number in place of what was not written is an honest gap, and read as one.
    honest = fill_is_missing or (dataset.dtype.kind == "f" and np.isnan(dataset.fillvalue))
    if written < parts and not honest:
        return f"was written in part only, {written} of {parts} chunks"
    return "has a chunk that would unpack to more than a chunk holds" if _has_bomb(dataset) else None


def _has_bomb(dataset: Any) -> bool:
    """Whether a chunk would become more than it declares, and more than there is room for without a look."""
    if dataset.compression != "gzip":
        return False
    declared, room = math.prod(dataset.chunks) * dataset.dtype.itemsize, psutil.virtual_memory().available // 8
    large: list[tuple[int, ...]] = []

    def look_at(chunk: Any) -> None:
        if chunk.size * DEFLATE > max(room, declared):
            large.append(chunk.chunk_offset)

    dataset.id.chunk_iter(look_at)
    packed = (dataset.id.read_direct_chunk(offset)[1] for offset in large)
    return any(unpacks_to_more(one, {"gzip"}, declared, room) for one in packed)


def _virtual_gap(dataset: Any, within: tuple[Any, ...]) -> str | None:
    covered = 0
    for part in dataset.virtual_sources():
        if part.file_name == ".":
            where = Path(dataset.file.filename)
        else:
            where = Path(dataset.file.filename).parent / part.file_name
            where = where if where.is_file() else Path(part.file_name)
        if not where.is_file():
            return f"takes values from {part.file_name}, which is not there"
        with h5py.File(where, "r") as other:
            source = other.get(part.dset_name)
            if not isinstance(source, h5py.Dataset):
                return f"takes values from {part.dset_name!r} of {part.file_name}, which is not in that file"
            reason = gap(source, within)
            if reason is not None:
                return f"takes values from {part.dset_name!r} of {part.file_name}, which {reason}"
            if not _reaches(part, source.shape):
                return f"takes more values from {part.dset_name!r} of {part.file_name} than that has, {source.shape}"
        covered += part.vspace.get_select_npoints()
    return None if covered >= dataset.size else f"has a source for {covered} of its {dataset.size} values only"


def _reaches(part: Any, shape: tuple[int, ...]) -> bool:
    """Whether a source of this shape has all that a virtual dataset takes from it."""
    if part.src_space.get_select_type() == h5py.h5s.SEL_ALL:
        return bool(math.prod(shape) >= part.vspace.get_select_npoints())
    _, last = part.src_space.get_select_bounds()
    return len(last) == len(shape) and all(index < size for index, size in zip(last, shape, strict=True))


def _external_gap(dataset: Any) -> str | None:
    for name, offset, size in dataset.external:
        file = Path(name)
        if not file.is_file():
            return f"keeps its values in {name}, which is not there"
        if size != h5py.h5f.UNLIMITED and file.stat().st_size < offset + size:
            return f"keeps its values in {name}, which ends before they do"
    return None
