"""The arrays of an npz file, each unpacked when it is asked for, without pickles."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo, is_zipfile

import numpy as np

from cotwin.data.formats.foreign import about_zip
from cotwin.data.room import is_large, require_room
from cotwin.data.stored.arrays import StoredArray
from cotwin.data.stored.contents import Array

# Deflate makes at most so many bytes of one.
MOST_UNPACKED = 1032
CHUNK = 1 << 24
# Of what precedes a member in a zip file (APPNOTE 4.3.7): bytes, and where the lengths of name and extra field stand.
LOCAL_HEADER, NAME_AND_EXTRA = 30, 26


class Member(StoredArray):
    """One array of an npz file: shape and type from its header, the values when they are asked for.

    Raises ValueError for a header that cannot be read, or that declares more than the file holds.
    """

    def __init__(self, archive: ZipFile, info: ZipInfo) -> None:
        self.archive, self.info = archive, info
        with archive.open(info) as file:
            self.shape, _, self.dtype = header_of(file)
            declared = file.tell() + math.prod(self.shape) * self.dtype.itemsize
        most = info.compress_size * MOST_UNPACKED if info.compress_type == ZIP_DEFLATED else info.compress_size
        if declared != info.file_size or info.file_size > most:
            held = min(info.file_size, most)
            raise ValueError(f"its header declares {self.shape} {self.dtype}, {declared} bytes, and it holds {held}")

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        return np.asarray(self._whole[index])

    @cached_property
    def _whole(self) -> Array:
        where = f"{self.archive.filename}: array {self.info.filename.removesuffix('.npy')!r}"
        with damage_explained(str(self.archive.filename)):
            if self.info.compress_type == ZIP_STORED and is_large(self.shape, self.dtype.itemsize):
                return self._mapped()
            require_room(self.shape, self.dtype.itemsize, where, "write it with np.savez, which does not pack")
            with self.archive.open(self.info) as file:
                return np.lib.format.read_array(file, allow_pickle=False)

    def _mapped(self) -> Array:
        """A map of the file, once all of it was found undamaged: what is not wanted takes no memory."""
        with self.archive.open(self.info) as file:
            _, fortran, _ = header_of(file)
            begin = file.tell()
            while file.read(CHUNK):  # compares the checksum at the end
                pass
        assert self.archive.filename is not None
        with Path(self.archive.filename).open("rb") as raw:
            raw.seek(self.info.header_offset + NAME_AND_EXTRA)
            begin += self.info.header_offset + LOCAL_HEADER + sum(struct.unpack("<HH", raw.read(4)))
        order: Literal["F", "C"] = "F" if fortran else "C"
        return np.memmap(self.archive.filename, self.dtype, "r", begin, self.shape, order)


@contextmanager
def open_archive(path: str | Path) -> Iterator[tuple[dict[str, Member], dict[str, str]]]:
    """The arrays of the file by name, and for those that cannot be read the reason."""
    source = str(path)
    with Path(path).open("rb") as file:
        if not is_zipfile(file):
            raise ValueError(f"{source}: not a whole npz file; it may be truncated: copy it again.")
    with damage_explained(source):
        archive = ZipFile(path)
    with archive:
        foreign = about_zip(archive)
        if foreign is not None:
            raise ValueError(f"{source}: {foreign}")
        members: dict[str, Member] = {}
        unreadable: dict[str, str] = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                continue
            with damage_explained(source):
                if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                    unreadable[name] = f"array {name!r} is packed in a way that numpy does not write."
                    continue
                try:
                    members[name] = Member(archive, info)
                except ValueError as error:
                    unreadable[name] = f"array {name!r} cannot be read: {error}."
        yield members, unreadable


@contextmanager
def damage_explained(source: str) -> Iterator[None]:
    """What zipfile, zlib and numpy raise where bytes are not what they should be, as one message."""
    try:
        yield
    # RuntimeError and NotImplementedError: flags that say encrypted, or packed by another method.
    except (BadZipFile, EOFError, zlib.error, OSError, RuntimeError, ValueError, OverflowError) as error:
        raise ValueError(f"{source}: not a whole npz file ({error}); it may be truncated: copy it again.") from error


def header_of(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran's order and type of an array, from where an npy file begins. Raises ValueError."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version} of the npy format, which names the parts of a structure")
    try:
        shape, fortran, dtype = read(file)
    except (SyntaxError, TokenError) as error:
        raise ValueError(f"a header that is none ({error})") from error
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded, since unpickling one runs code of whoever wrote it")
    return shape, fortran, dtype
