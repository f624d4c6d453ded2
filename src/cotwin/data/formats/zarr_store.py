"""What lies in a Zarr store, looked at before a library opens it: codecs that run nothing, chunks that are there.

Where a chunk is missing Zarr reads a fill value. It may have been lost, never written, or have held nothing but fill
values, which Zarr need not store. Formats: Zarr specification, versions 2 and 3.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cotwin.data.room import require_room

METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
LARGEST_METADATA = 16 * 2**20
"""Bytes of all metadata together: what declares more is no store of fields."""
DIMENSIONS = "_ARRAY_DIMENSIONS"
"""The attribute in which xarray keeps the names of dimensions in version 2."""
HARDLY = 0.01
"""Share of its chunks below which an array counts as never written."""
MOST_BYTES, SLACK = 64, 2**24
"""Of one value, and of a chunk beside its values: more is no chunk of numbers or short texts."""
CODECS = frozenset(
    (
        *("bytes", "endian", "transpose", "sharding_indexed", "vlen-utf8", "vlen-bytes", "blosc", "gzip", "zstd"),
        *("zlib", "lz4", "crc32", "crc32c", "adler32", "fletcher32", "shuffle", "delta", "fixedscaleoffset"),
        *("quantize", "bitround", "astype", "packbits"),
    )
)
"""That run nothing of what a store says, and of which it can be told to how much they unpack."""


class Packed(NamedTuple):
    """How an array is stored. bytes: of a chunk, at most."""

    codecs: frozenset[str]
    bytes: int


@dataclass
class Looked:
    """inside: the folder of a zip file in which the store lies. arrays: of the first group. labelled: whether their
    dimensions have names. unreadable: those whose values are not there, with the reason. notes: what Zarr fills in.
    groups: others, which are not read.
    """

    version: int
    inside: str = ""
    arrays: dict[str, Packed] = field(default_factory=dict)
    labelled: bool = True
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


def is_zarr(path: Path) -> bool:
    """Whether a folder or a zip file holds a Zarr store."""
    if path.is_dir():
        return any((path / name).is_file() for name in METADATA)
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rsplit("/", maxsplit=1)[-1] in METADATA for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError, EOFError, OverflowError):
        # What is wrong says whoever opens it.
        return False


def look_at(path: Path) -> Looked:
    """The arrays of a store's first group, as its metadata say and as far as their chunks are there.

    Raises ValueError for a store that is no group, or that names codecs which may run code.
    """
    inside, entries = ("", _folder(path)) if path.is_dir() else _zip(path)
    chunks: dict[str, int] = {}
    stated: dict[str, Any] = {}
    room = LARGEST_METADATA
    for name, content in entries:
        if content is None:
            array = name.split("/", maxsplit=1)[0]
            chunks[array] = chunks.get(array, 0) + 1
            continue
        room -= len(content)
        if room < 0:
            raise ValueError(f"more than {LARGEST_METADATA // 2**20} MB of metadata; write the fields anew.")
        stated[name] = _parsed(name, content)
    version = 3 if "zarr.json" in stated else 2
    group = stated.get("zarr.json", stated.get(".zgroup"))
    if group is None or group.get("node_type", "group") != "group":
        raise ValueError("no group of arrays; put the array into a group, with its times and coordinates.")
    looked = Looked(version, inside)
    for name, metadata in stated.items():
        array, _, file = name.rpartition("/")
        if not array or "/" in array:
            continue
        if file == ".zgroup" or (file == "zarr.json" and metadata.get("node_type") == "group"):
            looked.groups.append(array)
        elif file in (".zarray", "zarr.json"):
            attributes = metadata.get("attributes", {}) if version == 3 else stated.get(f"{array}/.zattrs", {})
            _count(looked, array, metadata, attributes, chunks.get(array, 0))
    return looked


def _folder(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Every file by its name in the store, with its content where that is metadata."""
    for folder, folders, files in os.walk(path):
        for one in (Path(folder, name) for name in (*folders, *files)):
            if one.is_symlink() or not (one.is_dir() or one.is_file()):
                raise ValueError(f"{one.relative_to(path)} is a link, or no file; put what it leads to in its place.")
        for one in (Path(folder, name) for name in files):
            name = one.relative_to(path).as_posix()
            if one.name not in METADATA:
                yield name, None
                continue
            with one.open("rb") as file:
                yield name, file.read(LARGEST_METADATA + 1)


def _zip(path: Path) -> tuple[str, Iterator[tuple[str, bytes | None]]]:
    """Likewise, of the folder of a zip file that holds the store."""
    with zipfile.ZipFile(path) as archive:
        # Of two members of one name the last is read.
        members = list({one.filename: one for one in archive.infolist() if not one.is_dir()}.values())
    folders = (one.filename.rpartition("/")[0] for one in members if Path(one.filename).name in METADATA)
    inside = min(folders, key=len)

    def entries() -> Iterator[tuple[str, bytes | None]]:
        with zipfile.ZipFile(path) as archive:
            for one in members:
                require_room((one.file_size,), 1, one.filename)
                name = one.filename.removeprefix(f"{inside}/" if inside else "")
                if Path(name).name not in METADATA:
                    yield name, None
                    continue
                with archive.open(one) as file:
                    yield name, file.read(LARGEST_METADATA + 1)

    return inside, entries()


def _parsed(name: str, content: bytes) -> dict[str, Any]:
    """Metadata. Raises ValueError for codecs that may run code, wherever they are named."""
    try:
        metadata = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON that can be read ({error}); copy the store again.") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"{name} is no metadata of Zarr; copy the store again.")
    for codec in _codecs(metadata):
        if codec.removeprefix("numcodecs.") not in CODECS:
            raise ValueError(
                f"{name} names the codec {codec!r}, which Cotwin does not run; write the store with zstd or blosc."
            )
    return metadata


def _codecs(metadata: Any) -> Iterator[str]:
    """Names of all codecs, those inside each other and of consolidated metadata too."""
    if isinstance(metadata, list):
        for one in metadata:
            yield from _codecs(one)
        return
    if not isinstance(metadata, dict):
        return
    for key, value in metadata.items():
        if key in ("codecs", "index_codecs", "filters", "compressor"):
            for one in value if isinstance(value, list) else [value]:
                if one is not None:
                    yield str(one.get("name", one.get("id")) if isinstance(one, dict) else one)
        if key != "attributes":
            yield from _codecs(value)


def _count(looked: Looked, name: str, metadata: dict[str, Any], attributes: dict[str, Any], stored: int) -> None:
    """Whether an array's chunks are there."""
    grid = metadata.get("chunk_grid", {}).get("configuration", {}) if looked.version == 3 else metadata
    shape, chunk = (_sizes(name, one) for one in (metadata.get("shape"), grid.get("chunk_shape", grid.get("chunks"))))
    codecs = frozenset(codec.removeprefix("numcodecs.") for codec in _codecs(metadata))
    looked.arrays[name] = Packed(codecs, MOST_BYTES * math.prod(chunk) + SLACK)
    names = metadata.get("dimension_names") if looked.version == 3 else attributes.get(DIMENSIONS)
    looked.labelled &= not shape or (isinstance(names, list) and None not in names)
    require_room(chunk, 1, f"a chunk of {name}", "write the store in smaller chunks")
    parts = math.prod(-(-size // max(part, 1)) for size, part in zip(shape, chunk, strict=True))
    if stored >= parts:
        return
    fill = metadata.get("fill_value")
    # Version 2 has its fill value for missing ones too, and 0 where nothing was said.
    missing = fill == "NaN" or "_FillValue" in attributes or (looked.version == 2 and fill not in (0, False, None))
    if (len(shape) == 1 and parts > 1) or (len(shape) > 1 and stored < HARDLY * parts):
        looked.unreadable[name] = (
            f"{name} was never written, or hardly: {stored} of its {parts} chunks are stored. Copy the store again, "
            "or where it holds nothing but its fill value leave it out."
        )
    elif not missing and math.prod(shape) > 1:
        looked.notes.append(
            f"{parts - stored} of {parts} chunks of {name} are not stored, which Zarr reads as {fill}"
        )


def _sizes(name: str, value: Any) -> list[int]:
    if not isinstance(value, list) or not all(isinstance(size, int) and size >= 0 for size in value):
        raise ValueError(f"{name} declares the shape or the chunks {value}, which are none.")
    return value
