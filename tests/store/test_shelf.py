"""What is kept on a shelf comes back whole and under its own key, or is made again; the disk stops no run."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from children import die_at, finish, run, start
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from cotwin.store.root import MARKER, claim_root
from cotwin.store.shelf import SHELVES, Shelf, strangers, sweep

KEY, OTHER = "0" * 32, "f" * 32
ROWS = torch.randn(10, 4, 2, 5, generator=torch.Generator().manual_seed(0))
META = {"content": "rows", "limits": [0.1, 1e-30]}


@pytest.fixture
def shelf(root: Path) -> Shelf:
    return Shelf(root, "real")


def save(shelf: Shelf, key: str = KEY, rows: Tensor = ROWS) -> Path:
    shelf.save(key, tuple(rows.shape), rows.split(3), META)
    return shelf.path / f"{key}.safetensors"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=5).map(tuple),
    chunk=st.integers(1, 6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    meta=st.dictionaries(st.text(), st.recursive(st.integers() | st.text() | st.floats(allow_nan=False), st.lists)),
)
def test_what_was_saved_comes_back(
    shelf: Shelf, shape: tuple[int, ...], chunk: int, dtype: torch.dtype, meta: dict
) -> None:
    rows = torch.randn(shape, dtype=dtype)
    rows.view(-1)[0] = torch.nan
    shelf.save(KEY, shape, rows.split(chunk), meta)
    states, remembered, mask = shelf.load(KEY)
    assert mask is None
    assert torch.equal(states.nan_to_num(), rows.nan_to_num())
    assert states.dtype == dtype
    assert remembered == meta


def test_others_can_open_it(shelf: Shelf) -> None:
    assert torch.equal(load_file(save(shelf))["states"], ROWS)


def test_it_is_listed_and_removed_by_its_full_name(shelf: Shelf) -> None:
    path = save(shelf)
    theirs = ["thesis.safetensors", f"{KEY}.npy", f"{KEY}.safetensors.old", ".draft.part"]
    for name in theirs:
        (shelf.path / name).write_text("mine")
    (shelf.path / f"{OTHER}.safetensors").mkdir()
    (entry,) = shelf.entries()
    assert (entry.shelf, entry.key, entry.content, entry.num_bytes) == ("real", KEY, "rows", path.stat().st_size)
    assert shelf.clear() == [entry]
    assert sorted(file.name for file in shelf.path.iterdir()) == sorted([*theirs, f"{OTHER}.safetensors"])
    assert {file.name for file in strangers(shelf.root)} == set(theirs)


def test_an_entry_under_anothers_name_is_not_read_as_that_one(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    path = save(shelf)
    shutil.copy(path, path.with_stem(OTHER))
    assert shelf.load(OTHER) is None
    assert f"it holds {KEY}" in caplog.text
    save(shelf, OTHER, ROWS + 1)
    assert torch.equal(shelf.load(OTHER)[0], ROWS + 1)
    assert torch.equal(shelf.load(KEY)[0], ROWS)


def test_no_flipped_bit_goes_unnoticed(root: Path) -> None:
    shelf = Shelf(root, "real")
    path = save(shelf, rows=ROWS[:2, :1])
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bits in (0x01, 0x10, 0xFF):
            flipped = bytearray(whole)
            flipped[position] ^= bits
            path.write_bytes(flipped)
            assert shelf.load(KEY) is None, position


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut in the length": lambda whole: whole[:4],
    "cut in the header": lambda whole: whole[:100],
    "cut in the rows": lambda whole: whole[:-7],
    "too long": lambda whole: whole + b"\0",
    "zeros after a loss of power": lambda whole: bytes(len(whole)),
    "a header of terabytes": lambda whole: b"\xff" * 8 + whole,
    "nested": lambda whole: (10**5).to_bytes(8, "little") + b"[" * 10**5,
    "somebody else's": lambda whole: (2).to_bytes(8, "little") + b"{}",
    "no dictionary": lambda whole: (2).to_bytes(8, "little") + b"[]",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_made_good(shelf: Shelf, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = save(shelf)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert shelf.load(KEY) is None
    assert f"{path} is not used and will be made again" in caplog.text
    assert [entry.key for entry in shelf.entries()] == [KEY]
    save(shelf)
    assert torch.equal(shelf.load(KEY)[0], ROWS)


def test_rows_that_do_not_fit_are_refused_and_leave_nothing(shelf: Shelf) -> None:
    for rows, message in (
        ([ROWS[:9]], "9 rows were given of 10"),
        ([ROWS, ROWS], "is no part of"),
        ([ROWS[:9], ROWS[9:].double()], "is no part of"),
        ([ROWS[:, :1]], "is no part of"),
    ):
        with pytest.raises(ValueError, match=message):
            shelf.save(KEY, (10, 4, 2, 5), rows, {})
    with pytest.raises(ValueError, match="no key"):
        shelf.load("../thesis")
    assert not list(shelf.path.iterdir())


# --- what may go wrong around it


def test_a_damaged_marker_costs_nothing(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    save(shelf)
    (shelf.root / MARKER).write_text("garbage")
    assert shelf.load(KEY) is None
    save(shelf)
    assert "is not kept on disk" in caplog.text


def test_a_cache_that_somebody_deletes_costs_nothing(shelf: Shelf) -> None:
    save(shelf)
    shutil.rmtree(shelf.root)
    assert shelf.load(KEY) is None
    save(shelf)
    assert shelf.load(KEY) is not None


def test_without_a_file_descriptor_left_the_work_goes_on(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    save(shelf)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 5, hard))
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        # However many are left: none, one for the root, one more for the shelf …
        while taken:
            shelf.load(KEY)
            save(shelf)
            os.close(taken.pop())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for file in taken:
            os.close(file)
    assert "Too many open files" in caplog.text
    assert torch.equal(shelf.load(KEY)[0], ROWS)


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "fsync", "rename"])
def test_a_disk_that_refuses_leaves_what_was_there(
    shelf: Shelf, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save(shelf)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        save(shelf, KEY, ROWS + 1)
    assert "is not kept on disk: [Errno 28] No space left on device" in caplog.text
    assert torch.equal(shelf.load(KEY)[0], ROWS)
    assert [file.name for file in shelf.path.iterdir()] == [f"{KEY}.safetensors"]


@pytest.mark.parametrize("what", ["root", "shelf", "entry", "part"])
def test_links_are_not_followed(shelf: Shelf, precious: Path, what: str) -> None:
    entry = save(shelf)
    part = shelf.path / f".{'1' * 32}.part"
    here, there = {
        "root": (shelf.root, precious),
        "shelf": (shelf.path, precious),
        "entry": (entry, precious / f"{KEY}.safetensors"),
        "part": (part, precious / f".{'0' * 32}.part"),
    }[what]
    if here.exists():
        here.rename(here.with_name("moved"))
    here.symlink_to(there)
    assert (shelf.load(KEY) is None) == (what != "part")
    save(shelf)
    if what in ("entry", "part"):
        assert torch.equal(shelf.load(KEY)[0], ROWS)
        shelf.clear()
        sweep(shelf.root)
    else:
        with pytest.raises(PermissionError, match="a symbolic link"):
            shelf.clear()


# --- several processes, and kills


def save_and_die(root: Path, call: int, report: Path | None = None) -> None:
    calls = die_at(root, call)
    save(Shelf(claim_root(root), "real"))
    if report is not None:
        report.write_text(str(calls()))


@pytest.mark.slow
def test_a_kill_at_any_system_call_leaves_it_whole_or_not_there(swift_path: Path) -> None:
    run(save_and_die, swift_path / "undisturbed", -1, swift_path / "calls")
    calls = int((swift_path / "calls").read_text())
    assert calls > 8
    for call in range(calls):
        root = swift_path / str(call)
        finish(start(save_and_die, root, call), -signal.SIGKILL)
        shelf = Shelf(claim_root(root), "real")
        found = shelf.load(KEY)
        assert found is None or torch.equal(found[0], ROWS)
        # The next one to save anything sweeps.
        save(shelf, OTHER)
        assert {file.name for file in shelf.path.iterdir()} <= {f"{KEY}.safetensors", f"{OTHER}.safetensors"}
        assert {file.name for file in root.iterdir()} <= {MARKER, *SHELVES}


def save_often(root: Path, seed: int) -> None:
    shelf = Shelf(claim_root(root), "real")
    for number in range(30):
        key = f"{(seed + number) % 3:032x}"
        save(shelf, key, ROWS * (int(key) + 1))
        found = shelf.load(key)
        assert found is not None
        assert torch.equal(found[0], ROWS * (int(key) + 1))


def test_many_save_and_read_the_same_at_once(tmp_path: Path) -> None:
    processes = [start(save_often, tmp_path / "cache", seed) for seed in range(3)]
    for process in processes:
        finish(process)
    assert sweep(tmp_path / "cache") == 0
    assert len(Shelf(tmp_path / "cache", "real").entries()) == 3


def test_what_is_being_written_is_not_swept(shelf: Shelf) -> None:
    def rows() -> Iterator[Tensor]:
        yield ROWS[:5]
        assert sweep(shelf.root) == 0
        yield ROWS[5:]

    shelf.save(KEY, tuple(ROWS.shape), rows(), {})
    assert shelf.load(KEY) is not None
