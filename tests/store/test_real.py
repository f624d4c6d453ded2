"""A user's file is converted once, whatever it is called, and what comes back is what reading it gave."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cotwin.data.read import open_trajectories
from cotwin.data.trajectories import Trajectories
from cotwin.data.writing.write import write_trajectories
from cotwin.mapped import place_of
from cotwin.store import hashes, real
from cotwin.store.hashes import content_hash
from cotwin.store.real import read_once
from cotwin.store.room import MemoryOrDisk
from cotwin.store.shelf import Shelf, strangers


@pytest.fixture
def shelf(root: Path) -> Shelf:
    return Shelf(root, "real")


def measured(path: Path, gaps: int = 5) -> Path:
    """Two trajectories of three frames on 8 × 6 cells, some values not observed."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=(2, 3, 8, 6))
    u[:, 1:].flat[rng.choice(u[:, 1:].size, gaps, replace=False)] = np.nan
    x, y = np.linspace(0.5, 7.5, 8), np.linspace(0.5, 5.5, 6)
    np.savez(path, u=u, x=x, y=y, t=np.arange(3.0), boundary="neumann", viscosity=np.float64(0.1))
    return path


def same(one: Trajectories, other: Trajectories) -> bool:
    assert (one.layout, one.source, one.notes) == (other.layout, other.source, other.notes)
    assert one.given.names == other.given.names
    assert all(torch.equal(value, other.given.conditions[name]) for name, value in one.given.conditions.items())
    assert (one.mask is None) == (other.mask is None)
    assert one.mask is None or other.mask is None or torch.equal(one.mask, other.mask)
    return torch.equal(one.states, other.states)


def unreadable(*_: object, **__: object) -> Trajectories:
    raise AssertionError("the file was converted again")


@pytest.mark.parametrize("gaps", [0, 5])
def test_a_file_is_converted_once(tmp_path: Path, shelf: Shelf, gaps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = measured(tmp_path / "mine.npz", gaps)
    expected = open_trajectories(path, missing="mask")
    assert (expected.mask is None) == (gaps == 0)
    assert same(read_once(path, shelf, missing="mask"), expected)
    monkeypatch.setattr(real, "open_trajectories", unreadable)
    assert same(read_once(path, shelf, missing="mask"), expected)
    # Known by its content, not by its name.
    renamed = Path(shutil.copy(path, tmp_path / "again.npz"))
    assert torch.equal(read_once(renamed, shelf, missing="mask").states, expected.states)
    assert read_once(renamed, shelf, missing="mask").source == str(renamed)


def test_a_store_is_converted_once_too(tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zarr")
    path = tmp_path / "mine.zarr"
    write_trajectories(path, open_trajectories(measured(tmp_path / "mine.npz"), missing="mask"))
    expected = open_trajectories(path)
    assert same(read_once(path, shelf), expected)
    with monkeypatch.context() as patched:
        patched.setattr(real, "open_trajectories", unreadable)
        assert same(read_once(path, shelf), expected)
        with (path / "u" / "c" / "0" / "0" / "0" / "0").open("ab") as file:
            file.write(b"more")
        with pytest.raises(AssertionError, match="converted again"):
            read_once(path, shelf)


def test_a_large_folder_is_hashed_again_when_a_file_in_it_changed(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    (folder / "u").mkdir(parents=True)
    (folder / "u" / "0").write_bytes(b"1" * 1000)
    monkeypatch.setattr(hashes, "LARGE", 1000)
    monkeypatch.setattr(hashes, "SETTLED", -1)
    first = content_hash(folder, root)
    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "file_digest", unreadable)
        assert content_hash(folder, root) == first
    (folder / "u" / "1").write_bytes(b"")
    second = content_hash(folder, root)
    (folder / "u" / "1").rename(folder / "1")
    assert len({first, second, content_hash(folder, root)}) == 3


def test_other_content_or_other_options_are_read_anew(tmp_path: Path, shelf: Shelf) -> None:
    path = measured(tmp_path / "mine.npz", gaps=0)
    content = dict(np.load(path))
    del content["boundary"]
    np.savez(path, **content)
    first = read_once(path, shelf, boundary="neumann")
    assert read_once(path, shelf, boundary="dirichlet").layout.boundary == ("dirichlet", "dirichlet")
    content["u"] = content["u"] + 1.0
    np.savez(path, **content)
    again = read_once(path, shelf, boundary="neumann")
    torch.testing.assert_close(again.states, first.states + 1.0)
    assert len(shelf.entries()) == 3


def test_without_a_shelf_nothing_is_kept(tmp_path: Path) -> None:
    path = measured(tmp_path / "mine.npz", gaps=0)
    assert same(read_once(path, None), open_trajectories(path))


def test_what_takes_from_other_files_is_read_each_time(
    tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = measured(tmp_path / "mine.npz", gaps=0)
    monkeypatch.setattr(real, "is_self_contained", lambda path: False)
    assert same(read_once(path, shelf), open_trajectories(path))
    assert not shelf.entries()


@pytest.mark.parametrize("gaps", [0, 5])
def test_what_is_too_large_for_memory_is_mapped_from_the_shelf(
    tmp_path: Path, shelf: Shelf, gaps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, room = measured(tmp_path / "mine.npz", gaps), MemoryOrDisk(shelf.root, 100)
    monkeypatch.setattr("cotwin.pieces.AT_ONCE", 200)
    expected = open_trajectories(path, missing="mask")
    first = read_once(path, shelf, room, 100, missing="mask")
    monkeypatch.setattr(real, "open_trajectories", unreadable)
    for found in (first, read_once(path, shelf, room, 100, missing="mask")):
        assert found.in_file
        assert same(found, expected)
        place = place_of(found.states)
        assert place is not None
        (entry,) = shelf.entries()
        assert os.fstat(place.file.fileno()).st_size == entry.num_bytes
    # The shelf may be emptied: who reads it goes on.
    shelf.clear()
    assert same(found, expected)
    assert sorted(one.name for one in shelf.root.iterdir()) == [".cotwin.json", "real"]


def test_what_no_disk_takes_is_refused_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = measured(tmp_path / "mine.npz", gaps=0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ValueError, match=r"does not take it \(No space left on device\).*store.cache_dir"):
        read_once(path, None, MemoryOrDisk(tmp_path / "cache", 100), 100)


def test_a_file_is_hashed_again_when_anything_says_that_it_changed(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, hashed = tmp_path / "large", []
    path.write_bytes(b"1" * 1000)
    whole = hashlib.file_digest

    def counted(file: BufferedReader, kind: str) -> Any:
        hashed.append(file.name)
        return whole(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    monkeypatch.setattr(hashes, "LARGE", 1000)
    first = content_hash(path, root)
    assert content_hash(path, root) == first
    assert len(hashed) == 2, "changed a moment ago"
    monkeypatch.setattr(hashes, "SETTLED", -1)
    for _ in range(3):
        assert content_hash(path, root) == first
    assert len(hashed) == 3
    before = path.stat()
    path.write_bytes(b"2" * 1000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert content_hash(path, root) != first, "although size, inode and date are the same"
    (root / "hashes.json").write_text("garbage")
    assert content_hash(path, root) != first
    assert len(hashed) == 5
    assert not strangers(root)
