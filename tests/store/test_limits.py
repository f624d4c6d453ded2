"""Under a hard limit of memory a set of four times as much is read to its end, or refused before it is begun."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import torch
from children import finish, run, start
from victims import NUM_STEPS, Damped, leftovers

from cotwin.experiment.load import dump, load
from cotwin.experiment.train import prepare, train
from cotwin.run import Run
from cotwin.store.placement import Placement
from cotwin.store.store import Store
from cotwin.windows import PickedStates, RolloutWindows
from cotwin.windows.serving import serve

MB = 1_000_000
GB = 1_000_000_000
ROOM = 48 * MB  # beside what Python and torch take
CELL = 1_000  # numbers in a state, so that a window takes 16 kB


def large(num_bytes: int) -> RolloutWindows:
    """Windows of so many bytes, from a few starts."""
    count = num_bytes // (4 * CELL * (NUM_STEPS + 1))
    starts = torch.arange(64 * CELL, dtype=torch.float32).reshape(64, 1, CELL)
    return RolloutWindows(Damped(CELL), PickedStates(starts, torch.arange(count) % 64), NUM_STEPS)


def read_to_the_end(root: Path, num_bytes: int, placement: Placement) -> None:
    windows = large(num_bytes)
    store = Store(root, 16 * MB, 10 * GB, placement)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0)).tolist()
    batches = [order[first : first + 32] for first in range(0, len(order), 32)]
    with store.keep(windows) as kept:
        assert kept.choice.placement == placement
        for rows, batch in zip(batches, serve(kept.windows, [(0, batches)], batch_size=32), strict=True):
            starts = windows.starts.take(rows)
            for step in range(NUM_STEPS + 1):
                assert torch.equal(batch.states[:, step], starts * 0.5**step)
    assert leftovers(root) == []


def limited_data(root: Path, placement: Placement) -> None:
    """Within RLIMIT_DATA: private memory that can be written, as `ulimit -d` sets it."""
    limit = psutil.Process().memory_info().data + ROOM
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with pytest.raises((RuntimeError, MemoryError)):
        torch.ones(ROOM)  # the limit is one
    read_to_the_end(root, 4 * limit, placement)


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["cache", "on_the_fly"])
def test_four_times_the_limit_of_data_is_read_to_the_end(tmp_path: Path, placement: Placement) -> None:
    run(limited_data, tmp_path / "cache", placement)


def refused_data() -> None:
    limit = psutil.Process().memory_info().data + ROOM
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    store = Store(None, 100 * limit, placement="memory")
    assert store.memory_budget <= limit
    with pytest.raises(ValueError, match=r"placement 'memory' needs .*; raise the budget"):
        store.choose(large(4 * limit))
    assert Store(None).memory_budget <= ROOM // 2


def test_memory_beyond_the_limit_of_data_is_refused_beforehand() -> None:
    run(refused_data)


# --- a control group


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group for a while, its memory limited to ROOM."""
    memory = Path("/sys/fs/cgroup/memory")
    version_1 = memory.is_dir()
    path = (memory if version_1 else Path("/sys/fs/cgroup")) / f"cotwin-test-{os.getpid()}"
    try:
        path.mkdir()
        (path / ("memory.limit_in_bytes" if version_1 else "memory.max")).write_text(str(ROOM))
    except OSError as error:
        if path.is_dir():
            path.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    yield path
    path.rmdir()


def join(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def in_group(root: Path, group: Path, placement: Placement) -> None:
    join(group)
    read_to_the_end(root, 4 * ROOM, placement)


def refused_in_group(group: Path) -> None:
    join(group)
    store = Store(None, GB, placement="memory")
    assert store.memory_budget <= ROOM
    with pytest.raises(ValueError, match=r"placement 'memory' needs 192 MB, the memory budget is \d+ MB; raise"):
        store.choose(large(4 * ROOM))


def killed_in_group(group: Path) -> None:
    join(group)
    torch.ones(ROOM)


@pytest.mark.parametrize("placement", ["cache", "on_the_fly"])
def test_four_times_the_limit_of_a_control_group_is_read_to_the_end(
    tmp_path: Path, group: Path, placement: Placement
) -> None:
    run(in_group, tmp_path / "cache", group, placement)


def test_memory_beyond_the_limit_of_a_control_group_is_refused_not_killed(group: Path) -> None:
    finish(start(killed_in_group, group), -signal.SIGKILL)  # the limit is one
    run(refused_in_group, group)


# --- real data


def write_heat(path: Path, trajectories: int, frames: int, points: int) -> None:
    """The analytic solution of the heat equation between insulating walls, in The Well's layout, row by row."""
    x = (np.arange(points, dtype=np.float32) + 0.5) / points
    waves = np.cos(np.pi * np.arange(4)[:, None] * x).astype(np.float32)
    decay = np.exp(-0.1 * np.pi**2 * np.arange(4) ** 2 * 0.02 * np.arange(frames)[:, None]).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.attrs.update(grid_type="cartesian", n_trajectories=trajectories)
        dimensions, fields = file.create_group("dimensions"), file.create_group("t0_fields")
        dimensions.attrs["spatial_dims"] = ["x"]
        dimensions["x"], dimensions["time"] = x, 0.02 * np.arange(frames)
        u = fields.create_dataset("u", (trajectories, frames, points), np.float32)
        for row in range(trajectories):
            sizes = np.random.default_rng(row).normal(size=4).astype(np.float32)
            u[row] = (sizes * decay) @ waves


def train_from_a_file(folder: Path, num_bytes: int) -> None:
    points, frames = 1024, 250
    write_heat(folder / "heat.hdf5", num_bytes // (4 * points * frames), frames, points)
    (folder / "heat.yaml").write_text(
        f"""defaults: [heat]
name: large
data: {{kind: file, path: {folder / "heat.hdf5"}, boundary: neumann}}
physical: {{diffusivity: {{initial: 0.05, bounds: null, grid: null}}, window: 2, warmup_steps: 3, steps: 2,
           optimizer: {{kind: adam}}, batch_size: 8}}
synthetic: {{window: 2, warmup_steps: 3, steps: 2, network: resnet, width: 4, depth: 1, batch_size: 8, starts: real}}
hybrid: {{cycles: 1, generated_per_real: 0.001}}
store: {{cache_dir: {folder / "cache"}, memory_budget_gb: 0.032}}
"""
    )
    experiment = load(str(folder / "heat.yaml"))
    session = prepare(experiment)
    assert session.data.train.in_file
    with Run.create(folder / "run", dump(experiment)) as opened:
        comparison = train(session, opened, Quiet())
    assert comparison.score("physical", "together").decisive < comparison.start


class Quiet:
    """Watches without a word."""

    def begin(self, description: str, steps: int) -> None: ...

    def step(self, loss: float) -> None: ...

    def restart(self) -> None: ...


def train_within_limited_data(folder: Path) -> None:
    limit = psutil.Process().memory_info().data + REAL_ROOM
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    train_from_a_file(folder, 4 * REAL_ROOM)


REAL_ROOM = 128 * MB  # beside what Python and torch take; for models and gradients too


@pytest.mark.slow
def test_training_reads_four_times_what_a_limit_leaves_from_a_file(tmp_path: Path) -> None:
    process = start(train_within_limited_data, tmp_path)
    process.join(timeout=300)
    finish(process)
