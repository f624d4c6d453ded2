"""For all tests: one thread; for those that ask, a directory in memory, a teacher, and windows that it generates."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from teacher import Teacher

from cotwin.windows import RolloutWindows


@pytest.fixture(autouse=True)
def _single_thread() -> Iterator[None]:
    """These problems are tiny: a second thread costs more than it gains, on a busy machine a hundred times more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def swift_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where fsync takes no time; for kills, which lose no file's content, that is enough."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture
def teacher() -> Teacher:
    torch.manual_seed(0)
    return Teacher()


@pytest.fixture
def generated(teacher: Teacher) -> Callable[[int, int], RolloutWindows]:
    def make(count: int, num_steps: int = 3) -> RolloutWindows:
        starts = torch.randn(count, 2, 16, generator=torch.Generator().manual_seed(1))
        return RolloutWindows(teacher, starts, num_steps)

    return make
