"""A stored array is there whole, or not at all, and says when it is damaged."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cotwin.store.array_file import ArrayFile, DamagedArrayError, npy_header
from cotwin.store.array_writer import write_array
from cotwin.store.lock import LOCK
from cotwin.store.ownership import MARKER
from cotwin.windows import Source

ROWS = torch.randn(10, 4, 2, 5, generator=torch.Generator().manual_seed(0))


def stored(path: Path, root: Path, rows: Tensor = ROWS, chunk: int = 3) -> Path:
    with write_array(path, root, tuple(rows.shape), {"teacher": "nobody"}, dtype=rows.dtype) as writer:
        for part in rows.split(chunk):
            writer.append(part)
    return path


def flip(path: Path, position: int, bits: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= bits
    path.write_bytes(content)


def test_numpy_opens_it(root: Path) -> None:
    path = stored(root / "set", root)
    assert np.array_equal(np.load(path / "data.npy", allow_pickle=False), ROWS.numpy())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    chunk=st.integers(1, 6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    data=st.data(),
)
def test_reads_what_was_written(
    root: Path, shape: tuple[int, ...], chunk: int, dtype: torch.dtype, data: st.DataObject
) -> None:
    rows = torch.randn(shape, dtype=dtype)
    path = root / f"set-{len(list(root.iterdir()))}"
    indices = torch.tensor(data.draw(st.lists(st.integers(0, shape[0] - 1), max_size=8)), dtype=torch.long)
    with ArrayFile(stored(path, root, rows, chunk)) as file:
        assert torch.equal(file.read(indices), rows[indices])
        file.verify()


def test_manifest_says_what_is_there(root: Path) -> None:
    path = stored(root / "set", root)
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["shape"] == [10, 4, 2, 5]
    assert manifest["dtype"] == "float32"
    assert manifest["file_bytes"] == (path / "data.npy").stat().st_size
    assert [chunk["rows"] for chunk in manifest["chunks"]] == [3, 3, 3, 1]
    assert manifest["meta"] == {"teacher": "nobody"}


def test_is_a_source_that_fills_rows_of_a_batch(root: Path) -> None:
    with ArrayFile(stored(root / "set", root)) as file:
        assert isinstance(file, Source)
        states = torch.zeros(4, 4, 2, 5)
        file.write([9, 0], states, [3, 1])
    assert torch.equal(states[[3, 1]], ROWS[[9, 0]])
    assert not states[[0, 2]].any()


@pytest.mark.parametrize("index", [-1, 10, 2**40])
def test_reads_within_bounds_only(root: Path, index: int) -> None:
    with ArrayFile(stored(root / "set", root)) as file, pytest.raises(IndexError, match="which has 10"):
        file.read([0, index])


def test_threads_may_share_a_file(root: Path) -> None:
    order = torch.arange(10)
    wrong: list[int] = []
    with ArrayFile(stored(root / "set", root)) as file:

        def read_often(shift: int) -> None:
            for turn in range(200):
                rows = order.roll(shift + turn)
                if not torch.equal(file.read(rows), ROWS[rows]):
                    wrong.append(turn)

        threads = [threading.Thread(target=read_often, args=(shift,)) for shift in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are not told what will be read")
@pytest.mark.parametrize("cached", [True, False])
def test_the_kernel_is_asked_only_for_what_it_does_not_have(
    root: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    asked: list[int] = []

    def not_cached(*arguments: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "would have to wait")

    with ArrayFile(stored(root / "set", root)) as file:
        monkeypatch.setattr(os, "posix_fadvise", lambda number, position, length, advice: asked.append(position))
        if not cached:
            monkeypatch.setattr(os, "preadv", not_cached)
        file.will_read([7, 2, 9])
        first, row_bytes = file.manifest.offset, file.manifest.row_bytes
    assert asked == ([] if cached else [first + row * row_bytes for row in (7, 2, 9)])


def test_nothing_is_visible_before_the_end(root: Path) -> None:
    path = root / "set"
    with write_array(path, root, (2, 3)) as writer:
        writer.append(torch.zeros(1, 3))
        assert not path.exists()
        (staged,) = [entry for entry in root.iterdir() if entry.name not in (MARKER, LOCK)]
        with pytest.raises(DamagedArrayError, match=r"manifest\.json is missing"):
            ArrayFile(staged)
        writer.append(torch.zeros(1, 3))
    assert [entry.name for entry in sorted(root.iterdir())] == [MARKER, LOCK, "set"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_abandoned_array_leaves_nothing(root: Path, error: type[BaseException]) -> None:
    def begin() -> None:
        with write_array(root / "set", root, (2, 3)) as writer:
            writer.append(torch.zeros(1, 3))
            raise error

    with pytest.raises(error):
        begin()
    assert {entry.name for entry in root.iterdir()} <= {MARKER, LOCK}


def test_too_few_too_many_or_misfit_rows_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="1 rows were written of 2"), write_array(root / "a", root, (2, 3)) as w:
        w.append(torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"0 \+ 3 rows"), write_array(root / "a", root, (2, 3)) as w:
        w.append(torch.zeros(3, 3))
    with pytest.raises(ValueError, match="do not fit"), write_array(root / "a", root, (2, 3)) as w:
        w.append(torch.zeros(2, 3, dtype=torch.float64))
    assert {entry.name for entry in root.iterdir()} <= {MARKER, LOCK}


def test_everything_is_on_the_disk_before_the_array_has_its_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut cannot take back: each file's content, the names in the directory, then the new name."""
    happened: list[str] = []
    sync, rename = os.fsync, os.rename

    def watched_sync(file: int) -> None:
        happened.append(Path(f"/proc/self/fd/{file}").readlink().name)
        sync(file)

    def watched_rename(old: str, new: str, **directories: int) -> None:
        happened.append(f"{old} is {new}")
        rename(old, new, **directories)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(os, "rename", watched_rename)
    stored(root / "set", root)
    staged = happened[3]
    assert happened == [MARKER, "data.npy", "manifest.json", staged, f"{staged} is set", root.name]


def test_an_array_is_never_overwritten(root: Path) -> None:
    path = stored(root / "set", root)
    with pytest.raises(FileExistsError, match="never overwritten"):
        stored(path, root)


@pytest.mark.parametrize("row", [0, 4, 9])
def test_a_flipped_bit_is_found_and_named(root: Path, row: int) -> None:
    path = stored(root / "set", root)
    flip(path / "data.npy", -(10 - row) * ROWS[0].numel() * 4)
    with ArrayFile(path) as file, pytest.raises(DamagedArrayError, match=rf"chunk {row // 3} \(rows"):
        file.verify()


def test_no_flipped_byte_of_header_or_manifest_goes_unnoticed(root: Path) -> None:
    path = stored(root / "set", root)
    with ArrayFile(path) as file:
        offset, manifest = file.manifest.offset, file.manifest
    for name, count in (("data.npy", offset), ("manifest.json", (path / "manifest.json").stat().st_size)):
        for position in range(count):
            for bits in (0x01, 0x10, 0xFF):
                flip(path / name, position, bits)
                # A blank may turn into another one; nothing else may be read.
                with suppress(DamagedArrayError), ArrayFile(path) as file:
                    assert name == "manifest.json"
                    assert file.manifest == manifest
                flip(path / name, position, bits)


@pytest.mark.parametrize("shape", [(1,), (7, 3), (10**12, 2, 5), (2, *[3] * 40)])
def test_header_is_numpys(shape: tuple[int, ...]) -> None:
    header = io.BytesIO(npy_header(shape))
    assert np.lib.format.read_magic(header) == (1, 0)
    assert np.lib.format.read_array_header_1_0(header) == (shape, False, np.dtype("<f4"))
    assert header.tell() % 64 == 0
    assert not header.read()


def test_a_truncated_file_is_refused(root: Path) -> None:
    path = stored(root / "set", root)
    with (path / "data.npy").open("r+b") as data:
        data.truncate(500)
    with pytest.raises(DamagedArrayError, match="has 500 bytes instead of"):
        ArrayFile(path)


def test_a_file_cut_while_open_is_noticed(root: Path) -> None:
    path = stored(root / "set", root)
    with ArrayFile(path) as file:
        with (path / "data.npy").open("r+b") as data:
            data.truncate(500)
        with pytest.raises(DamagedArrayError, match="ends at byte"):
            file.read([9])


@pytest.mark.parametrize(
    ("name", "position"), [("data.npy", 0), ("data.npy", 22), ("data.npy", 62), ("manifest.json", 0)]
)
def test_a_damaged_header_or_manifest_is_refused(root: Path, name: str, position: int) -> None:
    path = stored(root / "set", root)
    flip(path / name, position)
    with pytest.raises(DamagedArrayError, match="make"):
        ArrayFile(path)


@pytest.mark.parametrize("name", ["data.npy", "manifest.json"])
def test_a_missing_part_is_named(root: Path, name: str) -> None:
    path = stored(root / "set", root)
    (path / name).unlink()
    with pytest.raises(DamagedArrayError, match=f"{name} is missing"):
        ArrayFile(path)


def test_a_closed_file_is_not_read(root: Path) -> None:
    file = ArrayFile(stored(root / "set", root))
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read([0])
