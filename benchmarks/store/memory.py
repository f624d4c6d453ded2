"""Memory: each placement in a process of its own, under the store's budget and under hard limits of the system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.table import Goal, show, show_goals
from windows import SHAPE, WINDOW_BYTES

HERE = Path(__file__).parent
SHARES = (0.25, 0.5, 1, 2, 4)  # sizes of sets, in budgets
ALLOWED = 1.1  # growth, in budgets
PLACEMENTS = ("memory", "cache", "on_the_fly")


def measure_memory(scratch: Path, budget: int, limit: int, sliding: Sequence[int]) -> dict[str, Any]:
    """budget: the store's, in bytes. limit: of the whole process, in bytes. sliding: numbers of sliding windows."""
    result: dict[str, Any] = {"budget": budget, "limit": limit, "placements": {}}
    for placement in PLACEMENTS:
        result["placements"][placement] = [
            in_process(
                task="train",
                windows=int(share * budget / WINDOW_BYTES),
                placement=placement,
                memory_budget=budget,
                scratch=str(scratch),
            )
            for share in SHARES
        ]
    # With the allocator told to map large blocks one by one, else its own scattered free space comes on top.
    result["filling"] = [
        in_process(
            {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)},
            task="fill",
            windows=int(share * budget / WINDOW_BYTES),
            memory_budget=budget,
            scratch=str(scratch),
        )
        for share in SHARES
    ]
    result["sliding"] = [in_process(task="sliding", windows=count) for count in sliding]
    four_times = {"task": "train", "windows": 4 * limit // WINDOW_BYTES, "scratch": str(scratch)}
    result["rlimit_data"] = {
        placement: in_process(**four_times, placement=placement, data_limit=limit) for placement in PLACEMENTS
    }
    # A budget that is asked for in full must not help: it is lowered to what the system allows.
    result["rlimit_data"]["memory, a budget of 1 TB asked for"] = in_process(
        **four_times, placement="memory", data_limit=limit, memory_budget=1 << 40
    )
    with limited_group(limit) as group:
        if group is not None:
            result["control_group"] = {
                placement: in_process(**four_times, placement=placement, group=str(group)) for placement in PLACEMENTS
            }
    return result


def in_process(environment: Mapping[str, str] | None = None, /, **task: Any) -> dict[str, Any]:
    """What `memory_child.py` found; a process that the system ended is a result too."""
    done = subprocess.run(
        [sys.executable, str(HERE / "memory_child.py"), json.dumps(task)],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return {"failed": f"exit code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def limited_group(limit: int) -> Iterator[Path | None]:
    """A control group with a limit of memory, the page cache included; None where none can be made."""
    for mount, name in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),  # version 1
        (Path("/sys/fs/cgroup"), "memory.max"),  # version 2
    ):
        group = mount / f"cotwin-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / name).exists():
                (group / name).write_text(str(limit))
                yield group
                return
        finally:
            group.rmdir()
    yield None


def goals(result: dict[str, Any]) -> list[Goal]:
    budget, found = result["budget"], []
    for placement, runs in result["placements"].items():
        most = max(run["growth"] for run in runs if "growth" in run)
        found.append(Goal(f"growth of anonymous memory in budgets, {placement}", "at most", ALLOWED, most / budget))
    most = max(run["filling"] for run in result["placements"]["memory"] if "filling" in run)
    found.append(Goal("filling memory, above rest, in budgets", "at most", ALLOWED, most / budget))
    fills = [run["growth"] for run in result["filling"]]
    what = f"filling the cache with {SHARES[-1]} budgets, in units of filling it with {SHARES[0]}"
    found.append(Goal(what, "at most", ALLOWED, fills[-1] / fills[0]))
    most = max(run["growth"] for run in result["sliding"])
    found.append(Goal("sliding windows, MB added whatever their number", "at most", 1, most / 1e6))
    for kind in ("rlimit_data", "control_group"):
        for placement, run in result.get(kind, {}).items():
            key = "refused" if placement.startswith("memory") else "seconds"
            outcome = "refused beforehand" if key == "refused" else "trains to the end"
            what = f"set of 4 limits, {kind}, {placement}: {outcome} (1: yes)"
            found.append(Goal(what, "at least", 1, float(key in run)))
    return found


def report(result: dict[str, Any]) -> None:
    budget = result["budget"]
    print(
        f"Anonymous memory: budget {budget / 1e6:.0f} MB, windows of {SHAPE} float32, one epoch, each figure from a "
        "process of its own. MB above the peak of the same training on real windows alone (filling: above rest)"
    )
    rows = []
    for placement, runs in result["placements"].items():
        for share, run in zip(SHARES, runs, strict=True):
            if "growth" in run:
                keys = ("filling", "growth", "growth_by_high_water")
                rows.append((placement, f"{share:g}", *(f"{run[key] / 1e6:.1f}" for key in keys)))
            else:
                rows.append((placement, f"{share:g}", next(iter(run)), "", ""))
    show(("", "set in budgets", "filling", "growth", "by VmHWM"), rows)
    sliding = [
        (f"{run['windows']}", f"{run['window_bytes'] / 1e6:.1f}", f"{run['growth'] / 1e6:.2f}")
        for run in result["sliding"]
    ]
    show(("sliding windows", "their bytes, MB", "added, MB"), sliding)
    print(f"A hard limit of {result['limit'] / 1e6:.0f} MB on the whole process, a set of four times that")
    rows = []
    for kind in ("rlimit_data", "control_group"):
        for placement, run in result.get(kind, {}).items():
            outcome = f"trained in {run['seconds']:.0f} s" if "seconds" in run else ": ".join(run_text(run))
            rows.append((f"{kind}, {placement}", outcome))
    for name, outcome in rows:
        print(f"  {name}: {outcome}")
    if "control_group" not in result:
        print("  no control group can be made here")
    print()
    show_goals(goals(result))


def run_text(run: dict[str, Any]) -> tuple[str, str]:
    return next((key, run[key]) for key in ("refused", "failed") if key in run)
