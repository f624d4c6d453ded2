"""Windows in a file without a name: the kernel frees it with the last process that has it open, however that ends."""

from __future__ import annotations

import errno
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.folder import Folder, reserve, write_at
from cotwin.windows.ranges import Ranges

logger = logging.getLogger(__name__)

NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


class WindowFile:
    """Windows (n, T, C, *S) in an open file, read row by row into given memory. A `Source`."""

    def __init__(self, file: BinaryIO, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.file, self.shape, self.dtype = file, shape, dtype
        self.row_bytes, self._ranges = dtype.itemsize * math.prod(shape[1:]), Ranges(file)

    @classmethod
    @contextmanager
    def made(cls, folder: Folder, shape: tuple[int, ...], dtype: torch.dtype) -> Iterator[WindowFile]:
        """A new one on the folder's disk, its space reserved: a full disk shows at once, as an OSError."""
        with nameless(folder) as file:
            reserve(file.fileno(), dtype.itemsize * math.prod(shape))
            yield cls(file, shape, dtype)

    def put(self, first: int, rows: Float[Tensor, "k T C *S"]) -> None:
        """Write rows from this index on."""
        if rows.dtype != self.dtype or rows.shape[1:] != self.shape[1:] or first + len(rows) > self.shape[0]:
            raise ValueError(
                f"rows {first} on, {tuple(rows.shape)} {rows.dtype}, do not fit {self.shape} {self.dtype}."
            )
        write_at(self.file.fileno(), rows.detach().contiguous().numpy().data.cast("B"), first * self.row_bytes)

    def sync(self) -> None:
        """Raise OSError now, rather than read wrong numbers later, if the disk did not take what was written."""
        os.fsync(self.file.fileno())

    def write(self, indices: Sequence[int], states: Tensor, rows: Sequence[int]) -> None:
        """Put the windows at `indices` into these rows of `states`, without a copy between."""
        if states.dtype != self.dtype or tuple(states.shape[1:]) != self.shape[1:]:
            raise ValueError(f"{tuple(states.shape)} {states.dtype} cannot take {self.shape[1:]} {self.dtype}.")
        target = states.numpy()
        for index, row in zip(indices, rows, strict=True):
            if not 0 <= index < self.shape[0]:
                raise IndexError(f"window {index} of {self.shape[0]}.")
            self._ranges.read(index * self.row_bytes, memoryview(target[row]).cast("B"))

    def will_read(self, indices: Sequence[int]) -> None:
        """Have the kernel fetch these rows while the caller does something else, unless it has them already."""
        self._ranges.will_read([index * self.row_bytes for index in indices], self.row_bytes)

    def __reduce__(self) -> tuple[Callable[..., WindowFile], tuple[Any, ...]]:
        return _received, (self._ranges, self.shape, self.dtype)


def _received(ranges: Ranges, shape: tuple[int, ...], dtype: torch.dtype) -> WindowFile:
    """In a process that was sent a file."""
    return WindowFile(ranges.file, shape, dtype)


@contextmanager
def nameless(folder: Folder) -> Iterator[BinaryIO]:
    """A file to write and read on the folder's disk, which is gone when nobody has it open."""
    file = _unlinked(folder)
    if file is not None:
        with file:
            yield file
        return
    name, file = folder.part()
    try:
        with suppress(FileNotFoundError):
            folder.remove(name)
    except OSError as error:
        logger.warning("%s is removed at the end, since its disk cannot do it now: %s.", folder.path / name, error)
    try:
        with file:
            yield file
    finally:
        with suppress(OSError):
            folder.remove(name)


def _unlinked(folder: Folder) -> BinaryIO | None:
    """A file that never has a name, if the file system makes such files."""
    if sys.platform == "linux":
        try:
            return folder.open(".", os.O_RDWR | os.O_TMPFILE)
        except OSError as error:
            if error.errno not in NO_TMPFILE:
                raise
    return None
