"""A teacher that fails in the middle is heard at once and leaves nothing behind."""

from __future__ import annotations

import threading
import traceback
from pathlib import Path

import pytest
from victims import (
    COUNT,
    Interrupted,
    leftovers,
    store,
    windows,
)

from cotwin.stepper import DivergenceError
from cotwin.store.placement import Placement
from cotwin.windows.serving import serve


@pytest.mark.parametrize("placement", ["memory", "cache", "on_the_fly"])
@pytest.mark.parametrize("error", [RuntimeError("out of luck"), DivergenceError("not a number"), OSError(28, "full")])
def test_a_teacher_that_raises_in_the_middle(tmp_path: Path, placement: Placement, error: Exception) -> None:
    def fail() -> None:
        teacher.left = 1  # and at every step after
        raise error

    # The third rollout, of 3 windows while filling, of 128 on the fly.
    teacher, count = Interrupted(8, fail), 500
    teacher.train()
    before = set(threading.enumerate())
    served = []

    def use() -> None:
        with store(tmp_path / "cache", placement).keep(windows(count, teacher=teacher)) as kept:
            served.extend(serve(kept.windows, [(0, [[row] for row in range(count)])], batch_size=1))

    with pytest.raises(type(error)) as caught:
        use()
    assert caught.value is error
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["forward", "fail"]
    # An OSError while the cache is filled is taken for the disk's, and shows when it comes again.
    generated_ahead = placement == "on_the_fly" or (isinstance(error, OSError) and placement == "cache")
    assert ("produce" in names) == generated_ahead
    assert len(served) <= 256
    assert set(threading.enumerate()) == before
    assert not (tmp_path / "cache").exists() or leftovers(tmp_path / "cache") == []
    assert teacher.training


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_closing_early_leaks_no_thread_and_no_file(tmp_path: Path) -> None:
    before, files = set(threading.enumerate()), open_files()
    for placement in ("memory", "cache", "on_the_fly"):
        with store(tmp_path / "cache", placement).keep(windows()) as kept:
            batches = serve(kept.windows, [(0, [[row] for row in range(COUNT)])] * 3, batch_size=1)
            next(batches)
            batches.close()
            assert set(threading.enumerate()) == before
    assert open_files() == files
