"""Nothing that Cotwin did not make is taken for a cache directory, written into or emptied."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cotwin.folder import NotOursError
from cotwin.store.root import MARKER, check_root, claim_root, open_root
from cotwin.store.store import Store


def test_a_root_is_made_marked_and_accepted_again(tmp_path: Path) -> None:
    root = claim_root(tmp_path / "deep" / "cache")
    marker = json.loads((root / MARKER).read_text())
    assert (marker["made_by"], marker["format"]) == ("cotwin", 1)
    assert claim_root(root) == check_root(root) == root


def test_an_empty_directory_is_accepted_and_a_claim_cut_short_is_finished(tmp_path: Path) -> None:
    assert (claim_root(tmp_path) / MARKER).exists()
    for content in (b"", (tmp_path / MARKER).read_bytes()[:20]):
        (tmp_path / MARKER).write_bytes(content)
        with pytest.raises(NotOursError, match="carries no valid"):
            open_root(tmp_path)
        claim_root(tmp_path)
        assert json.loads((tmp_path / MARKER).read_text())["made_by"] == "cotwin"


@pytest.mark.parametrize("content", ["mine", "{}", "[]", '{"made_by": "someone"}', "x" * 1000])
def test_a_marker_of_someone_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(NotOursError):
        claim_root(tmp_path)
    assert (tmp_path / MARKER).read_text() == content


def test_a_marker_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text('{"made_by": "cotwin", "format": 99}')
    with pytest.raises(NotOursError, match="format 99"):
        claim_root(tmp_path)


@pytest.mark.parametrize("there", ["thesis", "thesis/chapter/one.tex", "to thesis", "to nowhere", "to empty"])
def test_other_peoples_directories_files_and_links_are_refused(tmp_path: Path, precious: Path, there: str) -> None:
    (tmp_path / "empty").mkdir()
    for target in ("thesis", "nowhere", "empty"):
        (tmp_path / f"to {target}").symlink_to(tmp_path / target)
    for refuse in (claim_root, check_root, Store):
        with pytest.raises(PermissionError, match=r"[Nn]ame another|no directory|a symbolic link"):
            refuse(tmp_path / there)
    assert not list((tmp_path / "empty").iterdir())


def test_links_above_the_root_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    assert claim_root(tmp_path / "home" / "cache") == (tmp_path / "disk" / "cache").resolve()


def test_a_linked_marker_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / MARKER).rename(tmp_path / "elsewhere")
    (root / MARKER).symlink_to(tmp_path / "elsewhere")
    for act in (open_root, claim_root):
        with pytest.raises(NotOursError):
            act(root)


def test_a_full_disk_is_heard_and_the_claim_finished_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            claim_root(tmp_path / "cache")
    claim_root(tmp_path / "cache")
