"""A small teacher with batch statistics and dropout, so that eval mode matters."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from children import finish, start
from torch import Tensor, nn
from victims import COUNT, HEADER, keep_and_die, set_below

from cotwin.layout import Field, Layout
from cotwin.rollout_windows import RolloutWindows
from cotwin.stepper import Stepper
from cotwin.store.ownership import claim_root


class Teacher(Stepper):
    def __init__(self) -> None:
        layout = Layout.box([Field("u"), Field("v")], grid=(16,), extent=[(0, 1)], boundary="periodic", dt=0.1)
        super().__init__(layout)
        self.step = nn.Sequential(
            nn.Conv1d(2, 8, 3, padding=1, padding_mode="circular"),
            nn.BatchNorm1d(8),
            nn.Dropout(0.5),
            nn.Tanh(),
            nn.Conv1d(8, 2, 1),
        )

    def forward(self, state: Tensor) -> Tensor:
        return state + 0.1 * self.step(state)


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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return claim_root(tmp_path / "cache")


@pytest.fixture(scope="session")
def left_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root where a killed process left a whole set."""
    root = tmp_path_factory.mktemp("left") / "cache"
    finish(start(keep_and_die, root), -signal.SIGKILL)
    assert (set_below(root) / "data.npy").stat().st_size == HEADER + COUNT * 512
    return root


@pytest.fixture
def left(left_whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(left_whole, tmp_path / "cache")
