"""The budgets that a machine and its control groups allow."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from cotwin.store import budgets
from cotwin.store.budgets import Bound, cgroup_bounds, disk_budget, memory_budget

GB = 10**9
V1_UNLIMITED = 9223372036854771712


def group(path: Path, **files: object) -> None:
    """A control group's directory; memory_max stands for memory.max."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("memory_", "memory.")).write_text(f"{content}\n")


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def found(mount: Path, membership: str) -> list[tuple[str, int, int]]:
    """(path, limit, free) of each bound."""
    file = mount.parent / "membership"
    file.write_text(membership)
    name = "the control group "
    return [
        (str(Path(bound.name.removeprefix(name)).relative_to(mount)), bound.limit, bound.free)
        for bound in cgroup_bounds(file, mount)
    ]


def test_version_2(mount: Path) -> None:
    group(
        mount / "job",
        memory_max=8 * GB,
        memory_current=3 * GB,
        memory_stat=f"anon 1\ninactive_file {GB // 4}\nactive_file {GB - GB // 4}",
    )
    assert found(mount, "0::/job\n") == [("job", 8 * GB, 6 * GB)]


def test_version_1(mount: Path) -> None:
    group(
        mount / "memory/job",
        memory_limit_in_bytes=8 * GB,
        memory_usage_in_bytes=3 * GB,
        memory_stat=f"inactive_file 5\ntotal_inactive_file {GB // 4}\ntotal_active_file {GB - GB // 4}",
    )
    group(mount / "memory", memory_limit_in_bytes=V1_UNLIMITED, memory_usage_in_bytes=9 * GB, memory_stat="")
    membership = "12:cpu,cpuacct:/other\n5:memory:/job\n1:name=systemd:/x\n"
    assert found(mount, membership) == [("memory/job", 8 * GB, 6 * GB)]


def test_both_versions_at_once(mount: Path) -> None:
    group(mount / "memory/a", memory_limit_in_bytes=4 * GB, memory_usage_in_bytes=GB, memory_stat="")
    group(mount / "unified/b", memory_max=3 * GB, memory_current=GB, memory_stat="")
    assert found(mount, "5:cpu,memory:/a\n0::/b\n") == [("memory/a", 4 * GB, 3 * GB), ("unified/b", 3 * GB, 2 * GB)]


def test_every_group_above_counts(mount: Path) -> None:
    group(mount / "slice/job/step", memory_max="max", memory_current=GB, memory_stat="")
    group(mount / "slice/job", memory_max=6 * GB, memory_current=GB, memory_stat="")
    group(mount / "slice", memory_max=5 * GB, memory_current=4 * GB, memory_stat="")
    assert found(mount, "0::/slice/job/step\n") == [("slice/job", 6 * GB, 5 * GB), ("slice", 5 * GB, GB)]


@pytest.mark.parametrize("path", ["/", "/docker/3f", "/../3f", "/../../3f/x", "//3f"])
def test_in_a_container_the_limit_stands_at_the_mount(mount: Path, path: str) -> None:
    group(mount, memory_max=2 * GB, memory_current=GB, memory_stat="")
    group(mount.parent / "3f", memory_max=1, memory_current=1, memory_stat="")
    assert found(mount, f"0::{path}\n") == [(".", 2 * GB, GB)]


def test_a_limit_counts_though_the_use_is_not_known(mount: Path) -> None:
    group(mount / "job", memory_max=2 * GB)
    assert found(mount, "0::/job\n") == [("job", 2 * GB, 2 * GB)]
    group(mount / "job", memory_current=GB)
    assert found(mount, "0::/job\n") == [("job", 2 * GB, GB)]


def test_more_in_use_than_allowed_leaves_nothing(mount: Path) -> None:
    group(mount / "job", memory_max=2 * GB, memory_current=3 * GB, memory_stat="")
    assert found(mount, "0::/job\n") == [("job", 2 * GB, 0)]


def test_without_control_groups_there_are_no_bounds(mount: Path) -> None:
    assert cgroup_bounds(mount / "missing", mount) == []
    assert found_nothing(mount, "0::/job\n5:memory:/job\n")


def found_nothing(mount: Path, membership: str) -> bool:
    mount.mkdir()
    return found(mount, membership) == []


MACHINE = Bound(16 * GB, 12 * GB, "the machine")


@pytest.mark.parametrize(
    ("asked", "others", "expected"),
    [
        (None, [], 4 * GB),  # a quarter of the limit
        (None, [Bound(8 * GB, 8 * GB, "a group")], 2 * GB),
        (None, [Bound(8 * GB, 3 * GB, "a group")], 3 * GB // 2),  # half of what is free
        (None, [Bound(8 * GB, 8 * GB, "a group"), Bound(64 * GB, GB, "another")], GB // 2),
        (None, [Bound(GB, 0, "a group")], 0),
        (3 * GB, [], 3 * GB),
        (16 * GB, [], 16 * GB),
        (17 * GB, [], 16 * GB),
        (3 * GB, [Bound(2 * GB, GB, "a group")], 3 * GB // 4),  # three quarters of what is free
        (GB // 2, [Bound(2 * GB, GB, "a group")], GB // 2),
    ],
)
def test_memory_budget_table(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, others: list[Bound], expected: int
) -> None:
    monkeypatch.setattr(budgets, "bounds", lambda: [MACHINE, *others])
    assert memory_budget(asked) == expected


def test_a_budget_that_is_lowered_says_by_what(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(budgets, "bounds", lambda: [MACHINE, Bound(2 * GB, GB, "the control group /job")])
    with caplog.at_level(logging.WARNING):
        memory_budget(GB // 2)
        assert not caplog.records
        memory_budget(3 * GB)
    assert "3.0 GB is lowered to 750 MB: the control group /job is 2.0 GB, of which 1.0 GB are free" in caplog.text


@pytest.mark.parametrize(
    ("asked", "memory", "free", "expected"),
    [
        (None, GB, 100 * GB, 20 * GB),
        (None, GB, 30 * GB, 15 * GB),
        (None, 0, 100 * GB, 0),
        (5 * GB, GB, 0, 5 * GB),
    ],
)
def test_disk_budget_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int | None, memory: int, free: int, expected: int
) -> None:
    monkeypatch.setattr("psutil.disk_usage", lambda path: SimpleNamespace(free=free))
    assert disk_budget(asked, memory, tmp_path / "not" / "there") == expected
    assert disk_budget(asked, memory, None) == 0


def test_this_machine_has_bounds() -> None:
    assert all(0 <= bound.free <= bound.limit and bound.limit > 0 for bound in budgets.bounds())
    assert 0 < memory_budget(None) <= budgets.bounds()[0].limit / 4
