"""Keeps generated windows within the budgets: in memory, in a file, or nowhere."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.room import MEMORY, Room
from cotwin.stepper import evaluating
from cotwin.store.budgets import disk_budget as disk_bytes
from cotwin.store.budgets import memory_budget as memory_bytes
from cotwin.store.placement import Choice, Placement, choose_placement, in_words
from cotwin.store.room import MemoryOrDisk
from cotwin.store.root import check_root, claim_root, open_root
from cotwin.store.shelf import Shelf, ShelfName
from cotwin.store.show import show
from cotwin.store.window_file import WindowFile
from cotwin.windows import DrawnStates, RolloutWindows, StoredWindows, Windows, copy_windows

logger = logging.getLogger(__name__)


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
    chunk_bytes: of windows generated at once; fewer under a small memory budget.
    keep_generated: a directory where each set is written as a plain .npy too, for people to look at.

    Raises NotOursError if `root` is a directory that Cotwin did not make.
    """

    def __init__(
        self,
        root: Path | None = None,
        memory_budget: int | None = None,
        disk_budget: int | None = None,
        placement: Placement | None = None,
        chunk_bytes: int = 16_000_000,
        keep_generated: Path | None = None,
    ) -> None:
        if root is None and placement == "cache":
            raise ValueError("placement 'cache' needs a root directory; name one, or choose another placement.")
        if root is not None:
            check_root(root)
        self.root, self.placement, self.keep_generated = root, placement, keep_generated
        self.memory_budget = memory_bytes(memory_budget)
        self.disk_budget = disk_bytes(disk_budget, self.memory_budget, root)
        # A rollout needs several times its states, which come on top of what is kept. A power of two: a little more
        # or less free memory should not cut a set into other rollouts, which differ in their last bits.
        self.chunk_bytes = min(chunk_bytes, 1 << max(self.memory_budget // 64, 1).bit_length() - 1)

    def shelf(self, name: ShelfName) -> Shelf | None:
        """A shelf for files; None for a store without files. Raises what `check_root` does."""
        return None if self.root is None else Shelf(check_root(self.root), name)

    @property
    def most_real(self) -> int:
        """Bytes of real data, up to which a set of them is in memory: as generated windows, half of the budget."""
        return self.memory_budget // 2

    def room(self) -> Room:
        """Where real data are put; in memory alone for a store without files."""
        return MEMORY if self.root is None else MemoryOrDisk(self.root, self.most_real)

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
    def keep(self, windows: RolloutWindows, name: str = "windows") -> Iterator[Kept]:
        """The same windows, made once if there is room; gone when the context ends, and with the process.

        Meanwhile their teacher is in eval mode. name: of the file in `keep_generated`.
        """
        choice = self.choose(windows)
        logger.info("generated windows: %s, as %s", choice.placement, choice.reason)
        with evaluating(windows.teacher), ExitStack() as stack:
            if choice.placement == "memory":
                memory = InMemory(torch.empty(len(windows), *windows.window_shape, dtype=windows.dtype))
                self._fill(memory, windows)
                kept = Kept(StoredWindows(memory, windows.given_with), choice)
            elif choice.placement == "cache":
                kept = self._cached(windows, choice, stack)
            else:
                kept = Kept(self.on_the_fly(windows), choice)
            if self.keep_generated is not None:
                self._show(kept, self.keep_generated, f"{name}.npy")
            yield kept

    def _show(self, kept: Kept, directory: Path, name: str) -> None:
        if isinstance(kept.windows, StoredWindows):
            show(kept.windows.source, directory, name, self.chunk_bytes)
        else:
            logger.warning("%s is not written: the windows are generated as they are read.", directory / name)

    def _cached(self, windows: RolloutWindows, choice: Choice, stack: ExitStack) -> Kept:
        """Windows in a file while the stack is open; on the fly if the disk does not take them."""
        assert self.root is not None, "the disk budget is zero without a root"
        try:
            with ExitStack() as attempt:
                folder = attempt.enter_context(open_root(claim_root(self.root)))
                folder.sweep()
                shape = (len(windows), *windows.window_shape)
                file = attempt.enter_context(WindowFile.made(folder, shape, windows.dtype))
                self._fill(file, windows)
                file.sync()
                stack.push(attempt.pop_all())
            return Kept(StoredWindows(file, windows.given_with), choice)
        except OSError as error:
            reason = f"the disk does not take {in_words(windows.num_bytes)} ({error.strerror or error})"
            logger.warning("%s; the windows are generated as they are read.", reason)
            choice = Choice("on_the_fly", windows.num_bytes, reason)
            try:
                return Kept(self.on_the_fly(windows), choice)
            except ValueError as refusal:
                # Each start then costs a block of rollouts, but the phase goes on.
                logger.warning("%s Starts are drawn as they are read, which is slow.", refusal)
                return Kept(windows, choice)

    def _fill(self, kept: InMemory | WindowFile, windows: RolloutWindows) -> None:
        """Cut alike for every placement: in other rollouts the windows would differ in their last bits."""
        count = self.rows_at_once(windows)
        for first in range(0, len(windows), count):
            chunk = windows.generate(range(first, min(first + count, len(windows))))
            kept.put(first, chunk.cpu().to(windows.dtype))

    def on_the_fly(self, windows: RolloutWindows) -> RolloutWindows:
        """The same windows, generated as they are read, some of them ahead within the memory budget."""
        starts, fresh, budget = windows.starts, windows.fresh_starts, self.bytes_ahead(windows)
        if not starts.random_access:
            if fresh is None:
                starts = DrawnStates(starts)
            else:
                draw = fresh
                fresh = lambda number: DrawnStates(draw(number))  # noqa: E731
        return RolloutWindows(windows.teacher, starts, windows.num_steps, budget, fresh, windows.given)

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
                "the budget, generate fewer windows, or use real starts."
            )
        return budget

    def rows_at_once(self, windows: RolloutWindows) -> int:
        """How many windows are made in one rollout, where they are kept."""
        return max(1, self.chunk_bytes // windows.window_bytes)


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

    def put(self, first: int, rows: Float[Tensor, "k T C *S"]) -> None:
        """Take windows from this index on."""
        self.states[first : first + len(rows)] = rows

    def write(self, indices: Sequence[int], states: Tensor, rows: Sequence[int]) -> None:
        """Put the windows at `indices` into these rows of `states`."""
        copy_windows(self.states, indices, states, rows)

    def will_read(self, indices: Sequence[int]) -> None:
        """Nothing to prepare."""
