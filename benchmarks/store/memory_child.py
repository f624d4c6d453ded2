"""A process of its own for each measurement of memory: `python memory_child.py '{"task": …}'` prints JSON."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def main() -> None:
    task = json.loads(sys.argv[1])
    # Before torch is imported: the limits are on the whole process.
    if "data_limit" in task:
        resource.setrlimit(resource.RLIMIT_DATA, (task["data_limit"], task["data_limit"]))
    if "group" in task:
        Path(task["group"], "cgroup.procs").write_text(str(os.getpid()))
    act = {"train": train, "fill": fill, "sliding": sliding}[task["task"]]
    print(json.dumps(act(task)))


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Keep a set in a placement and train on it for an epoch; or how it was refused."""
    import torch
    from rehearsal import BATCH, new_trainer, teach
    from windows import real_windows

    from cotwin.store.store import Store

    torch.set_num_threads(1)
    real = real_windows(200)
    trainer = new_trainer()
    generated = teach(real, task["windows"])
    with tempfile.TemporaryDirectory(dir=task["scratch"]) as scratch:
        store = Store(
            Path(scratch) / "cache",
            memory_budget=task.get("memory_budget"),
            disk_budget=1 << 40,
            placement=task["placement"],
        )
        with watched() as before:
            # What training takes without any generated data, and what a first rollout and a first file leave behind.
            trainer.fit(real, 6)
            for placement in ("memory", "cache", "on_the_fly"):
                with Store(Path(scratch) / "cache", 1 << 25, 1 << 25, placement).keep(teach(real, 8)) as kept:
                    trainer.fit(kept.windows, 1)
        rest = at_rest()
        begin = time.perf_counter()
        try:
            with watched() as filling, store.keep(generated) as kept:
                filling.stop()
                with watched() as training:
                    trainer.fit(kept.windows, -(-len(kept.windows) // BATCH))
        except ValueError as error:
            return {"refused": str(error), "memory_budget": store.memory_budget}
    return {
        "seconds": time.perf_counter() - begin,
        "bytes": generated.num_bytes,
        "memory_budget": store.memory_budget,
        "placement": kept.choice.placement,
        "baseline": before.peak,
        "filling": filling.peak - rest,
        "growth": max(filling.peak, training.peak) - before.peak,
        # The kernel's own mark misses no moment, but counts mapped files too.
        "growth_by_high_water": max(filling.high_water, training.high_water) - before.high_water,
    }


def fill(task: dict[str, Any]) -> dict[str, Any]:
    """What the filling of a cache adds to the process at rest."""
    import torch
    from rehearsal import teach
    from windows import real_windows

    from cotwin.store.store import Store

    torch.set_num_threads(1)
    real = real_windows(200)
    with tempfile.TemporaryDirectory(dir=task["scratch"]) as scratch:
        store = Store(Path(scratch) / "cache", task["memory_budget"], 1 << 40, "cache")
        with store.keep(teach(real, 100)):
            rest = at_rest()
        with watched() as filling, store.keep(teach(real, task["windows"])):
            pass
    return {"growth": filling.peak - rest}


def sliding(task: dict[str, Any]) -> dict[str, Any]:
    """What sliding windows add to their trajectories."""
    import torch

    from cotwin.windows import SlidingWindows

    torch.set_num_threads(1)
    frames = 101
    trajectories = torch.randn(-(-task["windows"] // (frames - 8)), frames, 1, 4)
    SlidingWindows(trajectories[:1], num_steps=8).__getitems__([0])
    rest = at_rest()
    with watched() as after:
        windows = SlidingWindows(trajectories, num_steps=8)
        windows.__getitems__([0, len(windows) // 2, len(windows) - 1])
    return {"windows": len(windows), "window_bytes": windows.num_bytes, "growth": after.peak - rest}


def at_rest() -> int:
    """Anonymous memory in bytes, less what has been given back already and only the allocator still holds."""
    ctypes.CDLL(None).malloc_trim(0)
    watch = Watch()
    watch.look()
    return watch.peak


@dataclass
class Watch:
    """Peaks in bytes: of anonymous memory as often as it could be read, and of all resident memory by the kernel."""

    peak: int = 0
    high_water: int = 0
    watching: bool = True

    def look(self) -> None:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        self.peak = max(self.peak, 1024 * int(status["RssAnon"].split()[0]))
        self.high_water = 1024 * int(status["VmHWM"].split()[0])

    def stop(self) -> None:
        if self.watching:
            self.watching = False
            self.look()


@contextmanager
def watched() -> Iterator[Watch]:
    """Read the process's memory every millisecond until the context ends or the watch is stopped."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    watch = Watch()

    def keep_looking() -> None:
        while watch.watching:
            watch.look()
            time.sleep(0.001)

    thread = threading.Thread(target=keep_looking)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


if __name__ == "__main__":
    main()
