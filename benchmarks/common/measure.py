"""Times things in turns, on stated cores and threads, and compares them turn by turn."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock, and of processor time in this process with all its threads and system calls."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Ratio:
    """Median over the turns, least and most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, numerator: list[float], denominator: list[float]) -> Ratio:
        """Of two competitors, turn by turn."""
        return cls.over([above / below for above, below in zip(numerator, denominator, strict=True)])

    @classmethod
    def over(cls, values: list[float]) -> Ratio:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.least:.3g} to {self.most:.3g})"


def timed(act: Callable[[], object]) -> Taken:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return Taken(time.perf_counter() - wall, time.process_time() - cpu)


def per_call(act: Callable[[], object], least: float) -> Callable[[int], Taken]:
    """What one call takes in a turn, of as many as take `least` seconds of processor time together."""

    def turn_of(turn: int) -> Taken:
        calls, wall, cpu = 0, time.perf_counter(), time.process_time()
        while not calls or time.process_time() - cpu < least:
            act()
            calls += 1
        return Taken((time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls)

    return turn_of


def in_turns(variants: Mapping[str, Callable[[int], Taken]], repeats: int) -> dict[str, list[Taken]]:
    """What each variant took in each of `repeats` turns; a turn before them warms up and does not count."""
    taken: dict[str, list[Taken]] = {name: [] for name in variants}
    names = list(variants)
    for turn in range(repeats + 1):
        # Each turn begins with another variant, so that none always follows the same one.
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            found = variants[name](turn)
            if turn > 0:
                taken[name].append(found)
    return taken


@contextmanager
def threads(count: int, on_cores: int | None = None) -> Iterator[None]:
    """So many threads for torch's operations, on as many cores or those given; threads begun meanwhile stay there."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with cores(on_cores or count):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def cores(count: int) -> Iterator[None]:
    """On the last `count` cores that this process may use, where the system can pin."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    processor = platform.processor()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
