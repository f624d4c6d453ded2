"""Computes cells that are not there yet, by whatever executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from cotwin.study.outcome import Outcome

Cell = TypeVar("Cell")


class StudyError(RuntimeError):
    """A study that cannot go on; the message says why and what to do."""


def finish(
    cells: Mapping[str, Cell],
    work: Callable[[Cell], Outcome],
    executor: Executor,
    keep: Callable[[str, Outcome], None],
) -> dict[str, Outcome]:
    """The outcomes of all cells, by their names; each is kept as soon as it is there.

    work: a function of the cell alone, that another process can import. Raises what it raises, after cells that are
    being computed have ended; StudyError where a process was killed.
    """
    futures = {executor.submit(work, cell): name for name, cell in cells.items()}
    found = {}
    try:
        for future in as_completed(futures):
            name = futures[future]
            found[name] = future.result()
            keep(name, found[name])
    except BrokenProcessPool:
        raise StudyError(
            "a process that trained was killed, perhaps for want of memory; what was finished is kept. Go on with "
            "--resume and fewer --processes."
        ) from None
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return found
