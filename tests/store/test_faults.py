"""Full disks, damaged files, missing rights, teachers that fail: the windows are right or the fault is said."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from children import finish, run, start
from torch import Tensor
from victims import (
    COUNT,
    MB,
    Swirl,
    assert_close,
    expected,
    find_no_place,
    keep_and_die,
    leftovers,
    lose_rights,
    lose_rights_meanwhile,
    store,
    windows,
    without_rights,
)

from cotwin.stepper import DivergenceError
from cotwin.store.lock import LOCK
from cotwin.store.ownership import MARKER, claim_root
from cotwin.store.placement import Placement
from cotwin.store.prefetch import serve
from cotwin.store.store import Store
from cotwin.windows import StoredWindows


def set_below(root: Path) -> Path:
    (path,) = (path for path in (root / "generated").iterdir() if path.name != MARKER)
    return path


# --- a full disk


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts small disks, with options of tmpfs."""
    mounted: list[Path] = []

    def small(options: str) -> Path:
        disk = tmp_path / f"disk-{len(mounted)}"
        disk.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], capture_output=True)
        if done.returncode != 0:
            pytest.skip("mounting is not allowed; test_store.py has RLIMIT_FSIZE instead")
        mounted.append(disk)
        return disk

    yield small
    for disk in mounted:
        subprocess.run(["umount", disk], check=True)


def unsupported(*_: object) -> None:
    raise OSError(errno.EOPNOTSUPP, "not supported")


@pytest.mark.parametrize("reserving", [True, False])
def test_a_full_disk_is_used_again_when_there_is_room(
    mount: Callable[[str], Path],
    reserving: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = mount("size=1m")
    if not reserving:
        monkeypatch.setattr(os, "posix_fallocate", unsupported)
    root, count = disk / "cache", 1000
    (disk / "film.mkv").write_bytes(bytes(700_000))
    kept_store = store(root)
    with kept_store.keep(windows(count)) as kept:
        assert_close(kept.__getitems__(range(count)).states, expected(count))
        assert leftovers(root) == []
    assert "No space left" in caplog.text
    assert "generated as they are read" in caplog.text
    (disk / "film.mkv").unlink()
    with kept_store.keep(windows(count)) as kept:
        assert torch.equal(kept.__getitems__(range(count)).states, expected(count))
    assert [choice.placement for choice in kept_store.choices] == ["on_the_fly", "cache"]
    assert leftovers(root) == []


@pytest.mark.parametrize(("option", "fewest"), [("size=1m,nr_inodes", 1), ("size", 1)])
def test_a_disk_may_be_full_at_any_moment(mount: Callable[[str], Path], option: str, fewest: int) -> None:
    """For every number of files, or of pages of 4 KiB, that still fit."""
    placements = []
    for room in range(fewest, 14):
        root = mount(f"{option}={room if 'inodes' in option else 4096 * room}") / "cache"
        kept_store = store(root)
        with kept_store.keep(windows()) as kept:
            assert_close(kept.__getitems__(range(COUNT)).states, expected())
        placements.append(kept_store.choices[-1].placement)
        assert not root.exists() or leftovers(root) == []
    assert placements == sorted(placements, reverse=True), "on_the_fly until it fits, then cache"
    assert set(placements) == {"on_the_fly", "cache"}


def test_a_disk_that_becomes_read_only_costs_the_cache_and_no_more(
    mount: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    disk = mount("size=1m")
    kept_store = store(disk / "cache")
    for state in ("rw", "ro", "rw"):
        subprocess.run(["mount", "-o", f"remount,{state}", disk], check=True)
        with kept_store.keep(windows()) as kept:
            assert_close(kept.__getitems__(range(COUNT)).states, expected())
    assert [choice.placement for choice in kept_store.choices] == ["cache", "on_the_fly", "cache"]
    assert "Read-only file system" in caplog.text
    assert leftovers(disk / "cache") == []


# --- damage to a set that a killed process left whole


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


HEADER = 128
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


@pytest.fixture(scope="module")
def left_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("left") / "cache"
    finish(start(keep_and_die, root), -signal.SIGKILL)
    assert (set_below(root) / "data.npy").stat().st_size == HEADER + COUNT * 512
    return root


@pytest.fixture
def left(left_whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(left_whole, tmp_path / "cache")


def test_a_whole_set_of_a_dead_process_is_used(
    left: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "_fill_file", None)
    with caplog.at_level(logging.INFO), store(left).keep(windows()) as kept:
        assert torch.equal(kept.__getitems__(range(COUNT)).states, expected())
    assert "is whole and of the same teacher and starts" in caplog.text
    assert leftovers(left) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_named_and_made_good(left: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    name, do = DAMAGES[damage]
    path = set_below(left)
    do(path)
    kept_store = store(left)
    with kept_store.keep(windows()) as kept:
        assert torch.equal(kept.__getitems__(range(COUNT)).states, expected())
        assert kept_store.choices[-1].placement == "cache"
        assert isinstance(kept, StoredWindows)
        kept.source.verify()  # type: ignore[attr-defined]
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
        assert torch.equal(kept.__getitems__(range(COUNT)).states, expected())
    assert leftovers(left) == []


def test_damage_to_a_set_in_use_does_not_spread(tmp_path: Path) -> None:
    """With `verify` a set of this very process is compared too, and made again beside the one in use."""
    root = tmp_path / "cache"
    with store(root).keep(windows()) as outer:
        flipped("data.npy", -1)(set_below(root))
        with Store(root, 10 * MB, 10 * MB, "cache", 3 * 512, verify=True).keep(windows()) as inner:
            assert torch.equal(inner.__getitems__(range(COUNT)).states, expected())
            assert torch.equal(outer.__getitems__(range(COUNT - 1)).states, expected()[:-1])
    assert leftovers(root) == []


def test_what_somebody_put_into_a_set_stays_and_is_in_nobodys_way(
    left: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = set_below(left)
    (path / "notes.txt").write_text("mine")
    flipped("data.npy", -1)(path)
    with store(left).keep(windows()) as kept:
        assert torch.equal(kept.__getitems__(range(COUNT)).states, expected())
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
        assert torch.equal(kept.__getitems__(range(COUNT)).states, expected())
    with kept_store.keep(windows()) as kept:
        assert torch.equal(kept.__getitems__(range(COUNT)).states, expected())
    assert leftovers(root) == []


def test_without_locks_there_is_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    kept_store = store(tmp_path / "cache")
    with kept_store.keep(windows()) as kept:
        assert_close(kept.__getitems__(range(COUNT)).states, expected())
    assert kept_store.choices[-1].placement == "on_the_fly"
    assert f"{tmp_path / 'cache'} has no locks; name a cache_dir on another" in caplog.text


# --- a precious directory in the place of ours


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """Somebody's data, with names like ours."""
    thesis = tmp_path / "thesis"
    for name in ("data.npy", "generated/1/data.npy", f"generated/.staged-{'0' * 32}/data.npy", "chapter/one.tex"):
        (thesis / name).parent.mkdir(parents=True, exist_ok=True)
        (thesis / name).write_text("years of work")
    return thesis


def state_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def replace(path: Path, other: Path) -> None:
    if path.exists():
        path.rename(path.with_name(f"moved-{path.name}"))
    path.symlink_to(other)


@pytest.mark.parametrize("placement", ["memory", "cache", "on_the_fly"])
@pytest.mark.parametrize("what", ["", "generated"])
def test_a_link_in_the_place_of_root_or_shelf_is_not_followed(
    tmp_path: Path, precious: Path, what: str, placement: Placement
) -> None:
    root = tmp_path / "cache"
    kept_store = store(root, placement)
    run(fill_one, root)
    before = state_of(precious)
    replace(root / what if what else root, precious)
    refused = pytest.raises(PermissionError, match="a symbolic link") if placement == "cache" else nullcontext()
    with refused, kept_store.keep(windows()) as kept:
        assert_close(kept.__getitems__(range(COUNT)).states, expected())
    if not what:
        with pytest.raises(PermissionError, match="a symbolic link"):
            store(root, placement)
    assert state_of(precious) == before


def fill_one(root: Path) -> None:
    with store(root).keep(windows()):
        pass


@pytest.mark.parametrize("marked", [False, True])
def test_a_link_in_the_place_of_a_set_is_not_followed(left: Path, precious: Path, marked: bool) -> None:
    if marked:
        claim_root(precious / "empty")
        precious = precious / "empty"
    before = state_of(precious)
    replace(set_below(left), precious)
    with pytest.raises(PermissionError, match="a symbolic link"), store(left).keep(windows()):
        pass
    (left / "generated" / f".staged-{'1' * 32}").symlink_to(precious)
    with store(left, "memory").keep(windows()):
        pass
    assert state_of(precious) == before


@pytest.mark.parametrize(
    ("what", "when"),
    [("root", "filling"), ("shelf", "filling"), ("root", "reading"), ("shelf", "reading"), ("set", "reading")],
)
def test_a_link_put_there_meanwhile_is_not_followed(tmp_path: Path, precious: Path, what: str, when: str) -> None:
    root = tmp_path / "cache"
    before = state_of(precious)

    def put() -> None:
        here = {"root": root, "shelf": root / "generated"}
        replace(here[what] if what in here else set_below(root), precious)

    made = windows(teacher=Interrupted(5, put) if when == "filling" else None)

    def use() -> None:
        with store(root).keep(made) as kept:
            put()
            assert torch.equal(kept.__getitems__(range(COUNT)).states, expected())

    with pytest.raises(OSError, match=r"symbolic link|\.json"):
        use()
    assert state_of(precious) == before


def test_a_link_in_the_place_of_a_file_is_removed_not_followed(left: Path, precious: Path) -> None:
    before = state_of(precious)
    for name in ("data.npy", "manifest.json"):
        (set_below(left) / name).unlink()
        (set_below(left) / name).symlink_to(precious / "data.npy")
    with store(left).keep(windows()) as kept:
        assert torch.equal(kept.__getitems__(range(COUNT)).states, expected())
    assert leftovers(left) == []
    assert state_of(precious) == before


# --- a teacher that fails


class Interrupted(Swirl):
    """Something happens at its so-manyth step."""

    def __init__(self, step: int, happens: Callable[[], None]) -> None:
        super().__init__()
        self.left, self.happens = step, happens

    def forward(self, state: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            self.happens()
        return super().forward(state)


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
            served.extend(serve(kept, [(0, [[row] for row in range(count)])], batch_size=1))

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
            batches = serve(kept, [(0, [[row] for row in range(COUNT)])] * 3, batch_size=1)
            next(batches)
            batches.close()
            assert set(threading.enumerate()) == before
    assert open_files() == files


# --- missing rights


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


def test_rights_that_are_lost_meanwhile_cost_nothing(shared: Path) -> None:
    run(without_rights, lose_rights_meanwhile, shared / "cache")
