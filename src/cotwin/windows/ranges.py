"""Stretches of an open file, read straight into given memory."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.reduction import DupFd
from typing import Any, BinaryIO

PROBED = 4  # stretches of a batch that are looked for in the page cache before the kernel is asked to fetch them


class Ranges:
    """An open file of which stretches are read in any order.

    Safe to read from several threads, and from helper processes, which get the open file, forked or not.

    `pread` rather than a memory map: a map reads ahead, thirty-five bytes for each one asked, and its pages
    count as the process's own.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        if sys.platform == "linux":
            # Else the kernel takes rows that lie beside others for a stream, and reads what nobody asked for.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)

    def read(self, position: int, buffer: memoryview) -> None:
        """Fill a buffer with what is in the file from this byte on."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self.file.fileno(), [buffer[done:]], position + done)
            if count == 0:
                raise OSError(errno.EIO, f"the windows end at byte {position + done}")
            done += count

    def will_read(self, positions: Sequence[int], length: int) -> None:
        """Have the kernel fetch stretches while the caller does something else, unless it has them already."""
        if sys.platform != "linux" or all(self._is_cached(position) for position in positions[:PROBED]):
            return  # asking for rows that are there would cost a third of the time of reading them
        for position in positions:
            os.posix_fadvise(self.file.fileno(), position, length, os.POSIX_FADV_WILLNEED)

    def __reduce__(self) -> tuple[Callable[..., Ranges], tuple[Any, ...]]:
        return _received, (DupFd(self.file.fileno()),)

    def _is_cached(self, position: int) -> bool:
        """Whether a byte is in the page cache."""
        try:
            return os.preadv(self.file.fileno(), [bytearray(1)], position, os.RWF_NOWAIT) == 1
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
                raise
            return False


def _received(duplicate: Any) -> Ranges:
    """In a process that was sent a file."""
    return Ranges(os.fdopen(duplicate.detach(), "rb", buffering=0))
