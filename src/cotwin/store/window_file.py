"""Windows in a file without a name: the kernel frees it with the last process that has it open, however that ends."""

from __future__ import annotations

import errno
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.reduction import DupFd
from typing import Any, BinaryIO

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.folder import Folder, reserve, write_at

logger = logging.getLogger(__name__)

PROBED = 4  # rows of a batch that are looked for in the page cache before the kernel is asked to fetch it
NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


class WindowFile:
    """Windows (n, T, C, *S) in an open file, read row by row into given memory. A `Source`.

    Safe to read from several threads, and from helper processes, which get the open file, forked or not.

    `pread` rather than a memory map: a map reads ahead, thirty-five bytes for each one asked, and its pages
    count as the process's own.
    """

    def __init__(self, file: BinaryIO, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.file, self.shape, self.dtype = file, shape, dtype
        self.row_bytes = dtype.itemsize * math.prod(shape[1:])
        if sys.platform == "linux":
            # Else the kernel takes rows that lie beside others for a stream, and reads what nobody asked for.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)

    @classmethod
    @contextmanager
    def made(cls, folder: Folder, shape: tuple[int, ...], dtype: torch.dtype) -> Iterator[WindowFile]:
        """A new one on the folder's disk, its space reserved: a full disk shows at once, as an OSError."""
        with _nameless(folder) as file:
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
        target, file = states.numpy(), self.file.fileno()
        for index, row in zip(indices, rows, strict=True):
            if not 0 <= index < self.shape[0]:
                raise IndexError(f"window {index} of {self.shape[0]}.")
            _read_exactly(file, memoryview(target[row]).cast("B"), index * self.row_bytes)

    def will_read(self, indices: Sequence[int]) -> None:
        """Have the kernel fetch these rows while the caller does something else, unless it has them already."""
        if sys.platform != "linux" or all(self._is_cached(index) for index in indices[:PROBED]):
            return  # asking for rows that are there would cost a third of the time of reading them
        for index in indices:
            os.posix_fadvise(self.file.fileno(), index * self.row_bytes, self.row_bytes, os.POSIX_FADV_WILLNEED)

    def __reduce__(self) -> tuple[Callable[..., WindowFile], tuple[Any, ...]]:
        return _received, (DupFd(self.file.fileno()), self.shape, self.dtype)

    def _is_cached(self, index: int) -> bool:
        """Whether the first byte of a row is in the page cache."""
        try:
            return os.preadv(self.file.fileno(), [bytearray(1)], index * self.row_bytes, os.RWF_NOWAIT) == 1
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
                raise
            return False


def _read_exactly(file: int, buffer: memoryview, offset: int) -> None:
    done = 0
    while done < len(buffer):
        count = os.preadv(file, [buffer[done:]], offset + done)
        if count == 0:
            raise OSError(errno.EIO, f"the generated windows end at byte {offset + done}")
        done += count


def _received(duplicate: Any, shape: tuple[int, ...], dtype: torch.dtype) -> WindowFile:
    """In a process that was sent a file."""
    return WindowFile(os.fdopen(duplicate.detach(), "rb", buffering=0), shape, dtype)


@contextmanager
def _nameless(folder: Folder) -> Iterator[BinaryIO]:
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
