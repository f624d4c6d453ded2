"""Kill -9 at any moment: never a wrong number, and nothing left after the next run."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from children import CONTEXT, finish, run, start
from victims import COUNT, expected, fill_and_die, fill_and_read, leftovers, store, windows

SLOW = 0.002  # seconds for each step of the teacher, 21 of which fill the cache


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """System calls of an undisturbed process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(fill_and_die, folder / "cache", -1, folder / "calls")
    assert leftovers(folder / "cache") == []
    return int((folder / "calls").read_text())


def die(root: Path, call: int) -> None:
    finish(start(fill_and_die, root, call), -signal.SIGKILL)


def assert_recovers(root: Path) -> None:
    with store(root).keep(windows()) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    assert leftovers(root) == []


@pytest.mark.slow
def test_a_kill_at_any_system_call_is_made_good_by_the_next_run(swift_path: Path, calls: int) -> None:
    assert calls > 60
    for call in range(calls):
        root, swept = swift_path / str(call), swift_path / f"{call}-swept"
        die(root, call)
        if root.exists():
            shutil.copytree(root, swept)
        assert_recovers(root)
        with store(swept, "memory").keep(windows()):
            assert not swept.exists() or leftovers(swept) == []


@pytest.mark.slow
def test_kills_while_making_good_are_made_good_too(swift_path: Path, calls: int) -> None:
    moments = random.Random(0)
    for attempt in range(20):
        root = swift_path / str(attempt)
        for _ in range(3):
            # Some of them get to the end, since there was less to do than the first time.
            process = start(fill_and_die, root, moments.randrange(calls))
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
        assert_recovers(root)


def test_twenty_kills_at_random_moments(swift_path: Path) -> None:
    begun = CONTEXT.Event()
    process = start(fill_and_read, swift_path / "undisturbed", SLOW, begun)
    begun.wait()
    since = time.monotonic()
    finish(process)
    length, moments, killed = time.monotonic() - since, random.Random(0), 0
    while killed < 20:
        root = swift_path / str(killed)
        begun.clear()
        process = start(fill_and_read, root, SLOW, begun)
        begun.wait()
        time.sleep(moments.uniform(0, length))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        assert_recovers(root)
