"""States in one file that says what it is: safetensors, with its key and a CRC32 of all of it in the header."""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from cotwin.folder import reserve, write_at
from cotwin.mapped import mapped

FORMAT = "3"
DTYPES = {"F32": torch.float32, "F64": torch.float64}
CHUNK = 1 << 24  # bytes that are compared with the checksum at once
LONGEST = 100_000_000  # bytes of a header; a damaged length should not fill the memory


class Kept(NamedTuple):
    """What a file holds. meta: what its maker wanted to remember. mask: like states; None where there is none."""

    states: Tensor
    meta: dict[str, Any]
    mask: Tensor | None


class DamagedError(ValueError):
    """A file that is not what was written, or not under this key."""


@dataclass(frozen=True)
class Header:
    """What stands before the numbers.

    masked: whether a mask follows the states. meta: whatever JSON can hold. crc32: of the header with zero in its
    place, and the numbers.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    masked: bool
    meta: dict[str, Any]
    crc32: int = 0

    @property
    def state_bytes(self) -> int:
        """Of the states."""
        return DTYPES[self.dtype].itemsize * math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Of all numbers."""
        return self.state_bytes + self.masked * math.prod(self.shape)

    def encoded(self) -> bytes:
        """The bytes in the file; how many does not depend on the checksum."""
        about = {"made_by": "cotwin", "format": FORMAT, "key": self.key, "crc32": f"{self.crc32:08x}"}
        about["meta"] = json.dumps(self.meta)
        there, shape = {}, list(self.shape)
        there["states"] = {"dtype": self.dtype, "shape": shape, "data_offsets": [0, self.state_bytes]}
        if self.masked:
            there["mask"] = {"dtype": "BOOL", "shape": shape, "data_offsets": [self.state_bytes, self.num_bytes]}
        text = json.dumps({"__metadata__": about, **there}).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text


def write_entry(
    file: int,
    key: str,
    shape: tuple[int, ...],
    parts: Iterable[Tensor],
    meta: dict[str, Any],
    mask: Iterable[Tensor] | None = None,
) -> None:
    """Write states, given part by part along the first axis or of one row along the second, in float32 or float64.

    mask: likewise, of the same shape.
    Space is reserved first, so that a full disk shows at once, as an OSError.
    """
    if not shape or 0 in shape:
        raise ValueError(f"shape is {shape}; a stored array has no empty axis.")
    parts = iter(parts)
    first = next(parts)
    (dtype,) = (name for name, kind in DTYPES.items() if kind == first.dtype)
    header = Header(key, shape, dtype, mask is not None, meta)
    encoded = header.encoded()
    reserve(file, len(encoded) + header.num_bytes)
    position, crc = len(encoded), zlib.crc32(encoded)
    for kind, some in ((first.dtype, chain([first], parts)), (torch.bool, mask or ())):
        end = position + kind.itemsize * math.prod(shape) if some else position
        for part in some:
            content = part.detach().contiguous().numpy().data.cast("B")
            fits = part.shape[1:] == shape[1:] or (len(part) == 1 and part.shape[2:] == shape[2:])
            if part.dtype != kind or not fits or position + len(content) > end:
                raise ValueError(f"{tuple(part.shape)} {part.dtype} is no part of {shape} {kind}.")
            position, crc = write_at(file, content, position), zlib.crc32(content, crc)
        if position != end:
            row = kind.itemsize * math.prod(shape[1:])
            raise ValueError(f"{shape[0] - -(-(end - position) // row)} rows were given of {shape[0]}.")
    write_at(file, replace(header, crc32=crc).encoded(), 0)


def read_header(file: BinaryIO) -> Header:
    """What a file says it is. Raises DamagedError."""
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        text = file.read(min(length, LONGEST))
        content = json.loads(text)
        about, states = content["__metadata__"], content["states"]
        shape = tuple(int(size) for size in states["shape"])
        meta, crc = json.loads(about["meta"]), int(about["crc32"], 16)
        header = Header(about["key"], shape, states["dtype"], "mask" in content, meta, crc)
        size = os.fstat(file.fileno()).st_size
        if header.encoded() != struct.pack("<Q", length) + text or size != 8 + length + header.num_bytes:
            raise ValueError(f"{size} bytes do not fit its header")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    return header


def read_entry(file: BinaryIO, key: str, most: float = math.inf) -> Kept:
    """What is in a file. Raises DamagedError, also if it holds another key.

    most: bytes that are read into memory. More are mapped, once their checksum is found right, and must not be
    written to.
    """
    header = read_header(file)
    if header.key != key:
        raise DamagedError(f"it holds {header.key}")
    begin, crc = file.tell(), zlib.crc32(replace(header, crc32=0).encoded())
    kinds = [(0, DTYPES[header.dtype]), (header.state_bytes, torch.bool)]
    kinds = kinds[: 1 + header.masked]
    if header.num_bytes > most:
        chunk = memoryview(bytearray(CHUNK))
        while count := file.readinto(chunk):  # type: ignore[attr-defined]
            crc = zlib.crc32(chunk[:count], crc)
        tensors = [mapped(file, begin + offset, header.shape, kind) for offset, kind in kinds]
    else:
        tensors = [torch.empty(header.shape, dtype=kind) for _, kind in kinds]
        for tensor in tensors:
            rest = content = tensor.numpy().data.cast("B")
            while rest and (count := file.readinto(rest)):  # type: ignore[attr-defined]
                rest = rest[count:]
            crc = 0 if rest else zlib.crc32(content, crc)
    if crc != header.crc32:
        raise DamagedError("its checksum is wrong")
    return Kept(tensors[0], header.meta, tensors[1] if header.masked else None)
