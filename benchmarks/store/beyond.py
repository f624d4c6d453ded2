"""Training on a file that exceeds the memory, under a hard limit: how long it takes, and how much memory.

    python benchmarks/store/beyond.py                         # 20 GB, a budget of 1 GB; takes 60 GB of disk
    python benchmarks/store/beyond.py --gigabytes 1 --budget 0.1 --limit 1

Heat on 256 × 256 cells, in The Well's layout, from the analytic solution with noise. `cotwin plan` converts the file,
`cotwin train` reads it, each in a process that may have no more data memory than the limit (`ulimit -d`), and in a
control group of so much where one can be made, which counts the page cache too. What is shown is the largest RssAnon.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np

POINTS, TRAJECTORIES, DT, DIFFUSIVITY, NOISE = 256, 200, 0.01, 0.02, 0.01
GB = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=20, help="size of the file")
    parser.add_argument("--budget", type=float, default=1, help="store.memory_budget_gb")
    parser.add_argument("--limit", type=float, default=2, help="gigabytes of data memory that each process may have")
    parser.add_argument("--scratch", type=Path, help="directory on the disk to measure; three times the file free")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        path, begin = Path(folder) / "heat.hdf5", time.perf_counter()
        frames = int(arguments.gigabytes * GB / (4 * POINTS**2 * TRAJECTORIES))
        write(path, frames)
        took = time.perf_counter() - begin
        print(f"{path.stat().st_size / GB:.1f} GB in {TRAJECTORIES} × {frames} states, written in {took:.0f} s")
        config = Path(folder) / "heat.yaml"
        config.write_text(settings(path, Path(folder) / "cache", arguments.budget))
        with group(int(arguments.limit * GB)) as limits:
            for command in (
                ["plan"],
                ["train", "--run-dir", f"{folder}/run"],
                ["estimate", "--run-dir", f"{folder}/e"],
            ):
                run([command[0], str(config), *command[1:]], int(arguments.limit * GB), limits)


def write(path: Path, frames: int) -> None:
    """The analytic solution between insulating walls, with noise, a stretch after the other."""
    rng = np.random.default_rng(0)
    x = (np.arange(POINTS, dtype=np.float32) + 0.5) / POINTS
    waves = np.cos(np.pi * np.arange(6)[:, None] * x)
    rates = DIFFUSIVITY * np.pi**2 * (np.arange(6)[:, None] ** 2 + np.arange(6) ** 2)
    with h5py.File(path, "w") as file:
        file.attrs.update(grid_type="cartesian", n_trajectories=TRAJECTORIES, simulation_parameters=[])
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = ["x", "y"]
        dimensions["time"] = np.arange(frames) * DT
        dimensions["x"] = dimensions["y"] = x
        fields = file.create_group("t0_fields")
        fields.attrs["field_names"] = ["u"]
        u = fields.create_dataset(
            "u", (TRAJECTORIES, frames, POINTS, POINTS), np.float32, chunks=(1, 1, POINTS, POINTS)
        )
        for row in range(TRAJECTORIES):
            sizes = rng.normal(size=(6, 6))
            for first in range(0, frames, 64):
                times = DT * np.arange(first, min(first + 64, frames))[:, None, None]
                states = np.einsum("tkl,kx,ly->txy", sizes * np.exp(-rates * times), waves, waves, optimize=True)
                noise = rng.standard_normal(states.shape, dtype=np.float32)
                u[row, first : first + len(states)] = states + NOISE * noise


def settings(path: Path, cache: Path, budget: float) -> str:
    learner = "window: 2, warmup_steps: 20, steps: 20, batch_size: 4"
    return f"""defaults: [heat]
name: beyond
data: {{kind: file, path: {path}, boundary: neumann, validation: 1, test: 0}}
physical: {{diffusivity: {{initial: 0.05, bounds: null, grid: null}}, optimizer: {{kind: adam}}, {learner}}}
synthetic: {{network: resnet, width: 8, depth: 2, starts: real, {learner}}}
hybrid: {{cycles: 1, generated_per_real: 0.01}}
estimation: {{window: 8}}
store: {{cache_dir: {cache}, memory_budget_gb: {budget}}}
"""


@contextmanager
def group(limit: int) -> Iterator[Path | None]:
    """A control group for a while, its memory limited; None where none can be made."""
    memory = Path("/sys/fs/cgroup/memory")
    version_1 = memory.is_dir()
    path = (memory if version_1 else Path("/sys/fs/cgroup")) / f"cotwin-beyond-{os.getpid()}"
    try:
        path.mkdir()
        (path / ("memory.limit_in_bytes" if version_1 else "memory.max")).write_text(str(limit))
    except OSError as error:
        print(f"no control group: {error}")
        with suppress(OSError):
            path.rmdir()
        yield None
        return
    try:
        yield path
    finally:
        path.rmdir()


def run(command: list[str], limit: int, group: Path | None) -> None:
    """A command of cotwin under the limits; its last lines, its time and the largest memory that it had."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    begin, largest = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cotwin", *command], stdout=output, stderr=subprocess.STDOUT, preexec_fn=limited
        )
        while process.poll() is None:
            with suppress(OSError):
                # Nothing of a process that has just ended.
                found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
                largest = max(largest, 1024 * int(found[1]) if found else 0)
            time.sleep(0.05)
        output.seek(0)
        print(output.read())
    took = {"seconds": round(time.perf_counter() - begin), "rss_anon_gb": round(largest / GB, 2)}
    print(json.dumps({"command": command[0], "limit_gb": limit / GB, "group": group is not None, **took}), flush=True)
    if process.returncode:
        raise SystemExit(f"cotwin {command[0]} ended with {process.returncode}")


if __name__ == "__main__":
    main()
