"""Keeps generated windows within the budgets: in memory, in a file, or nowhere."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.store.budgets import disk_budget as disk_bytes
from cotwin.store.budgets import memory_budget as memory_bytes
from cotwin.store.fingerprint import fingerprint
from cotwin.store.ownership import check_root, claim_root
from cotwin.store.placement import Choice, Placement, choose_placement, in_words
from cotwin.store.shelf import SHELVES, UNWRITABLE, Shelf, ShelfName, shelves
from cotwin.windows import PickedStates, RolloutWindows, StoredWindows, Windows, copy_windows

logger = logging.getLogger(__name__)

MOST_TRIES = 3  # to read what was just written; where that fails the disk is broken


class Kept(NamedTuple):
    """Windows while they are in use, and where they are and why."""

    windows: Windows
    choice: Choice


class Store:
    """Where generated windows stay while they are in use. Placement never changes them.

    root: a directory for files, made by Cotwin or yet to be made; None for no files at all.
    memory_budget, disk_budget: bytes of generated data in memory and on disk at once; None for what the machine
        allows (see `cotwin.store.budgets`).
    placement: overrides the automatic choice.
    chunk_bytes: windows generated at once; fewer under a small memory budget.
    verify: compare the checksums of every set before it is used, not only of those that another process made.

    Raises NotOursError if `root` is a directory that Cotwin did not make.
    """

    def __init__(
        self,
        root: Path | None = None,
        memory_budget: int | None = None,
        disk_budget: int | None = None,
        placement: Placement | None = None,
        chunk_bytes: int = 16_000_000,
        *,
        verify: bool = False,
    ) -> None:
        if root is None and placement == "cache":
            raise ValueError("placement 'cache' needs a root directory; name one, or choose another placement.")
        if root is not None:
            check_root(root)
        self.root, self.placement, self.verify = root, placement, verify
        self.memory_budget = memory_bytes(memory_budget)
        leftover = self._leftover_bytes() if disk_budget is None else 0
        self.disk_budget = disk_bytes(disk_budget, self.memory_budget, root, leftover)
        # A rollout needs several times its states, which come on top of what is kept. A power of two: a little more
        # or less free memory should not cut a set into other rollouts, which differ in their last bits.
        self.chunk_bytes = min(chunk_bytes, 1 << max(self.memory_budget // 64, 1).bit_length() - 1)

    def shelf(self, name: ShelfName) -> Shelf | None:
        """A shelf for files, its root made if need be; None for a store without files."""
        return None if self.root is None else Shelf(claim_root(self.root), name)

    def choose(self, windows: RolloutWindows) -> Choice:
        """Where these windows would go. Raises ValueError if the budgets leave no place for them."""
        if windows.window_bytes > self.memory_budget:
            raise ValueError(
                f"one window takes {in_words(windows.window_bytes)}, the memory budget is "
                f"{in_words(self.memory_budget)}; raise the budget, or use shorter windows."
            )
        if windows.fresh_starts is not None:
            if self.placement in ("memory", "cache"):
                raise ValueError(
                    f"placement {self.placement!r} keeps windows over epochs, fresh starts are drawn for each; "
                    "use on_the_fly, or keep the starts."
                )
            reason = f"{in_words(windows.num_bytes)} in each epoch, from fresh starts"
            choice = Choice("on_the_fly", windows.num_bytes, reason)
        else:
            choice = choose_placement(windows.num_bytes, self.memory_budget, self.disk_budget, self.placement)
        if choice.placement == "on_the_fly":
            self.bytes_ahead(windows)
        return choice

    @contextmanager
    def keep(self, windows: RolloutWindows) -> Iterator[Kept]:
        """The same windows, made once if there is room; gone when the context ends, also on error.

        Meanwhile their teacher is in eval mode. A set that a killed process left behind is used if it is this
        one and whole; other leftovers are removed.
        """
        choice = self.choose(windows)
        logger.info("generated windows: %s, as %s", choice.placement, choice.reason)
        with _evaluating(windows.teacher), ExitStack() as stack:
            if choice.placement == "cache":
                kept = self._cached(windows, choice, stack)
            elif choice.placement == "memory":
                kept = Kept(StoredWindows(self._fill_memory(windows)), choice)
            else:
                kept = Kept(self.on_the_fly(windows), choice)
            if choice.placement != "cache":
                self.sweep()
            yield kept

    def _leftover_bytes(self) -> int:
        """What `sweep` will free: else what a killed run left would change the choices of the next."""
        found = 0
        for shelf in () if self.root is None else shelves(self.root):
            with suppress(OSError):
                found += sum(entry.num_bytes for entry in shelf.entries() if entry.is_leftover)
        return found

    def sweep(self) -> None:
        """Remove what dead processes left behind: half-written arrays, and generated windows."""
        if self.root is None:
            return
        for name in SHELVES:
            try:
                removed = Shelf(check_root(self.root), name).sweep()
            except OSError as error:
                logger.warning("leftovers in %s stay: %s", self.root / name, error)
                continue
            for entry in removed:
                logger.info("removed %s, left by a process that ended", entry.path)

    def _fill_memory(self, windows: RolloutWindows) -> InMemory:
        states = torch.empty(len(windows), *windows.window_shape, dtype=windows.dtype)
        for first, chunk in self._chunks(windows):
            states[first : first + len(chunk)] = chunk
        return InMemory(states)

    def _cached(self, windows: RolloutWindows, choice: Choice, stack: ExitStack) -> Kept:
        """Windows from a file while the stack is open, made first if need be; on the fly if the disk is full."""
        try:
            shelf = self.shelf("generated")
            assert shelf is not None, "the disk budget is zero without a root"
            # Cut into other rollouts, the windows would differ in their last bits.
            key = fingerprint(
                windows.teacher, windows.starts, len(windows), windows.num_steps, self.rows_at_once(windows)
            )
            stack.callback(_discard, shelf, key)
            file = stack.enter_context(shelf.open(key, verify=self.verify))
            if file is not None:
                logger.info("generated windows: %s is whole and of the same teacher and starts", file.path.parent)
            self.sweep()
            made = 0
            while file is None:
                if made == MOST_TRIES:
                    raise OSError(errno.EIO, f"{shelf.path} does not keep what is written; name another cache_dir")
                # Another process with the same windows may be first, and take them away before they are opened.
                with suppress(FileExistsError):
                    self._fill_file(windows, shelf, key, stack)
                    made += 1
                file = stack.enter_context(shelf.open(key, verify=self.verify))
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            reason = f"the disk does not take {in_words(windows.num_bytes)} ({error.strerror})"
            logger.warning("%s; the windows are generated as they are read.", reason)
            choice = Choice("on_the_fly", windows.num_bytes, reason)
            try:
                return Kept(self.on_the_fly(windows), choice)
            except ValueError as refusal:
                # Each start then costs a block of rollouts, but the phase goes on.
                logger.warning("%s Starts are drawn as they are read, which is slow.", refusal)
                return Kept(windows, choice)
        return Kept(StoredWindows(file), choice)

    def _fill_file(self, windows: RolloutWindows, shelf: Shelf, key: str, user: ExitStack) -> None:
        content = f"{type(windows.teacher).__name__}, {len(windows)} × {windows.num_steps} steps"
        meta = {"content": content, "layout": asdict(windows.teacher.layout)}
        with shelf.add(key, (len(windows), *windows.window_shape), meta, user, windows.dtype) as writer:
            for _, chunk in self._chunks(windows):
                writer.append(chunk)

    def on_the_fly(self, windows: RolloutWindows) -> RolloutWindows:
        """The same windows, generated as they are read, some of them ahead within the memory budget."""
        starts, fresh, budget = windows.starts, windows.fresh_starts, self.bytes_ahead(windows)
        if not starts.random_access:
            if fresh is None:
                starts = PickedStates(starts.every())
            else:
                draw = fresh
                fresh = lambda number: PickedStates(draw(number).every())  # noqa: E731
        return RolloutWindows(windows.teacher, starts, windows.num_steps, budget, fresh)

    def bytes_ahead(self, windows: RolloutWindows) -> int:
        """What batches generated ahead may hold: the budget, less starts that have to be drawn beforehand."""
        starts = windows.starts
        if starts.random_access:
            return self.memory_budget
        # In the order of training each would cost a block of them, so all are drawn beforehand.
        held = starts.dtype.itemsize * len(starts) * math.prod(starts.state_shape)
        budget = self.memory_budget - (held if windows.fresh_starts is None else 2 * held)  # this epoch's, the next's
        if budget < self.memory_budget // 2:
            raise ValueError(
                f"the starts of windows that are generated as they are read take {in_words(held)}, which leaves "
                f"less than half of the memory budget ({in_words(self.memory_budget)}) for the windows; raise "
                "the budget, generate fewer windows, or use starts: real."
            )
        return budget

    def rows_at_once(self, windows: RolloutWindows) -> int:
        """How many windows are made in one rollout, where they are kept."""
        return max(1, self.chunk_bytes // windows.window_bytes)

    def _chunks(self, windows: RolloutWindows) -> Iterator[tuple[int, Tensor]]:
        """Index of the first window, and windows; cut alike for every placement, so the bits are alike."""
        count = self.rows_at_once(windows)
        for first in range(0, len(windows), count):
            yield first, windows.generate(range(first, min(first + count, len(windows)))).cpu().to(windows.dtype)


class InMemory:
    """Windows in a tensor."""

    def __init__(self, states: Float[Tensor, "M T C *S"]) -> None:
        self.states = states

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.states.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.states.dtype

    def write(self, indices: Sequence[int], states: Tensor, rows: Sequence[int]) -> None:
        """Put the windows at `indices` into these rows of `states`."""
        copy_windows(self.states, indices, states, rows)

    def will_read(self, indices: Sequence[int]) -> None:
        """Nothing to prepare."""


def _discard(shelf: Shelf, key: str) -> None:
    try:
        shelf.discard(key)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        # What was trained on it counts for more; a later run sweeps it.
        logger.warning("the windows in %s stay: %s", shelf.path / key, error)


@contextmanager
def _evaluating(teacher: nn.Module) -> Iterator[None]:
    """The teacher in eval mode; afterwards each of its modules as it was, whichever it was."""
    training = [module for module in teacher.modules() if module.training]
    teacher.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
