"""Hashes of large files, remembered while nothing says that they were changed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from contextlib import suppress
from io import BufferedReader
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
    """SHA-256 of a file's content, 64 hexadecimal digits.

    That of a large file is remembered, in the cache root, with its path, size, inode and the times of its last
    change, one of which nobody can set back. While all of them are the same, its content is taken to be.
    """
    with path.open("rb") as file:
        told = _told(file)
        if told[0] < LARGE:
            return _hashed(file)
        known, name = _remembered(root), str(path.resolve())
        if known.get(name, [])[:-1] == told:
            return str(known[name][-1])
        found = _hashed(file)
        if _told(file) == told and time.time_ns() - max(told[3:]) > SETTLED:
            known.pop(name, None)
            _remember(root, {**known, name: [*told, found]})
    return found


def _hashed(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _told(file: BufferedReader) -> list[int]:
    """What a file system tells: size, device, inode, and when content and what is told of it last changed."""
    status = os.fstat(file.fileno())
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
