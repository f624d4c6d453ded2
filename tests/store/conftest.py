"""A cache root, empty; and somebody's data that nothing may change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cotwin.store.root import claim_root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return claim_root(tmp_path / "cache")


@pytest.fixture
def precious(tmp_path: Path) -> Iterator[Path]:
    """A directory with names like ours; in the end it has to be as it was."""
    thesis = tmp_path / "thesis"
    for name in (f"{'0' * 32}.safetensors", f".{'0' * 32}.part", f"real/{'0' * 32}.safetensors", "chapter/one.tex"):
        (thesis / name).parent.mkdir(parents=True, exist_ok=True)
        (thesis / name).write_text("years of work")
    before = state_of(thesis)
    yield thesis
    assert state_of(thesis) == before


def state_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }
