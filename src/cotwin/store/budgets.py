"""How many bytes generated data may take where the user leaves it to the machine.

Memory: a quarter of what this process may have at most, but no more than half of what is free now. What it may
have is the machine's memory, or less: by a control group (v1 and v2, the container's and every one above it), or by
`ulimit -d` and `ulimit -v`. Disk: twenty times the memory budget, or half of the free disk.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from cotwin.store.placement import in_words

logger = logging.getLogger(__name__)

SHARE = 4  # of the limit, for generated data; the rest is for models, gradients, real data and others
DISK_FOR_MEMORY = 20


@dataclass(frozen=True)
class Bound:
    """Something that limits this process's memory: bytes in all, bytes still free, and its name."""

    limit: int
    free: int
    name: str


def memory_budget(asked: int | None) -> int:
    """Bytes of generated data in memory: as asked, or by the machine. Never more than the process may have.

    A budget beyond that is lowered, with a warning: else the kernel would end the run in the middle.
    """
    machine, *others = bounds()
    if asked is None:
        present = (machine, *others)
        return min(min(bound.limit for bound in present) // SHARE, min(bound.free for bound in present) // 2)
    # A hard limit counts what is used already, and leaves something for the models; the machine can make room.
    allowed = [(machine.limit, machine), *((bound.free * 3 // 4, bound) for bound in others)]
    least, bound = min(allowed, key=lambda pair: pair[0])
    if asked > least:
        logger.warning(
            "the memory budget of %s is lowered to %s: %s is %s, of which %s are free.",
            in_words(asked),
            in_words(least),
            bound.name,
            in_words(bound.limit),
            in_words(bound.free),
        )
    return min(asked, least)


def disk_budget(asked: int | None, memory_budget: int, root: Path | None) -> int:
    """Bytes of generated data on disk: as asked, or by the memory budget and the free disk; none without a root."""
    if root is None:
        return 0
    if asked is not None:
        return asked
    return min(DISK_FOR_MEMORY * memory_budget, free_disk(root) // 2)


def free_disk(path: Path) -> int:
    """Bytes that may still be written where this directory is, or will be."""
    there = path.absolute()
    while not there.exists():
        there = there.parent
    return psutil.disk_usage(str(there)).free


def bounds() -> list[Bound]:
    """Everything known that limits this process's memory, the machine first."""
    machine = psutil.virtual_memory()
    found = [Bound(machine.total, machine.available, "the machine"), *_resource_limits()]
    if sys.platform == "linux":
        found += cgroup_bounds(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return found


def _resource_limits() -> Iterator[Bound]:
    process = psutil.Process().memory_info()
    for number, used, name in (
        (resource.RLIMIT_DATA, getattr(process, "data", process.rss), "the limit of data memory (ulimit -d)"),
        (resource.RLIMIT_AS, process.vms, "the limit of virtual memory (ulimit -v)"),
    ):
        limit, _ = resource.getrlimit(number)
        if limit != resource.RLIM_INFINITY:
            yield Bound(limit, max(0, limit - used), name)


def cgroup_bounds(membership: Path, mount: Path) -> list[Bound]:
    """The limits of the control groups that a process is in, and of all above them.

    membership: its /proc/PID/cgroup. mount: where control groups are mounted. Inside a container the group's own
    path may not be visible; its limit then stands at the mount.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: list[Bound] = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":  # version 2, alone or beside version 1
            for base in (mount, mount / "unified"):
                found += _above(base, path, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            found += _above(mount / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes")
    return found


def _above(base: Path, path: str, limit: str, usage: str) -> Iterator[Bound]:
    # A container may see its own group as "/../…", relative to a place that it cannot see.
    group = base / os.path.normpath(f"/{path}").lstrip("/")
    while group.is_relative_to(base):
        # "max" in version 2, a number beyond every machine in version 1: no limit.
        most = _number(group / limit)
        if most is not None and most < 1 << 60:
            # The page cache counts as used here although the kernel would give it up.
            used = (_number(group / usage) or 0) - _reclaimable(group)
            yield Bound(most, max(0, min(most, most - used)), f"the control group {group}")
        group = group.parent


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _reclaimable(group: Path) -> int:
    """Bytes of files in the page cache, those of mapped data too: the kernel gives them up."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    fields = dict(line.split(" ", 1) for line in lines if " " in line)
    return sum(int(fields.get(f"total_{name}", fields.get(name, "0"))) for name in ("inactive_file", "active_file"))
