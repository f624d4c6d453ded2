"""Who uses a directory of the cache, so that nobody removes what another process needs.

A directory is in use while a process holds a shared lock on its lock file. The kernel gives that up with the
process, however it ends. The file says who made the directory: a maker who lives, or works on another host,
may be about to use it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from cotwin.store.ownership import opened

LOCK = ".lock"
LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "apfs", "hfs")
CLOCK_TOLERANCE = 2.0  # seconds; a start time is the boot time, which the clock's corrections move, plus ticks


@dataclass(frozen=True)
class Owner:
    """A process: its number, its host, and when it started, since numbers are used again."""

    pid: int
    host: str
    started: float

    @classmethod
    def this_process(cls) -> Owner:
        return cls(os.getpid(), socket.gethostname(), psutil.Process().create_time())

    @property
    def is_local(self) -> bool:
        """Whether it is on this host, where its end can be seen."""
        return self.host == socket.gethostname()

    @property
    def lives(self) -> bool:
        """Whether a local process is there still."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < CLOCK_TOLERANCE
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    @property
    def is_this_process(self) -> bool:
        return self.is_local and self.pid == os.getpid() and self.lives


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """One process or thread at a time, for what takes a moment: to begin, publish, open or remove a directory.

    Raises OSError with the cure where the file system has no locks.
    """
    with opened(root, root) as directory:
        lock = _open(directory, os.O_CREAT)
        try:
            _lock(lock, fcntl.LOCK_EX, root)
            yield
        finally:
            os.close(lock)


@contextmanager
def in_use(path: Path, root: Path) -> Iterator[None]:
    """Keep others from removing a directory. Enter it inside `exclusive`; the first to do so is the owner."""
    with opened(path, root) as directory:
        lock = _open(directory, os.O_CREAT)
    try:
        _lock(lock, fcntl.LOCK_SH, root)
        if os.fstat(lock).st_size == 0:
            os.write(lock, json.dumps(asdict(Owner.this_process())).encode())
        yield
    finally:
        os.close(lock)


def is_in_use(path: Path, root: Path) -> bool:
    """Whether any process, this one too, is inside `in_use` for a directory. Ask inside `exclusive`."""
    try:
        with opened(path, root) as directory:
            lock = _open(directory, 0)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def is_local_disk(path: Path) -> bool:
    """Whether a path is on a file system that only this machine reaches, as far as that can be known."""
    partitions = psutil.disk_partitions(all=True)
    holding = [partition for partition in partitions if path.resolve().is_relative_to(partition.mountpoint)]
    nearest = max(holding, key=lambda partition: len(partition.mountpoint), default=None)
    return nearest is not None and nearest.fstype in LOCAL


def owner(path: Path, root: Path) -> Owner | None:
    """Who made a directory; None if its maker was killed before saying so."""
    try:
        with opened(path, root) as directory, os.fdopen(_open(directory, 0)) as lock:
            content = json.load(lock)
        return Owner(int(content["pid"]), str(content["host"]), float(content["started"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _open(directory: int, flags: int) -> int:
    # Read and write: network file systems grant no lock otherwise.
    return os.open(LOCK, os.O_RDWR | os.O_NOFOLLOW | flags, 0o666, dir_fd=directory)


def _lock(file: int, kind: int, root: Path) -> None:
    try:
        fcntl.flock(file, kind)
    except OSError as error:
        raise OSError(
            errno.ENOLCK, f"{error.strerror}: the file system of {root} has no locks; name a cache_dir on another"
        ) from error
