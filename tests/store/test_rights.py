"""A cache that may not be written is refused at the start, or done without."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import run
from victims import (
    find_no_place,
    lose_rights,
    without_rights,
)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may enter, and its owner, who may be nobody, may write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize(
    ("root", "message"), [("new/cache", "cannot be made, since .*locked may not be written"), (".", "may not be")]
)
def test_a_cache_that_cannot_be_written_is_refused_at_the_start(shared: Path, root: str, message: str) -> None:
    (shared / "locked").mkdir(mode=0o500)
    run(without_rights, find_no_place, shared / "locked" / root, f"{message}.*name another with store.cache_dir")
    assert list((shared / "locked").iterdir()) == []


def test_rights_that_are_lost_cost_the_cache_and_no_more(shared: Path) -> None:
    run(without_rights, lose_rights, shared / "cache")
