"""Several processes under one root: none removes what another uses, and the last one out leaves nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from children import CONTEXT, finish, start
from victims import COUNT, come_and_go, expected, hold, keep_and_die, leftovers, store, windows

from cotwin.store.lock import LOCK, Owner, exclusive, in_use, owner
from cotwin.store.ownership import MARKER, claim, claim_root
from cotwin.store.shelf import Shelf


class Holder:
    """Another process that keeps a set until it is told to leave."""

    def __init__(self, root: Path, seed: int) -> None:
        self.ready, self.leave = CONTEXT.Event(), CONTEXT.Event()
        self.process: ForkServerProcess = start(hold, root, seed, self.ready, self.leave)
        assert self.ready.wait(timeout=60)

    def end(self) -> None:
        self.leave.set()
        finish(self.process)

    def die(self) -> None:
        self.process.kill()
        finish(self.process, -signal.SIGKILL)


@pytest.fixture
def holders() -> Iterator[Any]:
    made: list[Holder] = []

    def make(root: Path, seed: int = 0) -> Holder:
        made.append(Holder(root, seed))
        return made[-1]

    yield make
    for holder in made:
        holder.process.kill()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def sets(root: Path) -> list[Path]:
    return sorted(path for path in (root / "generated").iterdir() if path.name != MARKER)


def test_different_sets_live_side_by_side(root: Path, holders: Any) -> None:
    one, other = holders(root, 0), holders(root, 1)
    assert len(sets(root)) == 2
    one.end()
    assert len(sets(root)) == 1
    store(root).sweep()
    other.end()
    assert leftovers(root) == []


def test_the_last_one_out_removes_a_set_in_common(root: Path, holders: Any) -> None:
    maker, guest = holders(root), holders(root)
    assert len(sets(root)) == 1
    maker.end()
    store(root).sweep()
    assert len(sets(root)) == 1
    with store(root).keep(windows()) as kept:
        guest.end()
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
        assert len(sets(root)) == 1
    assert leftovers(root) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_one_is_killed_and_the_other_lives_on(root: Path, holders: Any, seed: int) -> None:
    killed, other = holders(root, 0), holders(root, seed)
    killed.die()
    store(root).sweep()
    assert len(sets(root)) == 1, "the other one's, whoever made it; no more"
    other.end()
    assert leftovers(root) == []


def test_many_come_and_go(root: Path) -> None:
    together = CONTEXT.Barrier(4)
    processes = [start(come_and_go, root, seed, together) for seed in range(4)]
    for process in processes:
        finish(process)
    assert leftovers(root) == []


def test_kills_among_many_harm_nobody_else(root: Path) -> None:
    together = CONTEXT.Barrier(3)
    processes = [start(come_and_go, root, seed, together) for seed in range(3)]
    for _ in range(20):
        finish(start(keep_and_die, root), -signal.SIGKILL)
    for process in processes:
        finish(process)
    with store(root).keep(windows()):
        pass
    assert leftovers(root) == []


def test_an_array_stays_between_its_making_and_its_reading(root: Path) -> None:
    shelf = Shelf(claim_root(root), "generated")
    with ExitStack() as user:
        with shelf.add("new", (1, 2), user=user) as writer:
            writer.append(torch.ones(1, 2))
        shelf.discard("new")
        shelf.clear()
        with shelf.open("new") as file:
            assert file is not None
            assert torch.equal(file.read([0]), torch.ones(1, 2))
    shelf.discard("new")
    assert leftovers(root) == []


# --- whose a set is


def abandoned(root: Path, maker: Owner | None) -> Path:
    """A directory as its maker left it."""
    shelf = claim(claim_root(root) / "generated", root)
    path = claim(shelf / f".staged-{'a' * 32}", root, files=("data.npy", LOCK))
    if maker is not None:
        with exclusive(root), in_use(path, root):
            (path / LOCK).write_text(f'{{"pid": {maker.pid}, "host": "{maker.host}", "started": {maker.started}}}')
        assert owner(path, root) == maker
    return path


def is_swept(root: Path, path: Path) -> bool:
    store(root).sweep()
    return not path.exists()


def test_what_a_living_process_has_just_made_stays(root: Path) -> None:
    path = abandoned(root, Owner.this_process())
    assert not is_swept(root, path)
    assert not is_swept(root, path)


def test_a_number_that_is_used_again_protects_nothing(root: Path) -> None:
    me = Owner.this_process()
    assert is_swept(root, abandoned(root, replace(me, started=me.started - 100)))


def test_a_maker_on_another_host_may_be_alive(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system reaches further than this machine; on a local disk its lock would be seen."""
    me = Owner.this_process()
    monkeypatch.setattr("cotwin.store.lock.LOCAL", ())
    for started in (me.started, me.started - 100):
        path = abandoned(root, Owner(me.pid, "elsewhere", started))
        assert not is_swept(root, path)
        assert Shelf(root, "generated").entries()[0].owner == Owner(me.pid, "elsewhere", started)


def test_a_container_that_is_gone_leaves_no_protection(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotwin.store.shelf.is_local_disk", lambda path: True)
    assert is_swept(root, abandoned(root, Owner(1, "a7f3c0ffee", 0.0)))


def test_a_zombie_is_dead(root: Path, holders: Any) -> None:
    with psutil.Popen(["sleep", "100"]) as process:
        maker = Owner(process.pid, Owner.this_process().host, process.create_time())
        path = abandoned(root, maker)
        assert not is_swept(root, path)
        process.kill()
        while process.status() != psutil.STATUS_ZOMBIE:
            pass
        assert is_swept(root, path)


@pytest.mark.parametrize("content", ["", "{", '{"pid": 1}', '{"pid": "x", "host": "y", "started": 0}', "null", "[1]"])
def test_a_lock_that_names_nobody_protects_nothing(root: Path, content: str) -> None:
    path = abandoned(root, Owner.this_process())
    (path / LOCK).write_text(content)
    assert is_swept(root, path)


def test_a_clock_that_jumps_makes_nobody_lose_what_is_in_use(
    root: Path, holders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start times are told by a clock; then every process seems to be another one."""
    holder = holders(root)
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: create_time(process) + 3600)
    assert not Shelf(root, "generated").entries()[0].owner.lives  # type: ignore[union-attr]
    store(root).sweep()
    assert len(sets(root)) == 1
    with store(root).keep(windows()) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    assert len(sets(root)) == 1
    holder.end()
    assert leftovers(root) == []
