"""Keeps generated windows within the budgets: in memory, in a file, or nowhere."""

from __future__ import annotations

import errno
import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.store.array_file import ArrayFile
from cotwin.store.array_writer import write_array
from cotwin.store.ownership import claim, claim_root, remove
from cotwin.store.placement import Choice, Placement, choose_placement, in_words
from cotwin.windows import RolloutWindows, StoredWindows, Windows, copy_windows

logger = logging.getLogger(__name__)

Shelf = Literal["generated"]
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Store:
    """Where generated windows stay while they are in use. Placement never changes them.

    root: a directory for files, made by Cotwin or yet to be made; None for no files at all.
    memory_budget, disk_budget: bytes of generated data in memory and on disk at once.
    placement: overrides the automatic choice.
    chunk_bytes: windows generated at once; fewer under a small memory budget.

    choices: what was chosen so far, and why; the last entry is the present set's.

    Raises NotOursError if `root` is a directory that Cotwin did not make.
    """

    def __init__(
        self,
        root: Path | None = None,
        memory_budget: int = 2 * 10**9,
        disk_budget: int = 20 * 10**9,
        placement: Placement | None = None,
        chunk_bytes: int = 16_000_000,
    ) -> None:
        if root is None and placement == "cache":
            raise ValueError("placement 'cache' needs a root directory; name one, or choose another placement.")
        self.root = None if root is None else claim_root(root)
        self.memory_budget, self.placement = memory_budget, placement
        self.disk_budget = 0 if root is None else disk_budget
        # A rollout holds its states twice while it stacks them: a chunk and its copy stay below a sixteenth.
        self.chunk_bytes = min(chunk_bytes, memory_budget // 32)
        self.choices: list[Choice] = []

    def choose(self, windows: Windows) -> Choice:
        """Where these windows would go. Raises ValueError if not even one fits the memory budget."""
        if windows.window_bytes > self.memory_budget:
            raise ValueError(
                f"one window takes {in_words(windows.window_bytes)}, the memory budget is "
                f"{in_words(self.memory_budget)}; raise the budget, or use shorter windows."
            )
        return choose_placement(windows.num_bytes, self.memory_budget, self.disk_budget, self.placement)

    @contextmanager
    def keep(self, windows: RolloutWindows, shelf: Shelf = "generated") -> Iterator[Windows]:
        """The same windows, made once if there is room; gone when the context ends, also on error.

        Meanwhile their teacher is in eval mode.
        """
        choice = self.choose(windows)
        self._record(choice)
        with _evaluating(windows.teacher):
            if choice.placement == "memory":
                yield StoredWindows(self._fill_memory(windows))
            elif choice.placement == "cache":
                with self._cached(windows, shelf) as kept:
                    yield kept
            else:
                yield self._on_the_fly(windows)

    def _fill_memory(self, windows: RolloutWindows) -> InMemory:
        states = torch.empty(len(windows), *windows.window_shape, dtype=torch.float32)
        for first, chunk in self._chunks(windows):
            states[first : first + len(chunk)] = chunk
        return InMemory(states)

    @contextmanager
    def _cached(self, windows: RolloutWindows, shelf: Shelf) -> Iterator[Windows]:
        assert self.root is not None, "the disk budget is zero without a root"
        path = self.root / shelf / f"{os.getpid()}-{uuid.uuid4().hex}"
        try:
            if self._fill_file(windows, path):
                with ArrayFile(path) as file:
                    yield StoredWindows(file)
            else:
                yield self._on_the_fly(windows)
        finally:
            if path.exists():
                remove(path, self.root)

    def _fill_file(self, windows: RolloutWindows, path: Path) -> bool:
        """Whether the windows are in a file at `path`; if not, the disk is full and nothing is there."""
        assert self.root is not None
        meta = {"teacher": type(windows.teacher).__name__, "layout": asdict(windows.teacher.layout)}
        shape = (len(windows), *windows.window_shape)
        try:
            claim(path.parent, self.root)
            with write_array(path, self.root, shape, meta) as writer:
                for _, chunk in self._chunks(windows):
                    writer.append(chunk)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            reason = f"the disk has no room for {in_words(windows.num_bytes)} ({error.strerror})"
            logger.warning("%s; the windows are generated as they are read.", reason)
            self.choices.pop()
            self._record(Choice("on_the_fly", windows.num_bytes, reason))
            return False
        return True

    def _on_the_fly(self, windows: RolloutWindows) -> RolloutWindows:
        return RolloutWindows(windows.teacher, windows.starts, windows.num_steps, self.memory_budget)

    def _chunks(self, windows: RolloutWindows) -> Iterator[tuple[int, Tensor]]:
        """Index of the first window, and windows; cut alike for every placement, so the bits are alike."""
        count = max(1, self.chunk_bytes // windows.window_bytes)
        for first in range(0, len(windows), count):
            yield first, windows.generate(range(first, min(first + count, len(windows)))).float().cpu()

    def _record(self, choice: Choice) -> None:
        logger.info("generated windows: %s, as %s", choice.placement, choice.reason)
        self.choices.append(choice)


class InMemory:
    """Windows in a tensor."""

    def __init__(self, states: Float[Tensor, "M T C *S"]) -> None:
        self.states = states

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.states.shape)

    def write(self, indices: Sequence[int], states: Tensor, rows: Sequence[int]) -> None:
        """Put the windows at `indices` into these rows of `states`."""
        copy_windows(self.states, indices, states, rows)


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
