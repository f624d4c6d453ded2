"""Cache roots: an empty one, and one that a killed process left."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from children import finish, start
from victims import COUNT, HEADER, keep_and_die, set_below

from cotwin.store.ownership import claim_root


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
