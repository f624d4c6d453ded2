"""Serves batches in a given order, prepared ahead where that pays."""

from __future__ import annotations

import math
import os
import queue
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from itertools import chain, pairwise
from typing import TypeVar

import torch

from cotwin.seeds import seeded
from cotwin.windows.windows import Batch, Windows

T = TypeVar("T")
# A rollout of more is no faster for each window, and leaves the processor's caches.
ROLLOUT_WINDOWS = 128
ROLLOUT_BYTES = 16_000_000
# Groups of batches held at once, counted generously: one in use, one waiting or being written, and its rollout,
# which is there twice while it is stacked, with what the solver needs besides.
GROUPS_ALIVE = 6


def seeded_epochs(
    size: int, batch_size: int, seed: int, first: int, count: int
) -> Iterator[tuple[int, list[list[int]]]]:
    """Number and batches of indices of each epoch from `first` on, each in its own order; `count` batches in all.

    An epoch is made when it begins: all together could be larger than the windows' budget.

    >>> list(seeded_epochs(size=3, batch_size=2, seed=0, first=4, count=3))
    [(4, [[1, 0], [2]]), (5, [[2, 1]])]
    """
    while count > 0:
        order = torch.randperm(size, generator=seeded(seed, first))[: count * batch_size]
        batches = [part.tolist() for part in torch.split(order, batch_size)]
        yield first, batches
        first, count = first + 1, count - len(batches)


def serve(
    windows: Windows, epochs: Iterable[tuple[int, Sequence[Sequence[int]]]], batch_size: int
) -> Generator[Batch]:
    """The batches of each epoch, given as (number of the epoch, indices of each batch), in their order.

    Of windows that are generated as they are read, several batches are made in one rollout, since a small rollout
    costs each window more. A thread makes them ahead if torch leaves a core free. `windows.ahead_bytes` bounds what
    is held; where not even one batch ahead fits, each is made when its turn comes. Close the generator to stop the
    thread early.
    """
    fitting = _batches_in_a_group(windows, batch_size)
    together = max(1, fitting)

    def groups() -> Iterator[list[Batch]]:
        for number, rows in epochs:
            present = windows.epoch(number)
            parts = [rows[first : first + together] for first in range(0, len(rows), together)]
            for group, following in pairwise([[], *parts, []]):
                # Before this group is read, so that the disk does not wait for its copy.
                present.will_read(_flat(following))
                if not group:
                    continue
                batches = _split(present.__getitems__(_flat(group)), [len(part) for part in group])
                yield batches
                del batches  # while the next ones are made, nobody needs these

    with ahead(groups(), count=1 if fitting and has_spare_core() else 0) as made:
        for batches in made:
            yield from batches


def has_spare_core() -> bool:
    """Whether a thread that generates takes no core from torch's own threads; on a GPU, models leave them all.

    Else two pools of threads on the same cores wait for each other, and to generate and train in turn is faster.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return torch.get_num_threads() < cores or torch.cuda.is_available()


def held_bytes(windows: Windows, batch_size: int) -> int:
    """What `serve` holds of windows at once, at most, beside the batch in use."""
    return max(1, GROUPS_ALIVE * _batches_in_a_group(windows, batch_size)) * batch_size * windows.window_bytes


def _batches_in_a_group(windows: Windows, batch_size: int) -> int:
    """How many batches are made in one rollout ahead; zero where not even one is within the budget."""
    batch_bytes = batch_size * windows.window_bytes
    fitting = windows.ahead_bytes // (GROUPS_ALIVE * batch_bytes)
    efficient = min(math.ceil(ROLLOUT_WINDOWS / batch_size), ROLLOUT_BYTES // batch_bytes)
    return min(fitting, max(1, efficient))


def _flat(parts: Sequence[Sequence[int]]) -> list[int]:
    return list(chain.from_iterable(parts))


def _split(batch: Batch, sizes: list[int]) -> list[Batch]:
    batches, first = [], 0
    for size in sizes:
        batches.append(batch.rows(slice(first, first + size)))
        first += size
    return batches


class _End(Enum):
    END = 0


@contextmanager
def ahead(items: Iterable[T], count: int) -> Iterator[Iterator[T]]:
    """The same items in the same order, up to `count` of them made before they are asked for.

    One thread draws from `items`. Leaving the context, for whatever reason, stops and joins it. An exception
    in the thread is raised in the consumer, with its traceback, the next time an item is asked for, even if
    some made before it are waiting. With a count of zero there is no thread.

    Gradient modes are a thread's own: `items` may work under `no_grad` without touching the consumer, whose
    mode, in turn, does not reach `items`. Without a thread it would, so there `items` must not yield inside.

    >>> with ahead((n * n for n in range(4)), count=2) as squares:
    ...     list(squares)
    [0, 1, 4, 9]
    """
    if count < 0:
        raise ValueError(f"count is {count}; batches ahead cannot be negative.")
    if count == 0:
        yield iter(items)
        return
    slots = threading.Semaphore(count)
    made: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    failures: list[BaseException] = []
    stopped = threading.Event()

    def produce() -> None:
        try:
            source = iter(items)
            while slots.acquire() and not stopped.is_set():
                # Not bound to a name: that would keep it alive here after the consumer is done with it.
                made.put(next(source))
        except StopIteration:
            pass
        except BaseException as error:  # the consumer raises it
            failures.append(error)
        made.put(_End.END)

    def consume() -> Iterator[T]:
        while True:
            item = made.get()
            if failures:
                raise failures[0]
            if isinstance(item, _End):
                return
            slots.release()
            yield item

    thread = threading.Thread(target=produce, name="cotwin-ahead")
    thread.start()
    try:
        yield consume()
    finally:
        stopped.set()
        slots.release()
        thread.join()
