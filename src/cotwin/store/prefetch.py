"""Makes the next batches in a thread while the present one is in use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TypeVar

T = TypeVar("T")


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
