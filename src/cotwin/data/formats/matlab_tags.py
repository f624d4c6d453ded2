"""Whether the elements of a MATLAB file of version 5 are as long, and of such types, as their tags say.

SciPy trusts the tags of numbers: with one of no known type it ends the process.
Source: MathWorks, MAT-File Format, chapter 1.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

HEADER, TAG = 128, 8
ARRAY_FLAGS, DIMENSIONS, NAME = 6, 5, 1
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}
"""Types in which numbers are stored."""
NUMERIC = range(6, 16)
"""Classes of arrays of numbers: double, single, and integers."""
COMPLEX = 0x08
CHUNK = 1 << 20


class _Element:
    """The bytes of one element, one after the other; unpacked where they are packed."""

    def __init__(self, file: BinaryIO, size: int, packed: bool) -> None:
        self.file, self.left = file, size
        self.unpacked = zlib.decompressobj() if packed else None

    def read(self, count: int) -> bytes:
        """So many bytes. Raises ValueError where there are fewer."""
        found = b""
        while len(found) < count:
            part = self._some(count - len(found))
            if not part:
                raise ValueError("an element ends before its parts do")
            found += part
        return found

    def skip(self, count: int) -> None:
        """Pass over so many bytes, without keeping them."""
        while count > 0:
            count -= len(self.read(min(count, CHUNK)))

    def _some(self, most: int) -> bytes:
        if self.unpacked is None:
            part = self.file.read(min(most, self.left))
            self.left -= len(part)
            return part
        while not self.unpacked.eof:
            tail = self.unpacked.unconsumed_tail
            packed = tail or self.file.read(min(CHUNK, self.left))
            self.left -= 0 if tail else len(packed)
            part = self.unpacked.decompress(packed, most)
            if part or not packed:
                return part
        return b""


def require_sound_tags(path: Path) -> None:
    """Raise ValueError for a file of version 5 whose arrays of numbers are not what their tags say; or zlib.error."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(HEADER)
        if header[126:128] not in (b"IM", b"MI"):
            return  # version 4, which SciPy reads without trusting anything
        order = "<" if header[126:128] == b"IM" else ">"
        while size - file.tell() >= TAG:
            kind, length = struct.unpack(f"{order}II", file.read(TAG))
            end = file.tell() + length
            if end > size:
                raise ValueError("an element is longer than the file")
            if kind == COMPRESSED:
                packed = _Element(file, length, packed=True)
                kind, _ = struct.unpack(f"{order}II", packed.read(TAG))
                _require_array(packed, kind, order)
            else:
                _require_array(_Element(file, length, packed=False), kind, order)
            file.seek(end)


def _require_array(element: _Element, kind: int, order: str) -> None:
    if kind != MATRIX:
        raise ValueError(f"an element of type {kind}, where an array is expected")
    flags = _part(element, order, {ARRAY_FLAGS}, keep=True)
    word = struct.unpack(f"{order}I", flags[:4])[0]
    _part(element, order, {DIMENSIONS})
    _part(element, order, {NAME})
    if word & 0xFF in NUMERIC:
        for _ in range(2 if (word >> 8) & COMPLEX else 1):
            _part(element, order, NUMBERS)


def _part(element: _Element, order: str, kinds: set[int], *, keep: bool = False) -> bytes:
    """The next part of an array, of one of these types; it has its bytes in its tag where there are four or less."""
    tag = element.read(TAG)
    kind, length = struct.unpack(f"{order}II", tag)
    short = kind >> 16
    if short:
        kind, length = kind & 0xFFFF, short
    if kind not in kinds or (short and length > 4):
        raise ValueError(f"a part of type {kind} and {length} bytes, where one of {sorted(kinds)} is expected")
    if short:
        return tag[4:]
    whole = -(-length // TAG) * TAG
    if keep:
        return element.read(min(whole, TAG))
    element.skip(whole)
    return b""
