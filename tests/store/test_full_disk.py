"""A full disk, or one that may no longer be written, costs the cache and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from victims import (
    COUNT,
    assert_close,
    expected,
    leftovers,
    store,
    windows,
)


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


@pytest.mark.parametrize(("option", "fewest"), [("size=1m,nr_inodes", 1), ("size", 1)])
def test_a_disk_may_be_full_at_any_moment(mount: Callable[[str], Path], option: str, fewest: int) -> None:
    """For every number of files, or of pages of 4 KiB, that still fit."""
    placements = []
    for room in range(fewest, 14):
        root = mount(f"{option}={room if 'inodes' in option else 4096 * room}") / "cache"
        kept_store = store(root)
        with kept_store.keep(windows()) as kept:
            assert_close(kept.windows.__getitems__(range(COUNT)).states, expected())
        placements.append(kept.choice.placement)
        assert not root.exists() or leftovers(root) == []
    assert placements == sorted(placements, reverse=True), "on_the_fly until it fits, then cache"
    assert set(placements) == {"on_the_fly", "cache"}


def test_a_disk_that_becomes_read_only_costs_the_cache_and_no_more(
    mount: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    disk = mount("size=1m")
    kept_store = store(disk / "cache")
    for state, placement in (("rw", "cache"), ("ro", "on_the_fly"), ("rw", "cache")):
        subprocess.run(["mount", "-o", f"remount,{state}", disk], check=True)
        with kept_store.keep(windows()) as kept:
            assert kept.choice.placement == placement
            assert_close(kept.windows.__getitems__(range(COUNT)).states, expected())
    assert "Read-only file system" in caplog.text
    assert leftovers(disk / "cache") == []
