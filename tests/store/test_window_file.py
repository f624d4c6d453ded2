"""Windows in a file without a name: read exactly, by threads and helper processes, and gone with the last of them."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from children import CONTEXT
from torch.utils.data import DataLoader

from cotwin.folder import PART, Folder
from cotwin.store.root import MARKER
from cotwin.store.window_file import WindowFile
from cotwin.windows import Source, StoredWindows

ROWS = torch.randn(10, 4, 2, 5, generator=torch.Generator().manual_seed(0))


CANNOT = "name removed at the end"


@pytest.fixture(params=["without a name", "name removed at once", CANNOT])
def folder(root: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """As file systems differ."""
    opened, remove = Folder.open, Folder.remove

    def open_(self: Folder, name: str, flags: int = os.O_RDONLY) -> Any:
        if name == "." and request.param != "without a name":
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return opened(self, name, flags)

    def remove_(self: Folder, name: str) -> None:
        if request.param == CANNOT and any(
            path.readlink().name == name for path in Path("/proc/self/fd").iterdir() if path.is_symlink()
        ):
            raise OSError(errno.EBUSY, "Device or resource busy")
        remove(self, name)

    monkeypatch.setattr(Folder, "open", open_)
    monkeypatch.setattr(Folder, "remove", remove_)
    with Folder(root) as found:
        yield found
        assert found.names() == [MARKER], "nothing is left"


@pytest.fixture
def file(folder: Folder) -> Iterator[WindowFile]:
    with WindowFile.made(folder, tuple(ROWS.shape), ROWS.dtype) as made:
        for first, part in enumerate(ROWS.split(3)):
            made.put(3 * first, part)
        made.sync()
        yield made


def test_a_disk_that_keeps_names_of_open_files_says_so(
    folder: Folder, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    with WindowFile.made(folder, (2, 3), torch.float32):
        assert ("is removed at the end" in caplog.text) == (CANNOT in request.node.name)
        assert folder.sweep() == [], "another run spares it"


def test_it_is_a_source_that_fills_rows_of_a_batch(file: WindowFile, folder: Folder) -> None:
    assert isinstance(file, Source)
    states = torch.zeros(4, 4, 2, 5)
    file.write([9, 0], states, [3, 1])
    assert torch.equal(states[[3, 1]], ROWS[[9, 0]])
    assert not states[[0, 2]].any()
    for index in (-1, 10, 2**40):
        with pytest.raises(IndexError, match="of 10"):
            file.write([index], states, [0])
    assert [name for name in folder.names() if name != MARKER and not PART.fullmatch(name)] == []


def test_what_does_not_fit_is_refused(file: WindowFile) -> None:
    for first, rows in ((8, ROWS[:3]), (0, ROWS.double()), (0, ROWS[:, :1])):
        with pytest.raises(ValueError, match="do not fit"):
            file.put(first, rows)
    for states in (torch.zeros(1, 4, 2, 6), torch.zeros(1, 4, 2, 5, dtype=torch.float64)):
        with pytest.raises(ValueError, match="cannot take"):
            file.write([0], states, [0])


def test_an_error_leaves_nothing_and_a_closed_file_is_not_read(folder: Folder) -> None:
    with pytest.raises(KeyboardInterrupt), WindowFile.made(folder, (2, 3), torch.float32) as file:
        raise KeyboardInterrupt
    assert folder.names() == [MARKER]
    with pytest.raises(ValueError, match="closed"):
        file.write([0], torch.zeros(1, 3), [0])


def test_a_file_cut_while_open_is_noticed(file: WindowFile) -> None:
    os.truncate(file.file.fileno(), 500)
    with pytest.raises(OSError, match="end at byte"):
        file.write([9], torch.zeros(1, 4, 2, 5), [0])


def read_all(windows: StoredWindows, answer: Any) -> None:
    answer.put(torch.equal(windows.__getitems__(range(10)).states, ROWS))


@pytest.mark.parametrize("how", ["fork", "forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def test_helper_processes_get_the_open_file(file: WindowFile, how: str) -> None:
    context = CONTEXT if how == "forkserver" else multiprocessing.get_context(how)
    answer = context.Queue()
    process = context.Process(target=read_all, args=(StoredWindows(file), answer))
    process.start()
    assert answer.get(timeout=60)
    process.join()


def test_workers_of_a_data_loader_read_it(file: WindowFile) -> None:
    loader = DataLoader(
        StoredWindows(file),
        batch_size=4,
        collate_fn=lambda batch: batch,
        num_workers=2,
        multiprocessing_context="fork",
    )
    assert torch.equal(torch.cat([batch.states for batch in loader]), ROWS)


def test_threads_may_share_a_file(file: WindowFile) -> None:
    wrong: list[int] = []

    def read_often(shift: int) -> None:
        states = torch.empty(10, 4, 2, 5)
        for turn in range(200):
            order = torch.arange(10).roll(shift + turn)
            file.write(order.tolist(), states, range(10))
            if not torch.equal(states, ROWS[order]):
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
    file: WindowFile, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    asked: list[int] = []

    def not_cached(*arguments: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "would have to wait")

    monkeypatch.setattr(os, "posix_fadvise", lambda number, position, length, advice: asked.append(position))
    if not cached:
        monkeypatch.setattr(os, "preadv", not_cached)
    file.will_read([7, 2, 9])
    assert asked == ([] if cached else [row * file.row_bytes for row in (7, 2, 9)])
