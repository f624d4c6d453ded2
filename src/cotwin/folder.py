"""A directory held open: no link in it is followed, and what is put in its place meanwhile changes nothing.

Files are written aside, synced and renamed, so they are there whole or not at all. What a killed process leaves of
that is a file `.<32 hex digits>.part`, which `sweep` removes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

PART = re.compile(r"\.[0-9a-f]{32}\.part")


class NotOursError(PermissionError):
    """Something that Cotwin did not make, or that is not where it seems to be. Nothing was changed."""


class Folder:
    """A directory by its descriptor. path: for messages.

    Raises NotOursError, with the cure, for a symbolic link or a file; FileNotFoundError.
    """

    def __init__(self, path: Path, within: Folder | None = None) -> None:
        self.path = path
        name, parent = (str(path), None) if within is None else (path.name, within.descriptor)
        try:
            self.descriptor: int = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        except NotADirectoryError:
            raise _not_ours(path, "a symbolic link" if path.is_symlink() else "no directory") from None

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)

    def folder(self, name: str, *, make: bool = False) -> Folder:
        """A directory in this one."""
        if make:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=self.descriptor)
        return Folder(self.path / name, self)

    def names(self) -> list[str]:
        """All names, in order."""
        return sorted(os.listdir(self.descriptor))  # noqa: PTH208 (a descriptor, no path)

    def status(self, name: str) -> os.stat_result | None:
        """Of a regular file; None if none has this name."""
        with suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
            return found if stat.S_ISREG(found.st_mode) else None
        return None

    def open(self, name: str, flags: int = os.O_RDONLY) -> BinaryIO:
        """A file in this directory, unbuffered."""
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe in its place would be waited for
        try:
            descriptor = os.open(name, flags, 0o666, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _not_ours(self.path / name, "a symbolic link") from None
            raise
        return os.fdopen(descriptor, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "r+b", buffering=0)

    def read(self, name: str) -> bytes:
        """What is in a file."""
        with self.open(name) as file:
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        with self.anew(name) as file:
            write_at(file, content, 0)

    @contextmanager
    def anew(self, name: str) -> Iterator[int]:
        """A descriptor to write to. At the end of the context its content has this name; on any error nothing has.

        What had the name before goes; a link itself, not what it leads to.
        """
        part, file = self.part()
        with file:
            try:
                yield file.fileno()
                os.fsync(file.fileno())
                os.rename(part, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
            except BaseException:
                with suppress(OSError):
                    self.remove(part)
                raise
        os.fsync(self.descriptor)

    def part(self) -> tuple[str, BinaryIO]:
        """A new file with a name that `sweep` knows, locked so that it is spared while this process has it open."""
        name = f".{uuid.uuid4().hex}.part"
        file = self.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        with suppress(OSError):  # the file system may have no locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return name, file

    def remove(self, name: str) -> None:
        """Delete a file, or a link itself."""
        os.unlink(name, dir_fd=self.descriptor)

    def sweep(self) -> list[str]:
        """Remove what dead processes left half-written, and say what; where there are no locks it stays."""
        swept = []
        for name in filter(PART.fullmatch, self.names()):
            with suppress(OSError), self.open(name, os.O_RDWR) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.remove(name)
                swept.append(name)
        return swept


def write_at(file: int, content: bytes | memoryview, position: int) -> int:
    """Write all of it; the position after it."""
    rest = memoryview(content)
    while rest:
        count = os.pwrite(file, rest, position)
        position, rest = position + count, rest[count:]
    return position


def reserve(file: int, size: int) -> None:
    """Take the disk space now, where the file system can; elsewhere a full disk shows while writing."""
    if sys.platform == "linux":
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise


def _not_ours(path: Path, kind: str) -> NotOursError:
    return NotOursError(f"{path} is {kind}. Move it away; Cotwin changes nothing that it did not make.")
