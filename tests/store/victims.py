"""What processes do that are killed in the middle, and how one looks afterwards."""

from __future__ import annotations

import functools
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from children import die_at
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.stepper import Stepper
from cotwin.store.placement import Placement
from cotwin.store.root import MARKER
from cotwin.store.store import Store
from cotwin.windows import RolloutWindows

MB = 1_000_000
COUNT, NUM_STEPS, CHUNK_WINDOWS = 20, 3, 3


class Swirl(Stepper):
    """Two fields that turn into each other, nonlinearly. As slow as one likes."""

    def __init__(self, rate: float = 0.3, seconds: float = 0.0) -> None:
        super().__init__(
            Layout.box([Field("u"), Field("v")], grid=(16,), extent=[(0, 1)], boundary="periodic", dt=0.1)
        )
        self.register_buffer("rate", torch.tensor(rate))
        self.seconds = seconds

    def forward(self, state: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return state + self.rate * torch.sin(state.roll(1, dims=1)) * torch.cos(state.roll(1, dims=2))


class Interrupted(Swirl):
    """Something happens at its so-manyth step."""

    def __init__(self, step: int, happens: Callable[[], None]) -> None:
        super().__init__()
        self.left, self.happens = step, happens

    def forward(self, state: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            self.happens()
        return super().forward(state)


def windows(count: int = COUNT, seed: int = 0, teacher: Stepper | None = None) -> RolloutWindows:
    """512 bytes each."""
    starts = torch.randn(count, 2, 16, generator=torch.Generator().manual_seed(seed))
    return RolloutWindows(Swirl() if teacher is None else teacher, starts, NUM_STEPS)


def store(root: Path, placement: Placement = "cache") -> Store:
    return Store(root, 10 * MB, 10 * MB, placement, chunk_bytes=CHUNK_WINDOWS * 512)


@functools.cache
def expected(count: int = COUNT, seed: int = 0) -> Tensor:
    """The windows as an undisturbed store has them."""
    kept = Store(None, 10 * MB, 0, "memory", chunk_bytes=CHUNK_WINDOWS * 512).keep(windows(count, seed))
    with kept as there:
        return there.windows.__getitems__(range(count)).states


def leftovers(root: Path) -> list[str]:
    """All that is below a root but its marker."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path != root / MARKER)


def fill_and_read(root: Path, seconds: float = 0.0, begun: Any = None) -> None:
    """Keep windows in the cache and read them all, as a phase of training does."""
    made = windows(teacher=Swirl(seconds=seconds))
    if begun is not None:
        begun.set()
    with store(root).keep(made) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())


def fill_and_die(root: Path, call: int, report: Path | None = None) -> None:
    """The same, dead at a system call; or else a report of how many there were."""
    expected()  # and so everything is imported
    calls = die_at(root, call)
    fill_and_read(root)
    if report is not None:
        report.write_text(str(calls()))


def come_and_go(root: Path, seed: int, together: Any) -> None:
    """Keep one of two sets again and again, at the same time as others do."""
    moments = random.Random(seed)
    sets = [expected(seed=number) for number in range(2)]
    together.wait()
    for _ in range(10):
        number = moments.randrange(2)
        with store(root).keep(windows(seed=number)) as kept:
            assert kept.choice.placement == "cache"
            assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, sets[number])
            time.sleep(moments.choice((0.0, 0.001, 0.005)))


def without_rights(act: Callable[..., None], *arguments: Any) -> None:
    """As a user who may not do everything."""
    import victims  # noqa: F401 (while it may be read)

    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    act(*arguments)


def find_no_place(root: Path, message: str) -> None:
    """Hear at the start that there can be no cache."""
    with pytest.raises(PermissionError, match=message):
        store(root)


def lose_rights(root: Path) -> None:
    """Fall back when a directory may no longer be written, and use the cache again when it may."""
    shelf = store(root)
    with shelf.keep(windows()) as kept:
        assert kept.choice.placement == "cache"
        root.chmod(0o500)
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    with shelf.keep(windows()) as kept:
        assert kept.choice.placement == "on_the_fly"
        assert "Permission denied" in kept.choice.reason
        assert_close(kept.windows.__getitems__(range(COUNT)).states, expected())
    root.chmod(0o700)
    with shelf.keep(windows()) as kept:
        assert kept.choice.placement == "cache"
    assert leftovers(root) == []


def assert_close(states: Tensor, right: Tensor) -> None:
    """Equal to rounding: other batches, other sums."""
    assert torch.linalg.norm(states - right) <= 1e-6 * torch.linalg.norm(right)


class Damped(Stepper):
    """Halves a state."""

    def __init__(self, points: int) -> None:
        super().__init__(Layout.box([Field("u")], grid=(points,), extent=[(0, 1)], boundary="periodic", dt=0.1))

    def forward(self, state: Tensor) -> Tensor:
        return 0.5 * state
