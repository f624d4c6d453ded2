"""An array in one file that says what it is: safetensors, with its key and a CRC32 of all of it in the header."""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, BinaryIO

import torch
from torch import Tensor

from cotwin.folder import reserve, write_at

FORMAT = "2"
DTYPES = {"F32": torch.float32, "F64": torch.float64}
LONGEST = 100_000_000  # bytes of a header; a damaged length should not fill the memory


class DamagedError(ValueError):
    """A file that is not what was written, or not under this key."""


@dataclass(frozen=True)
class Header:
    """What stands before the numbers.

    meta: whatever JSON can hold. crc32: of the header with zero in its place, and the numbers.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    meta: dict[str, Any]
    crc32: int = 0

    @property
    def num_bytes(self) -> int:
        """Of the numbers."""
        return DTYPES[self.dtype].itemsize * math.prod(self.shape)

    def encoded(self) -> bytes:
        """The bytes in the file; how many does not depend on the checksum."""
        about = {"made_by": "cotwin", "format": FORMAT, "key": self.key, "crc32": f"{self.crc32:08x}"}
        about["meta"] = json.dumps(self.meta)
        states = {"dtype": self.dtype, "shape": list(self.shape), "data_offsets": [0, self.num_bytes]}
        text = json.dumps({"__metadata__": about, "states": states}).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text


def write_entry(file: int, key: str, shape: tuple[int, ...], rows: Iterable[Tensor], meta: dict[str, Any]) -> None:
    """Write an array, given part by part along its first axis, in float32 or float64.

    Space is reserved first, so that a full disk shows at once, as an OSError.
    """
    if not shape or 0 in shape:
        raise ValueError(f"shape is {shape}; a stored array has no empty axis.")
    parts = iter(rows)
    first = next(parts)
    (dtype,) = (name for name, kind in DTYPES.items() if kind == first.dtype)
    header = Header(key, shape, dtype, meta)
    encoded = header.encoded()
    reserve(file, len(encoded) + header.num_bytes)
    position, crc, count = len(encoded), zlib.crc32(encoded), 0
    for part in chain([first], parts):
        if part.dtype != first.dtype or tuple(part.shape[1:]) != shape[1:] or count + len(part) > shape[0]:
            raise ValueError(f"{tuple(part.shape)} {part.dtype} is no part of {shape} {first.dtype}.")
        content = part.detach().contiguous().numpy().data.cast("B")
        position, crc, count = write_at(file, content, position), zlib.crc32(content, crc), count + len(part)
    if count != shape[0]:
        raise ValueError(f"{count} rows were given of {shape[0]}.")
    write_at(file, replace(header, crc32=crc).encoded(), 0)


def read_header(file: BinaryIO) -> Header:
    """What a file says it is. Raises DamagedError."""
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        text = file.read(min(length, LONGEST))
        content = json.loads(text)
        about, states = content["__metadata__"], content["states"]
        shape = tuple(int(size) for size in states["shape"])
        header = Header(about["key"], shape, states["dtype"], json.loads(about["meta"]), int(about["crc32"], 16))
        size = os.fstat(file.fileno()).st_size
        if header.encoded() != struct.pack("<Q", length) + text or size != 8 + length + header.num_bytes:
            raise ValueError(f"{size} bytes do not fit its header")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    return header


def read_entry(file: BinaryIO, key: str) -> tuple[Tensor, dict[str, Any]]:
    """The array and what its maker wanted to remember. Raises DamagedError, also if it holds another key."""
    header = read_header(file)
    if header.key != key:
        raise DamagedError(f"it holds {header.key}")
    states = torch.empty(header.shape, dtype=DTYPES[header.dtype])
    rest = content = states.numpy().data.cast("B")
    while rest and (count := file.readinto(rest)):  # type: ignore[attr-defined]
        rest = rest[count:]
    if rest or zlib.crc32(content, zlib.crc32(replace(header, crc32=0).encoded())) != header.crc32:
        raise DamagedError("its checksum is wrong")
    return states, header.meta
