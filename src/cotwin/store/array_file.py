"""Windows or trajectories on disk: a directory with one `data.npy`, (n, T, C, *S) single or double, and a manifest.

`numpy.load` opens the data; the manifest names the shape, the size of the file, a CRC32 for each chunk as it
was written, and whatever its maker wants to remember. `write_array` makes such directories, whole or not at all.
"""

from __future__ import annotations

import errno
import json
import math
import os
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import torch
from torch import Tensor

DATA, MANIFEST = "data.npy", "manifest.json"
FORMAT = 1
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
BLOCK = 1 << 20  # bytes held while checksums are computed
PROBED = 4  # rows of a batch that are looked for in the page cache before the kernel is asked to fetch it


class DamagedArrayError(RuntimeError):
    """A stored array that is not what was written: missing, cut short, or with flipped bits."""


@dataclass(frozen=True)
class Chunk:
    """Rows that were written together, and the CRC32 of their bytes."""

    rows: int
    crc32: int


@dataclass(frozen=True)
class Manifest:
    """What `data.npy` should be.

    offset: bytes before the first row. file_bytes: size of the whole file.
    """

    shape: tuple[int, ...]
    offset: int
    chunks: tuple[Chunk, ...]
    meta: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def file_bytes(self) -> int:
        return self.offset + self.shape[0] * self.row_bytes

    def to_json(self) -> str:
        made = {"made_by": "cotwin", "format": FORMAT, "file_bytes": self.file_bytes}
        content = made | asdict(self) | {"dtype": str(self.dtype).removeprefix("torch.")}
        return json.dumps(content | {"crc32": _crc32(content)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        content = json.loads(text)
        if content["made_by"] != "cotwin" or content["format"] != FORMAT or content["dtype"] not in PRECISIONS:
            raise ValueError(f"not a manifest of format {FORMAT}")
        if content["crc32"] != _crc32({name: value for name, value in content.items() if name != "crc32"}):
            raise ValueError("not what was written")
        manifest = cls(
            shape=tuple(int(size) for size in content["shape"]),
            offset=int(content["offset"]),
            chunks=tuple(Chunk(int(chunk["rows"]), int(chunk["crc32"])) for chunk in content["chunks"]),
            meta=dict(content["meta"]),
            dtype=PRECISIONS[content["dtype"]],
        )
        whole = sum(chunk.rows for chunk in manifest.chunks) == manifest.shape[0]
        if not whole or manifest.file_bytes != content["file_bytes"]:
            raise ValueError("its sizes contradict each other")
        return manifest


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a stored array. Raises DamagedArrayError."""
    try:
        return Manifest.from_json((directory / MANIFEST).read_text())
    except FileNotFoundError as error:
        raise DamagedArrayError(f"{error.filename} is missing; make the array again.") from error
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise DamagedArrayError(f"{directory / MANIFEST} cannot be read ({what}); make the array again.") from error


class ArrayFile:
    """A stored array, read row by row into given memory. Safe to read from several threads.

    Size and header are checked here, checksums by `verify`. Raises DamagedArrayError.

    `pread` rather than a memory map: a map reads ahead, thirty-five bytes for each one asked, and its pages
    count as the process's own.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / DATA
        if not directory.is_dir():
            raise FileNotFoundError(f"there is no stored array {directory}.")
        self.manifest = read_manifest(directory)
        try:
            self._file: BinaryIO = self.path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise DamagedArrayError(f"{error.filename} is missing; make the array again.") from error
        try:
            self._check()
        except DamagedArrayError:
            self.close()
            raise
        if sys.platform == "linux":
            # Else the kernel takes rows that lie beside others for a stream, and reads what nobody asked for.
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.manifest.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.manifest.dtype

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file descriptor back; reading afterwards raises ValueError."""
        self._file.close()

    def read(self, indices: Sequence[int] | Tensor) -> Tensor:
        """The rows at these indices, in a new tensor."""
        wanted = indices.tolist() if isinstance(indices, Tensor) else indices
        states = torch.empty(len(wanted), *self.shape[1:], dtype=self.dtype)
        self.write(wanted, states, range(len(wanted)))
        return states

    def write(self, indices: Sequence[int], states: Tensor, rows: Sequence[int]) -> None:
        """Put the array's rows at `indices` into these rows of `states`, without a copy between."""
        if states.dtype != self.dtype or tuple(states.shape[1:]) != self.shape[1:]:
            raise ValueError(
                f"{tuple(states.shape)} {states.dtype} cannot take rows of {self.shape[1:]} {self.dtype}."
            )
        file, offset, row_bytes = self._file.fileno(), self.manifest.offset, self.manifest.row_bytes
        target = states.numpy()
        for index, row in zip(indices, rows, strict=True):
            if not 0 <= index < self.shape[0]:
                raise IndexError(f"row {index} of {self.path}, which has {self.shape[0]}.")
            self._read_exactly(file, memoryview(target[row]).cast("B"), offset + index * row_bytes)

    def will_read(self, indices: Sequence[int]) -> None:
        """Have the kernel fetch these rows while the caller does something else, unless it has them already."""
        if sys.platform != "linux" or all(self._is_cached(index) for index in indices[:PROBED]):
            return  # asking for rows that are there would cost a third of the time of reading them
        file, offset, row_bytes = self._file.fileno(), self.manifest.offset, self.manifest.row_bytes
        for index in indices:
            os.posix_fadvise(file, offset + index * row_bytes, row_bytes, os.POSIX_FADV_WILLNEED)

    def verify(self) -> None:
        """Compare every chunk with its checksum; DamagedArrayError names the first that differs."""
        file, position, row = self._file.fileno(), self.manifest.offset, 0
        block = memoryview(bytearray(BLOCK))
        for number, chunk in enumerate(self.manifest.chunks):
            crc, end = 0, position + chunk.rows * self.manifest.row_bytes
            while position < end:
                part = block[: min(BLOCK, end - position)]
                self._read_exactly(file, part, position)
                crc, position = zlib.crc32(part, crc), position + len(part)
            if crc != chunk.crc32:
                raise DamagedArrayError(
                    f"{self.path}: chunk {number} (rows {row} to {row + chunk.rows - 1}) is not what was "
                    "written; make the array again."
                )
            row += chunk.rows

    def _check(self) -> None:
        size = self.path.stat().st_size
        if size != self.manifest.file_bytes:
            raise DamagedArrayError(
                f"{self.path} has {size} bytes instead of {self.manifest.file_bytes}; make the array again."
            )
        header = npy_header(self.shape, self.dtype)
        if self.manifest.offset != len(header) or self._file.read(len(header)) != header:
            raise DamagedArrayError(f"{self.path}: its header is not that of {self.shape}; make the array again.")

    def _is_cached(self, index: int) -> bool:
        """Whether the first byte of a row is in the page cache."""
        position = self.manifest.offset + index * self.manifest.row_bytes
        try:
            return os.preadv(self._file.fileno(), [bytearray(1)], position, os.RWF_NOWAIT) == 1
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
                raise
            return False

    def _read_exactly(self, file: int, buffer: memoryview, offset: int) -> None:
        done = 0
        while done < len(buffer):
            count = os.preadv(file, [buffer[done:]], offset + done)
            if count == 0:
                raise DamagedArrayError(f"{self.path} ends at byte {offset + done}; make the array again.")
            done += count


def npy_header(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> bytes:
    """What comes before the rows: the same bytes whatever version of NumPy there is, so they can be compared."""
    text = f"{{'descr': '<f{dtype.itemsize}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    # Magic, version 1.0 and the length of the rest; in all a multiple of 64 bytes, as the format asks for.
    padded = text.ljust(-(-(len(text) + 11) // 64) * 64 - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode("latin1")


def _crc32(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content).encode())
