"""Writes a stored array so that it is there whole or not at all, whatever happens in between."""

from __future__ import annotations

import errno
import os
import sys
import uuid
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cotwin.store.array_file import DATA, MANIFEST, Chunk, Manifest, npy_header
from cotwin.store.lock import LOCK, exclusive, in_use
from cotwin.store.ownership import claim, remove, rename

STAGED = ".staged-"


@contextmanager
def write_array(
    path: Path,
    root: Path,
    shape: tuple[int, ...],
    meta: dict[str, Any] | None = None,
    user: ExitStack | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[ArrayWriter]:
    """Append all rows of `shape` in this context; at its end the array is at `path`, inside a claimed root.

    Until then it is a staged directory beside it, locked. Space is reserved first, so that a full disk shows at
    once, as an OSError. On any error the staged directory is removed. Raises FileExistsError if there is an array
    at `path`, perhaps another process's by now.

    meta: whatever JSON can hold; kept in the manifest.
    user: keeps others from removing the array until this closes, if it is about to be read.
    """
    _require_free(path)
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"shape is {shape}; a stored array needs at least one row and no empty axis.")
    staged = _staged(path)
    with ExitStack() as stack:
        with exclusive(root):
            claim(staged, root, files=(DATA, MANIFEST, LOCK))
            # From here on the directory is ours to remove, unless it is published.
            unpublished = stack.enter_context(ExitStack())
            unpublished.callback(_abandon, staged, root)
            (stack if user is None else user).enter_context(in_use(staged, root))
        with (staged / DATA).open("xb", buffering=0) as data:
            writer = ArrayWriter(data.fileno(), shape, dtype)
            yield writer
            manifest = writer.finish(meta or {})
        with (staged / MANIFEST).open("x") as text:
            text.write(manifest.to_json())
            text.flush()
            os.fsync(text.fileno())
        _sync(staged)
        with exclusive(root):
            _require_free(path)
            rename(staged, path.name, root)
            unpublished.pop_all()
        _sync(path.parent)


def remove_array(path: Path, root: Path) -> bool:
    """Delete a stored array inside `exclusive`; whether it is gone. Whoever still reads it may go on.

    It gets a staged name first: cut short, the removal leaves no array that is there by half.
    """
    staged = _staged(path)
    rename(path, staged.name, root)
    return remove(staged, root)


def _abandon(staged: Path, root: Path) -> None:
    # Exclusive: a sweep in another process would meet a directory half removed, and take it for a leftover.
    with suppress(FileNotFoundError), exclusive(root):
        remove(staged, root)


def _staged(path: Path) -> Path:
    return path.with_name(f"{STAGED}{uuid.uuid4().hex}")


def _require_free(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists already; stored arrays are never overwritten.")


class ArrayWriter:
    """Appends rows to a `.npy` file of known shape. Made by `write_array`."""

    def __init__(self, file: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        header = npy_header(shape, dtype)
        self._file, self._chunks = file, list[Chunk]()
        self._plan = Manifest(shape, offset=len(header), chunks=(), dtype=dtype)
        _reserve(file, self._plan.file_bytes)
        self._position = 0
        self._put(memoryview(header))

    @property
    def rows_written(self) -> int:
        return sum(chunk.rows for chunk in self._chunks)

    def append(self, rows: Tensor) -> None:
        """The next rows, (k, …), in the array's precision: one chunk, with one checksum."""
        shape, dtype = self._plan.shape, self._plan.dtype
        if rows.dtype != dtype or tuple(rows.shape[1:]) != shape[1:]:
            raise ValueError(
                f"rows of {tuple(rows.shape[1:])} {rows.dtype} do not fit an array of {shape[1:]} {dtype}."
            )
        if self.rows_written + len(rows) > shape[0]:
            raise ValueError(f"{self.rows_written} + {len(rows)} rows for an array of {shape[0]}.")
        content = rows.detach().contiguous().numpy().data.cast("B")
        self._put(content)
        self._chunks.append(Chunk(len(rows), zlib.crc32(content)))

    def finish(self, meta: dict[str, Any]) -> Manifest:
        """Bring the data to the disk; what the manifest has to say."""
        if self.rows_written != self._plan.shape[0]:
            raise ValueError(f"{self.rows_written} rows were written of {self._plan.shape[0]}.")
        os.fsync(self._file)
        return replace(self._plan, chunks=tuple(self._chunks), meta=meta)

    def _put(self, content: memoryview) -> None:
        while content:
            count = os.pwrite(self._file, content, self._position)
            self._position, content = self._position + count, content[count:]


def _reserve(file: int, size: int) -> None:
    """Take the disk space now, where the file system can; elsewhere a full disk shows while writing."""
    if sys.platform == "linux":
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise


def _sync(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
