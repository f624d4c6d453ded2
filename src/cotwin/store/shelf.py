"""Stored arrays of one kind below a cache root, each under the key of what it was made from.

    root/generated/<key>/       windows that a teacher generated; gone when their phase ends
    root/real/<key>/            trajectories converted from a user's file; kept
    root/evaluation/<key>/      rollouts of a trained model on a split; kept

An array is there whole or not at all. Half-written arrays, and generated ones, of processes that are dead are
leftovers, which `sweep` removes.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from cotwin.store.array_file import DATA, MANIFEST, ArrayFile, DamagedArrayError, read_manifest
from cotwin.store.array_writer import STAGED, ArrayWriter, remove_array, write_array
from cotwin.store.lock import LOCK, Owner, exclusive, in_use, is_in_use, is_local_disk, owner
from cotwin.store.ownership import NotOursError, check_root, claim

logger = logging.getLogger(__name__)

ShelfName = Literal["real", "generated", "evaluation"]
SHELVES: tuple[ShelfName, ...] = get_args(ShelfName)

# The disk is full, may no longer be written, or has no locks; with a disk that is broken nothing goes on.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOLCK)


@dataclass(frozen=True)
class Entry:
    """A directory on a shelf.

    content: what its maker said it holds. num_bytes: of its files. modified: seconds since the epoch.
    owner: who made it, None if that is not known.
    used: whether a process reads or writes it now.
    """

    shelf: ShelfName
    path: Path
    content: str
    num_bytes: int
    modified: float
    owner: Owner | None
    used: bool

    @property
    def is_whole(self) -> bool:
        """Whether it was published; what is not is being written, or was when its process ended."""
        return not self.path.name.startswith(STAGED)

    @property
    def is_leftover(self) -> bool:
        """Whether it is of use to nobody: its maker is known to be dead, and nobody reads it."""
        if self.used or (self.is_whole and self.shelf != "generated"):
            return False
        if self.owner is None or not self.owner.is_local:
            # On a local disk a lock is seen by all who can reach it, also from another container.
            return self.owner is None or is_local_disk(self.path)
        return not self.owner.lives


def shelves(root: Path) -> list[Shelf]:
    """Every shelf below a root, even if nothing was put there yet. Raises NotOursError if the root is not ours."""
    root = check_root(root)
    return [Shelf(root, name) for name in SHELVES]


class Shelf:
    """One shelf below a claimed root; made when something is put there."""

    def __init__(self, root: Path, name: ShelfName) -> None:
        self.root, self.name = root, name
        self.path = root / name

    @contextmanager
    def open(self, key: str, *, verify: bool = False) -> Iterator[ArrayFile | None]:
        """The array under this key, kept from being removed meanwhile; None if there is none.

        Checksums are compared if another process made it, or `verify` asks for it. A damaged array is named in
        the log and removed, so that it can be made again.
        """
        path = self._path(key)
        with ExitStack() as stack:
            file = None
            try:
                with exclusive(self.root):
                    if os.path.lexists(path):
                        stack.enter_context(in_use(path, self.root))
                        file = stack.enter_context(ArrayFile(path))
                if file is not None and (verify or not self._is_own(path)):
                    file.verify()
            except DamagedArrayError as error:
                logger.warning("%s", error)
                # Perhaps another process has found the same, and removed it already.
                with suppress(FileNotFoundError), exclusive(self.root):
                    remove_array(path, self.root)
                file = None
            yield file

    @contextmanager
    def add(
        self,
        key: str,
        shape: tuple[int, ...],
        meta: dict[str, Any] | None = None,
        user: ExitStack | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Iterator[ArrayWriter]:
        """Append all rows of an array in this context; at its end the array is under the key, on any error not.

        It is kept from being removed until `user` closes.

        Raises FileExistsError if there is one, perhaps another process's by now; OSError if the disk is full.
        """
        claim(self.path, self.root)
        with write_array(self._path(key), self.root, shape, meta, user, dtype) as writer:
            yield writer

    def load(self, key: str) -> tuple[Tensor, dict[str, Any]] | None:
        """A whole array and what its maker wanted to remember; None if there is none, or it is damaged.

        None too, with a warning, where the directory may not be used: what `save` keeps is never needed.
        """
        try:
            with self.open(key) as file:
                if file is None:
                    return None
                return file.read(range(file.shape[0])), file.manifest.meta
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            logger.warning("%s is not looked at: %s.", self._path(key), error.strerror)
            return None

    def save(
        self,
        key: str,
        shape: tuple[int, ...],
        rows: Iterable[Tensor],
        meta: dict[str, Any],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Keep an array for `load`, if the disk takes it; it is never needed, so a warning says where it does not."""
        try:
            with suppress(FileExistsError), self.add(key, shape, meta, dtype=dtype) as writer:
                for part in rows:
                    writer.append(part)
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            logger.warning("%s is not kept on disk: %s.", self._path(key), error.strerror)

    def discard(self, key: str) -> None:
        """Remove an array unless another process uses it: then that one will."""
        self._discard(self._path(key))

    def entries(self) -> list[Entry]:
        """What is on the shelf and is Cotwin's, oldest first."""
        if not self.path.is_dir() or self.path.is_symlink():
            return []
        found = []
        with exclusive(self.root):
            for path in self.path.iterdir():
                with suppress(NotOursError, FileNotFoundError):
                    found.append(self._entry(path))
        return sorted(found, key=lambda entry: entry.modified)

    def sweep(self) -> list[Entry]:
        """Remove leftovers; what was removed."""
        return [entry for entry in self.entries() if entry.is_leftover and self._discard(entry.path)]

    def clear(self) -> list[Entry]:
        """Remove leftovers, and all else that nobody uses now; what was removed."""
        whole = [entry for entry in self.entries() if entry.is_whole and self._discard(entry.path)]
        return whole + self.sweep()

    def _discard(self, path: Path) -> bool:
        with suppress(FileNotFoundError), exclusive(self.root):
            if not is_in_use(path, self.root):
                return remove_array(path, self.root)
        return False

    def _is_own(self, path: Path) -> bool:
        maker = owner(path, self.root)
        return maker is not None and maker.is_this_process

    def _entry(self, path: Path) -> Entry:
        if re.fullmatch(rf"{re.escape(STAGED)}[0-9a-f]{{32}}", path.name):
            # Killed between making the directory and marking it: finish that, so that it may be removed.
            claim(path, self.root, files=(DATA, MANIFEST, LOCK))
        maker, used, content = owner(path, self.root), is_in_use(path, self.root), ""
        with suppress(OSError, DamagedArrayError):
            content = str(read_manifest(path).meta.get("content", ""))
        sizes = [file.stat().st_size for file in path.iterdir() if file.is_file() and not file.is_symlink()]
        return Entry(self.name, path, content, sum(sizes), path.stat().st_mtime, maker, used)

    def _path(self, key: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", key):
            raise ValueError(f"{key!r} is no key: letters, digits and hyphens only.")
        return self.path / key
