"""Kill -9 at any moment: never a wrong number, and nothing is left, without anybody cleaning up."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from children import CONTEXT, finish, run, start
from victims import COUNT, come_and_go, expected, fill_and_die, fill_and_read, leftovers, store, windows

SLOW = 0.002  # seconds for each step of the teacher, 21 of which fill the cache


def fill_named_and_die(root: Path, call: int, report: Path | None = None) -> None:
    """As where files cannot be made without a name."""
    make = os.open

    def named(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if path == ".":
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return make(path, flags, *arguments, **options)

    os.open = named
    fill_and_die(root, call, report)


def assert_recovers(root: Path) -> None:
    with store(root).keep(windows()) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    assert leftovers(root) == []


@pytest.mark.slow
@pytest.mark.parametrize("die", [fill_and_die, fill_named_and_die])
def test_a_kill_at_any_system_call_leaves_nothing(swift_path: Path, die: Any) -> None:
    run(die, swift_path / "undisturbed", -1, swift_path / "calls")
    calls = int((swift_path / "calls").read_text())
    assert calls > 12
    for call in range(calls):
        root = swift_path / str(call)
        finish(start(die, root, call), -signal.SIGKILL)
        # Where a file has a name for a moment, an empty one may be left, which the next run removes.
        left = [root / name for name in leftovers(root)] if root.exists() else []
        assert len(left) <= (die is fill_named_and_die)
        assert all(path.stat().st_size == 0 for path in left)
        assert_recovers(root)


@pytest.mark.slow
def test_twenty_kills_at_random_moments(swift_path: Path) -> None:
    begun = CONTEXT.Event()
    process = start(fill_and_read, swift_path / "undisturbed", SLOW, begun)
    begun.wait()
    since = time.monotonic()
    finish(process)
    length, moments, killed = time.monotonic() - since, random.Random(0), 0
    root = swift_path / "cache"
    while killed < 20:
        begun.clear()
        process = start(fill_and_read, root, SLOW, begun)
        begun.wait()
        time.sleep(moments.uniform(0, length))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        assert not root.exists() or leftovers(root) == []
    assert_recovers(root)


def test_many_come_and_go_while_others_are_killed(swift_path: Path) -> None:
    root, together, moments = swift_path / "cache", CONTEXT.Barrier(3), random.Random(0)
    processes = [start(come_and_go, root, seed, together) for seed in range(3)]
    for _ in range(5):
        begun = CONTEXT.Event()
        victim = start(fill_and_read, root, SLOW, begun)
        begun.wait()
        time.sleep(moments.uniform(0, 0.1))
        victim.kill()
        victim.join()
    for process in processes:
        finish(process)
    assert leftovers(root) == []
