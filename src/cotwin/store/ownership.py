"""What Cotwin may delete: files it made itself, in directories that carry its marker.

The marker names the files that belong to the directory. Nothing else is ever removed, and below the root no
symbolic link is followed: directories are opened one by one, each from its parent.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

MARKER = ".cotwin.json"
FORMAT = 1
_CURE = "Name another directory, or move this one away; Cotwin changes nothing that it did not make."


class NotOursError(PermissionError):
    """A directory that Cotwin did not make, or that is not where it seems to be. Nothing was changed."""


def claim_root(path: Path) -> Path:
    """Make a directory for caches, or accept one that Cotwin made; its path, with links above it resolved.

    Raises NotOursError for a symbolic link, a file, and any other directory that is not empty.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Links above the root are the user's layout (a home on another disk); they are followed once, here.
    path = path.parent.resolve() / path.name
    with suppress(FileExistsError):
        path.mkdir()
    with _open_child(None, str(path), path) as directory:
        _mark(directory, path, ())
    return path


def check_root(path: Path) -> Path:
    """What `claim_root` would return or raise, but change nothing: a mistake should show before any work is done.

    Raises PermissionError with the cure for a directory that may not be made or written.
    """
    path = path.absolute()
    path = path.parent.resolve() / path.name
    _require_writable(path)
    with suppress(FileNotFoundError), _open_child(None, str(path), path) as directory:
        names = set(os.listdir(directory))  # noqa: PTH208 (a descriptor, no path)
        if _read_marker(directory) is None and names - {MARKER}:
            raise NotOursError(f"{path} is not empty and carries no {MARKER}. {_CURE}")
    return path


def _require_writable(path: Path) -> None:
    there = path
    while not os.access(there, os.F_OK) and there != there.parent:
        there = there.parent
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        what = "may not be written" if there == path else f"cannot be made, since {there} may not be written"
        raise PermissionError(f"the cache directory {path} {what}; name another with store.cache_dir.")


@contextmanager
def opened(path: Path, root: Path) -> Iterator[int]:
    """A descriptor of a claimed root or of a directory that Cotwin made below it; no link is followed on the way."""
    parts = () if path == root else _parts(path, root)
    with _open_claimed(root, parts) as directory:
        yield directory


def claim(path: Path, root: Path, files: Sequence[str] = ()) -> Path:
    """Make a directory inside a claimed root, or accept one that Cotwin made there.

    files: names of the files that will belong to it, and that `remove` deletes with it.
    """
    *above, name = _parts(path, root)
    with _open_claimed(root, above) as parent:
        new = False
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
            new = True
        with _open_child(parent, name, path) as directory:
            try:
                _mark(directory, path, files)
            except OSError:
                # On a full disk: an unmarked directory would be one that nobody may remove.
                if new:
                    with suppress(FileNotFoundError):
                        os.unlink(MARKER, dir_fd=directory)
                    os.rmdir(name, dir_fd=parent)
                raise
    return path


def rename(path: Path, name: str, root: Path) -> None:
    """Give a directory that `claim` made inside this root another name, in the same place."""
    *above, old = _parts(path, root)
    with _open_claimed(root, above) as parent, _open_child(parent, old, path) as directory:
        _require_marker(directory, path)
        os.rename(old, name, src_dir_fd=parent, dst_dir_fd=parent)


def remove(path: Path, root: Path) -> bool:
    """Delete a directory that `claim` made inside this root, with the files that its marker names; whether it went.

    Whatever else is in it stays, and the directory with it; a warning says so.
    """
    *above, name = _parts(path, root)
    with _open_claimed(root, above) as parent, _open_child(parent, name, path) as directory:
        for file in _require_marker(directory, path):
            with suppress(FileNotFoundError):
                os.unlink(file, dir_fd=directory)
        foreign = sorted(set(os.listdir(directory)) - {MARKER})  # noqa: PTH208 (a descriptor, no path)
        if foreign:
            logger.warning("%s stays: Cotwin did not make %s in it.", path, ", ".join(foreign))
            return False
        # Last: a removal cut short leaves a directory that is still known as ours.
        os.unlink(MARKER, dir_fd=directory)
        os.rmdir(name, dir_fd=parent)
    return True


def _mark(directory: int, path: Path, files: Sequence[str]) -> None:
    """Write the marker into an empty directory; raise unless the directory is empty or marked."""
    content = json.dumps({"made_by": "cotwin", "format": FORMAT, "files": list(files)}).encode()
    present = set(os.listdir(directory))  # before the marker is read: another process may just be claiming
    if _read_marker(directory) is not None:
        return
    if present - {MARKER}:
        raise NotOursError(f"{path} is not empty and carries no {MARKER}. {_CURE}")
    # Not exclusive: two processes that claim at once, or one after a kill, write the same few bytes.
    marker = os.open(MARKER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644, dir_fd=directory)
    try:
        if not content.startswith(os.pread(marker, len(content) + 1, 0)):
            raise NotOursError(f"{path / MARKER} is not Cotwin's. {_CURE}")
        os.pwrite(marker, content, 0)
        # An empty marker, after a power cut, would make a whole directory somebody else's.
        os.fsync(marker)
    finally:
        os.close(marker)


def _require_marker(directory: int, path: Path) -> list[str]:
    files = _read_marker(directory)
    if files is None:
        raise NotOursError(f"{path} carries no valid {MARKER}, so Cotwin did not make it. {_CURE}")
    return files


def _read_marker(directory: int) -> list[str] | None:
    """The names of the files that belong to a directory; None if it is not marked."""
    try:
        marker = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        return None
    with os.fdopen(marker, "rb") as file:
        try:
            content: Any = json.loads(file.read(1_000_000))
        except ValueError:
            return None
    if not isinstance(content, dict) or content.get("made_by") != "cotwin":
        return None
    if content.get("format") != FORMAT:
        raise NotOursError(
            f"format {content.get('format')} of {MARKER} is not the {FORMAT} that this Cotwin knows; "
            "use the version that made the directory, or another directory."
        )
    files = content.get("files")
    plain = isinstance(files, list) and all(
        isinstance(name, str) and Path(name).name == name and name not in ("..", MARKER) for name in files
    )
    return files if plain else None


def _parts(path: Path, root: Path) -> tuple[str, ...]:
    """The names that lead from the root to a path inside it."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        parts = ()
    if not parts or ".." in parts:
        raise NotOursError(f"{path} is not inside the cache root {root}. {_CURE}")
    return parts


@contextmanager
def _open_claimed(root: Path, parts: Sequence[str]) -> Iterator[int]:
    """A descriptor of the root or a directory below it, all of them marked on the way."""
    with ExitStack() as stack:
        path = root
        directory = stack.enter_context(_open_child(None, str(root), root))
        _require_marker(directory, path)
        for name in parts:
            path = path / name
            directory = stack.enter_context(_open_child(directory, name, path))
            _require_marker(directory, path)
        yield directory


@contextmanager
def _open_child(parent: int | None, name: str, path: Path) -> Iterator[int]:
    try:
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except NotADirectoryError:
        kind = "a symbolic link" if path.is_symlink() else "no directory"
        raise NotOursError(f"{path} is {kind}. {_CURE}") from None
    try:
        yield directory
    finally:
        os.close(directory)
