"""Hashes of large files and folders, remembered while nothing says that they were changed."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from contextlib import suppress
from pathlib import Path

from cotwin.store.root import HASHES, claim_root, open_root

logger = logging.getLogger(__name__)

LARGE = 100_000_000
"""Bytes, below which a file is hashed each time."""
SETTLED = 2_000_000_000
"""Nanoseconds since the last change: within less another one may leave all that a file system tells as it is."""
MOST = 1000
"""Files that are remembered, the latest."""


def content_hash(path: Path, root: Path) -> str:
    """SHA-256 of a file's content, or of all files of a folder with their names in it, 64 hexadecimal digits.

    That of a large one is remembered, in the cache root, with its path, size, inode and the times of its last
    change, one of which nobody can set back. While all of them are the same, its content is taken to be.
    """
    told = _told(path)
    if told[0] < LARGE:
        return _hashed(path)
    known, name = _remembered(root), str(path.resolve())
    if known.get(name, [])[:-1] == told:
        return str(known[name][-1])
    found = _hashed(path)
    if _told(path) == told and time.time_ns() - max(told[3:]) > SETTLED:
        known.pop(name, None)
        _remember(root, {**known, name: [*told, found]})
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if not one.is_dir())


def _hashed(path: Path) -> str:
    if path.is_dir():
        listed = "".join(f"{one.relative_to(path)}\n{_hashed(one)}\n" for one in _files(path))
        return hashlib.sha256(listed.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _told(path: Path) -> list[int]:
    """What a file system tells: size, device, inode, and when content and what is told of it last changed.

    Of a folder the sum of sizes and the last changes of its files, and for the inode what is told of each.
    """
    if path.is_dir():
        each = {one.relative_to(path): _told(one) for one in _files(path)}
        sizes, devices, _, changed, told = ([own[place] for own in each.values()] or [0] for place in range(5))
        listed = int(hashlib.sha256(repr(each).encode()).hexdigest(), 16)
        return [sum(sizes), max(devices), listed, max(changed), max(told)]
    status = path.stat()
    return [status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]


def _remembered(root: Path) -> dict[str, list[int | str]]:
    """By path, what was told, and last the hash; nothing where that cannot be read."""
    with suppress(OSError, ValueError, RecursionError), open_root(root) as folder:
        known = json.loads(folder.read(HASHES))
        if isinstance(known, dict) and all(isinstance(one, list) and len(one) == 6 for one in known.values()):
            return known
    return {}


def _remember(root: Path, known: dict[str, list[int | str]]) -> None:
    try:
        with open_root(claim_root(root)) as folder:
            folder.write(HASHES, json.dumps(dict(list(known.items())[-MOST:])).encode())
    except OSError as error:
        logger.info("%s is not remembered: %s.", root / HASHES, error)
