"""Damage to a set is found, named and made good."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from victims import (
    COUNT,
    HEADER,
    MB,
    assert_close,
    expected,
    leftovers,
    set_below,
    store,
    windows,
)

from cotwin.store.lock import LOCK
from cotwin.store.ownership import MARKER
from cotwin.store.store import Store
from cotwin.windows import StoredWindows


def flipped(name: str, position: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray((path / name).read_bytes())
        content[position] ^= 0x10
        (path / name).write_bytes(content)

    return damage


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path / name, size)


def missing(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def garbage(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        (path / "manifest.json").write_bytes(content)

    return damage


DAMAGES = {
    "flipped: magic": ("data.npy", flipped("data.npy", 1)),
    "flipped: header": ("data.npy", flipped("data.npy", 40)),
    "flipped: padding of the header": ("data.npy", flipped("data.npy", HEADER - 4)),
    "flipped: first chunk": ("data.npy", flipped("data.npy", HEADER)),
    "flipped: middle": ("data.npy", flipped("data.npy", HEADER + COUNT // 2 * 512)),
    "flipped: last chunk": ("data.npy", flipped("data.npy", -1)),
    "flipped: manifest's start": ("manifest.json", flipped("manifest.json", 0)),
    "flipped: manifest's end": ("manifest.json", flipped("manifest.json", -2)),
    "cut: empty": ("data.npy", cut("data.npy", 0)),
    "cut: in the header": ("data.npy", cut("data.npy", HEADER // 2)),
    "cut: in the rows": ("data.npy", cut("data.npy", 2000)),
    "too long": ("data.npy", cut("data.npy", HEADER + COUNT * 512 + 1)),
    "cut: manifest": ("manifest.json", cut("manifest.json", 200)),
    "missing: data": ("data.npy", missing("data.npy")),
    "missing: manifest": ("manifest.json", missing("manifest.json")),
    "garbage: nothing": ("manifest.json", garbage(b"")),
    "garbage: bytes": ("manifest.json", garbage(b"\xff\xfe\x00garbage")),
    "garbage: list": ("manifest.json", garbage(b"[1, 2]")),
    "garbage: other keys": ("manifest.json", garbage(b'{"shape": [1]}')),
    "garbage: nested": ("manifest.json", garbage(b"[" * 100_000)),
    "garbage: someone else's file": ("manifest.json", garbage(b'{"name": "app", "start_url": "/"}')),
}


def test_a_whole_set_of_a_dead_process_is_used(
    left: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "_fill_file", None)
    with caplog.at_level(logging.INFO), store(left).keep(windows()) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    assert "is whole and of the same teacher and starts" in caplog.text
    assert leftovers(left) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_named_and_made_good(left: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    name, do = DAMAGES[damage]
    path = set_below(left)
    do(path)
    kept_store = store(left)
    with kept_store.keep(windows()) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
        assert kept.choice.placement == "cache"
        assert isinstance(kept.windows, StoredWindows)
        kept.windows.source.verify()  # type: ignore[attr-defined]
    assert str(path / name) in caplog.text
    assert leftovers(left) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_swept_all_the_same(left: Path, damage: str) -> None:
    DAMAGES[damage][1](set_below(left))
    with store(left).keep(windows(seed=1)):
        assert len(list((left / "generated").glob("*/data.npy"))) == 1
    assert leftovers(left) == []


def test_a_sound_set_without_a_maker_is_used(left: Path) -> None:
    (set_below(left) / LOCK).unlink()
    with store(left).keep(windows()) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    assert leftovers(left) == []


def test_damage_to_a_set_in_use_does_not_spread(tmp_path: Path) -> None:
    """With `verify` a set of this very process is compared too, and made again beside the one in use."""
    root = tmp_path / "cache"
    with store(root).keep(windows()) as outer:
        flipped("data.npy", -1)(set_below(root))
        with Store(root, 10 * MB, 10 * MB, "cache", 3 * 512, verify=True).keep(windows()) as inner:
            assert torch.equal(inner.windows.__getitems__(range(COUNT)).states, expected())
            assert torch.equal(outer.windows.__getitems__(range(COUNT - 1)).states, expected()[:-1])
    assert leftovers(root) == []


def test_what_somebody_put_into_a_set_stays_and_is_in_nobodys_way(
    left: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = set_below(left)
    (path / "notes.txt").write_text("mine")
    flipped("data.npy", -1)(path)
    with store(left).keep(windows()) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    (notes,) = (left / "generated").glob("*/notes.txt")
    assert notes.read_text() == "mine"
    assert sorted(entry.name for entry in notes.parent.iterdir()) == [MARKER, "notes.txt"]
    assert "did not make notes.txt" in caplog.text


def test_a_disk_that_keeps_nothing_is_not_tried_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite

    def corrupting(file: int, content: bytes, offset: int) -> int:
        return write(file, bytes(len(content)), offset) if len(content) > HEADER else write(file, content, offset)

    monkeypatch.setattr(os, "pwrite", corrupting)
    kept = Store(tmp_path / "cache", 10 * MB, 10 * MB, "cache", 3 * 512, verify=True).keep(windows())
    with pytest.raises(OSError, match="does not keep what is written"), kept:
        pass
    assert leftovers(tmp_path / "cache") == []


def test_a_cache_that_somebody_deletes_costs_nothing(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    kept_store = store(root)
    with kept_store.keep(windows()) as kept:
        shutil.rmtree(root)
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    with kept_store.keep(windows()) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    assert leftovers(root) == []


def test_without_locks_there_is_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    kept_store = store(tmp_path / "cache")
    with kept_store.keep(windows()) as kept:
        assert_close(kept.windows.__getitems__(range(COUNT)).states, expected())
    assert kept.choice.placement == "on_the_fly"
    assert f"{tmp_path / 'cache'} has no locks; name a cache_dir on another" in caplog.text
