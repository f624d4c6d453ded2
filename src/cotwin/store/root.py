"""The cache directory, known by its marker. Without the marker nothing in it is written or removed."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from cotwin.folder import Folder, NotOursError, write_at

MARKER, HASHES = ".cotwin.json", "hashes.json"
FORMAT = 1
CONTENT = json.dumps({"made_by": "cotwin", "format": FORMAT}).encode()
_CURE = "Name another directory, or move this one away; Cotwin changes nothing that it did not make."


def claim_root(path: Path) -> Path:
    """Make a directory for caches, or accept one that Cotwin made; its path, with links above it resolved.

    Raises NotOursError for a symbolic link, a file, and any other directory that is not empty.
    """
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    path = _resolved(path)
    with suppress(FileExistsError):
        path.mkdir()
    with Folder(path) as folder:
        present = set(folder.names())  # before the marker is read: another process may just be claiming
        if not _is_marked(folder):
            if present - {MARKER}:
                raise NotOursError(f"{path} is not empty and carries no valid {MARKER}. {_CURE}")
            _mark(folder)
    return path


def check_root(path: Path) -> Path:
    """What `claim_root` would return or raise, but change nothing: a mistake should show before any work is done.

    Raises PermissionError with the cure for a directory that may not be made or written.
    """
    path = _resolved(path)
    _require_writable(path)
    with suppress(FileNotFoundError), Folder(path) as folder:
        if not _is_marked(folder) and set(folder.names()) - {MARKER}:
            raise NotOursError(f"{path} is not empty and carries no valid {MARKER}. {_CURE}")
    return path


def open_root(path: Path) -> Folder:
    """A claimed root, held open. Raises NotOursError, FileNotFoundError."""
    with ExitStack() as stack:
        folder = stack.enter_context(Folder(path))
        if not _is_marked(folder):
            raise NotOursError(f"{path} carries no valid {MARKER}, so Cotwin did not make it. {_CURE}")
        stack.pop_all()
    return folder


def _resolved(path: Path) -> Path:
    # Links above the root are the user's layout (a home on another disk); they are followed once, here.
    path = path.absolute()
    return path.parent.resolve() / path.name


def _require_writable(path: Path) -> None:
    there = path
    while not os.access(there, os.F_OK) and there != there.parent:
        there = there.parent
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        what = "may not be written" if there == path else f"cannot be made, since {there} may not be written"
        raise PermissionError(f"the cache directory {path} {what}; name another with store.cache_dir.")


def _mark(folder: Folder) -> None:
    # Not written aside: two processes that claim at once, or one after a kill, write the same few bytes.
    with folder.open(MARKER, os.O_RDWR | os.O_CREAT) as marker:
        if not CONTENT.startswith(os.pread(marker.fileno(), len(CONTENT) + 1, 0)):
            raise NotOursError(f"{folder.path / MARKER} is not Cotwin's. {_CURE}")
        write_at(marker.fileno(), CONTENT, 0)
        # An empty marker, after a power cut, would make a full directory somebody else's.
        os.fsync(marker.fileno())


def _is_marked(folder: Folder) -> bool:
    try:
        with folder.open(MARKER) as file:
            content: Any = json.loads(file.read(1_000_000))
    except (FileNotFoundError, NotOursError, IsADirectoryError, ValueError):
        return False
    if not isinstance(content, dict) or content.get("made_by") != "cotwin":
        return False
    if content.get("format") != FORMAT:
        raise NotOursError(
            f"format {content.get('format')} of {folder.path / MARKER} is not the {FORMAT} that this Cotwin knows; "
            "use the version that made the directory, or another directory."
        )
    return True
