"""Nothing that Cotwin did not make is ever deleted or written into."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from cotwin.store.ownership import MARKER, NotOursError, claim, claim_root, remove


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    directory = tmp_path / "thesis"
    directory.mkdir()
    (directory / "data.npy").write_text("years of work")
    return directory


def untouched(precious: Path) -> bool:
    content = (precious / "data.npy").read_text()
    return [entry.name for entry in precious.iterdir()] == ["data.npy"] and content == "years of work"


def test_a_root_is_made_marked_and_accepted_again(tmp_path: Path) -> None:
    root = claim_root(tmp_path / "deep" / "cache")
    marker = json.loads((root / MARKER).read_text())
    assert (marker["made_by"], marker["format"]) == ("cotwin", 1)
    assert claim_root(root) == root


def test_an_empty_directory_is_accepted(tmp_path: Path) -> None:
    assert (claim_root(tmp_path) / MARKER).exists()


def test_a_claim_cut_short_is_finished(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    claim_root(tmp_path)
    assert json.loads((tmp_path / MARKER).read_text())["made_by"] == "cotwin"


@pytest.mark.parametrize("content", ["mine", "{}", "[]", '{"made_by": "someone"}', "x" * 1000])
def test_a_marker_of_someone_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(NotOursError):
        claim_root(tmp_path)
    assert (tmp_path / MARKER).read_text() == content


def test_a_marker_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text('{"made_by": "cotwin", "format": 99, "files": []}')
    with pytest.raises(NotOursError, match="format 99"):
        claim_root(tmp_path)


def test_a_directory_with_other_files_is_refused(precious: Path) -> None:
    with pytest.raises(NotOursError, match="Name another directory"):
        claim_root(precious)
    assert untouched(precious)


def test_a_file_is_refused(precious: Path) -> None:
    with pytest.raises(NotOursError, match="no directory"):
        claim_root(precious / "data.npy")
    assert untouched(precious)


@pytest.mark.parametrize("target", ["thesis", "nowhere", "empty"])
def test_a_symbolic_link_is_refused(tmp_path: Path, precious: Path, target: str) -> None:
    (tmp_path / "empty").mkdir()
    link = tmp_path / "cache"
    link.symlink_to(tmp_path / target)
    with pytest.raises(NotOursError, match="a symbolic link"):
        claim_root(link)
    assert untouched(precious)
    assert not list((tmp_path / "empty").iterdir())


def test_links_above_the_root_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    assert claim_root(tmp_path / "home" / "cache") == (tmp_path / "disk" / "cache").resolve()


def test_remove_deletes_what_was_claimed(root: Path) -> None:
    path = claim(root / "set", root, files=("data.npy", "manifest.json"))
    (path / "data.npy").touch()
    remove(path, root)
    assert [entry.name for entry in root.iterdir()] == [MARKER]


def test_remove_spares_what_others_put_there(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = claim(root / "set", root, files=("data.npy",))
    (path / "data.npy").touch()
    (path / "notes.txt").write_text("mine")
    with caplog.at_level(logging.WARNING):
        remove(path, root)
    assert sorted(entry.name for entry in path.iterdir()) == [MARKER, "notes.txt"]
    assert "did not make notes.txt" in caplog.text
    (path / "notes.txt").unlink()
    remove(path, root)
    assert not path.exists()


def test_remove_refuses_what_carries_no_marker(root: Path) -> None:
    foreign = root / "thesis"
    foreign.mkdir()
    (foreign / "data.npy").write_text("years of work")
    with pytest.raises(NotOursError, match="carries no valid"):
        remove(foreign, root)
    assert untouched(foreign)


def test_remove_refuses_paths_outside_the_root_and_the_root(root: Path, precious: Path) -> None:
    for path in (precious, root, root / ".." / "thesis", Path("/")):
        with pytest.raises(NotOursError, match="not inside the cache root"):
            remove(path, root)
    assert untouched(precious)


def test_remove_refuses_an_unclaimed_root(tmp_path: Path, root: Path) -> None:
    path = claim(root / "set", root)
    (root / MARKER).unlink()
    with pytest.raises(NotOursError, match="carries no valid"):
        remove(path, root)
    assert path.exists()


def test_links_inside_the_root_are_not_followed(root: Path, tmp_path: Path) -> None:
    other = claim_root(tmp_path / "other")
    kept = claim(other / "set", other, files=("data.npy",))
    (kept / "data.npy").touch()
    (root / "link").symlink_to(kept)
    (root / "shelf").symlink_to(other)
    for path in (root / "link", root / "shelf" / "set"):
        with pytest.raises(NotOursError, match="a symbolic link"):
            remove(path, root)
    with pytest.raises(NotOursError, match="a symbolic link"):
        claim(root / "shelf" / "new", root)
    assert (kept / "data.npy").exists()


def test_a_root_replaced_by_a_link_is_refused(root: Path, precious: Path) -> None:
    path = claim(root / "set", root)
    root.rename(root.with_name("moved"))
    root.symlink_to(precious)
    for act in (remove, claim):
        with pytest.raises(NotOursError, match="a symbolic link"):
            act(path, root)
    assert untouched(precious)


def test_a_link_among_the_files_is_removed_not_followed(root: Path, precious: Path) -> None:
    path = claim(root / "set", root, files=("data.npy",))
    (path / "data.npy").symlink_to(precious / "data.npy")
    remove(path, root)
    assert not path.exists()
    assert untouched(precious)


@pytest.mark.parametrize("name", ["../thesis/data.npy", "/etc/passwd", "..", MARKER])
def test_a_forged_marker_does_not_reach_outside(root: Path, precious: Path, name: str) -> None:
    path = claim(root / "set", root)
    (path / MARKER).write_text(json.dumps({"made_by": "cotwin", "format": 1, "files": [name]}))
    with pytest.raises(NotOursError, match="carries no valid"):
        remove(path, root)
    assert untouched(precious)


def test_a_full_disk_leaves_no_unmarked_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        claim(root / "set", root)
    assert not (root / "set").exists()
