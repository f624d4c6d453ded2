"""States that are made once and kept, each set under the key of what it was made from.

    root/real/<key>.safetensors         trajectories converted from a user's file
    root/evaluation/<key>.safetensors   rollouts of a trained model on a split

They are caches: whatever the disk does, the work goes on without them, and a warning says so.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from cotwin.folder import PART, Folder
from cotwin.store.entry_file import DamagedError, Kept, read_entry, read_header, write_entry
from cotwin.store.root import HASHES, MARKER, check_root, claim_root, open_root

logger = logging.getLogger(__name__)

ShelfName = Literal["real", "evaluation"]
SHELVES: tuple[ShelfName, ...] = get_args(ShelfName)
NAME = re.compile(r"([0-9a-f]{32})\.safetensors")


@dataclass(frozen=True)
class Entry:
    """States on a shelf.

    content: what its maker said it holds. num_bytes: of the file. modified: seconds since the epoch.
    """

    shelf: ShelfName
    key: str
    content: str
    num_bytes: int
    modified: float


def shelves(root: Path) -> list[Shelf]:
    """Every shelf below a root, even if nothing was put there yet. Raises NotOursError if the root is not ours."""
    root = check_root(root)
    return [Shelf(root, name) for name in SHELVES]


def sweep(root: Path) -> int:
    """Remove what dead processes left half-written below a root; how many files. Raises what `check_root` does."""
    return sum(len(folder.sweep()) for folder, _ in _folders(root))


def strangers(root: Path) -> list[Path]:
    """What is below a root but was not put there by this version of Cotwin, and so stays."""
    return [
        folder.path / name
        for folder, ours in _folders(root)
        for name in folder.names()
        if not (ours.fullmatch(name) or PART.fullmatch(name))
    ]


def _folders(root: Path) -> Iterator[tuple[Folder, re.Pattern[str]]]:
    """The root and each shelf that is there, and what names its own files have."""
    with suppress(FileNotFoundError), open_root(check_root(root)) as opened:
        yield opened, re.compile("|".join(map(re.escape, (MARKER, HASHES, *SHELVES))))
        for name in SHELVES:
            with suppress(FileNotFoundError), opened.folder(name) as folder:
                yield folder, NAME


class Shelf:
    """One shelf below a root; both are made when something is put there."""

    def __init__(self, root: Path, name: ShelfName) -> None:
        self.root, self.name = root, name
        self.path = root / name

    def load(self, key: str, most: float = math.inf) -> Kept | None:
        """What was saved; None if there is nothing, or it cannot be read.

        most: bytes that are read into memory; more are mapped from the file, and must not be written to.
        None too, with a warning, if it is damaged or holds another key.
        """
        name = _name(key)
        try:
            with self._opened() as folder, folder.open(name) as file:
                return read_entry(file, key, most)
        except FileNotFoundError:
            return None
        except DamagedError as error:
            logger.warning("%s is not used and will be made again: %s.", self.path / name, error)
            return None
        except OSError as error:
            # The warning is for `save`, which meets the same.
            logger.info("%s cannot be read: %s.", self.path / name, error)
            return None

    def save(
        self,
        key: str,
        shape: tuple[int, ...],
        rows: Iterable[Tensor],
        meta: dict[str, Any],
        mask: Iterable[Tensor] | None = None,
    ) -> None:
        """Keep states for `load`, in place of what has its name; a warning says if the disk does not take them.

        rows: their parts along the first axis, or of one row along the second, one after the other, in float32 or
        float64. mask: likewise, where they were observed.
        meta: whatever JSON can hold; "content" is what `entries` shows.
        """
        name = _name(key)
        try:
            with self._opened(make=True) as folder:
                folder.sweep()
                with folder.anew(name) as file:
                    write_entry(file, key, shape, rows, meta, mask)
        except OSError as error:
            logger.warning("%s is not kept on disk: %s.", self.path / name, error)

    def entries(self) -> list[Entry]:
        """What is on the shelf, oldest first."""
        with suppress(FileNotFoundError), self._opened() as folder:
            found = [self._entry(folder, match) for match in map(NAME.fullmatch, folder.names()) if match]
            return sorted(filter(None, found), key=lambda entry: entry.modified)
        return []

    def clear(self) -> list[Entry]:
        """Remove all that Cotwin put here; who is reading may go on. What was removed."""
        entries = self.entries()
        with suppress(FileNotFoundError), self._opened() as folder:
            for entry in entries:
                folder.remove(_name(entry.key))
        return entries

    @contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[Folder]:
        path = claim_root(self.root) if make else self.root
        with open_root(path) as root, root.folder(self.name, make=make) as folder:
            yield folder

    def _entry(self, folder: Folder, name: re.Match[str]) -> Entry | None:
        status, content = folder.status(name[0]), "damaged"
        if status is None:
            return None
        with suppress(OSError, DamagedError), folder.open(name[0]) as file:
            content = str(read_header(file).meta.get("content", ""))
        return Entry(self.name, name[1], content, status.st_size, status.st_mtime)


def _name(key: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", key):
        raise ValueError(f"{key!r} is no key: 32 hexadecimal digits.")
    return f"{key}.safetensors"
