"""Whatever the counts, lengths, batches and budgets: the same windows in the same order, in as many bytes as said."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from victims import MB, Swirl, assert_close, leftovers

from cotwin.store.placement import Placement
from cotwin.store.store import InMemory, Store
from cotwin.store.window_file import WindowFile
from cotwin.windows import Batch, JoinedWindows, PickedStates, RolloutWindows, SlidingWindows, StoredWindows, Windows
from cotwin.windows.serving import seeded_epochs, serve

PLACEMENTS: tuple[Placement, ...] = ("memory", "cache", "on_the_fly")
START_BYTES = 4 * 2 * 16
EPOCHS = 3

counts = st.integers(1, 40)
lengths = st.integers(1, 4)
batch_sizes = st.integers(1, 50)
seeds = st.integers(0, 2**31)


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def starts(count: int, seed: int) -> PickedStates:
    return PickedStates(torch.randn(count, 2, 16, generator=torch.Generator().manual_seed(seed)))


def trained_on(windows: Windows, batch_size: int, seed: int) -> list[list[Batch]]:
    """The batches of each epoch, as a trainer gets them."""
    in_epoch = -(-len(windows) // batch_size)
    epochs = seeded_epochs(len(windows), batch_size, seed, first=0, count=EPOCHS * in_epoch)
    batches = list(serve(windows, epochs, batch_size))
    return [batches[first : first + in_epoch] for first in range(0, len(batches), in_epoch)]


def states_of(batches: list[Batch]) -> Tensor:
    return torch.cat([batch.states for batch in batches])


def sorted_rows(states: Tensor) -> Tensor:
    """In an order that only their values decide."""
    return states[states.flatten(1)[:, 0].argsort()]


@settings(max_examples=30, deadline=None)
@given(
    count=counts,
    num_steps=lengths,
    batch_size=batch_sizes,
    chunk=st.integers(1, 50),
    ahead=st.integers(1, 1000),
    alpha=st.floats(0, 4),
    masked=st.booleans(),
    seed=seeds,
)
def test_every_epoch_has_each_window_once_in_the_same_order_wherever_they_are(
    count: int, num_steps: int, batch_size: int, chunk: int, ahead: int, alpha: float, masked: bool, seed: int
) -> None:
    """chunk, ahead: windows made at once to be kept; windows that fit the budget of those made on the fly."""
    trajectories = torch.randn(2, num_steps + 3, 2, 16, generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(trajectories, dtype=torch.bool)
    mask[0, -1, 0, 3] = False
    real = SlidingWindows(trajectories, num_steps, mask if masked else None)
    windows = RolloutWindows(Swirl(), starts(count, seed + 1), num_steps)
    served = {}
    with tempfile.TemporaryDirectory() as folder:
        for placement in PLACEMENTS:
            budget = ahead * windows.window_bytes if placement == "on_the_fly" else 10 * MB
            store = Store(Path(folder, "cache"), budget, 10 * MB, placement, chunk * windows.window_bytes)
            with store.keep(windows) as kept:
                served[placement] = trained_on(JoinedWindows(real, kept.windows, alpha), batch_size, seed)
        assert leftovers(Path(folder, "cache")) == []
    every = torch.cat([real.__getitems__(range(len(real))).states, windows.generate(range(count))])
    for epochs in served.values():
        for epoch in epochs:
            assert_close(sorted_rows(states_of(epoch)), sorted_rows(every))
            assert {len(batch.states) for batch in epoch[:-1]} <= {batch_size}
            weights = torch.cat([batch.weight for batch in epoch])
            assert weights.sum() == pytest.approx(len(every), rel=1e-4)
    for memory, cache, fly in zip(*(chain.from_iterable(served[placement]) for placement in PLACEMENTS), strict=True):
        assert torch.equal(memory.states, cache.states)
        assert_close(fly.states, memory.states)
        assert torch.equal(memory.weight, cache.weight)
        assert torch.equal(memory.weight, fly.weight)
        for other in (cache, fly):
            assert (memory.mask is None) == (other.mask is None) == (not masked)
            assert memory.mask is None or torch.equal(memory.mask, other.mask)


@settings(max_examples=15, deadline=None)
@given(count=counts, num_steps=lengths, batch_size=batch_sizes, ahead=st.integers(1, 1000), seed=seeds)
def test_fresh_starts_are_new_in_each_epoch_and_the_same_for_a_seed(
    count: int, num_steps: int, batch_size: int, ahead: int, seed: int
) -> None:
    def draw(epoch: int) -> PickedStates:
        return starts(count, seed + 1000 * epoch)

    real = SlidingWindows(torch.randn(1, num_steps + 1, 2, 16, generator=torch.Generator().manual_seed(1)), num_steps)

    def served() -> list[Tensor]:
        windows = RolloutWindows(Swirl(), draw(0), num_steps, fresh_starts=draw)
        store = Store(None, ahead * windows.window_bytes)
        with store.keep(windows) as kept:
            assert kept.choice.placement == "on_the_fly"
            return [
                states_of(epoch) for epoch in trained_on(JoinedWindows(real, kept.windows, 1.0), batch_size, seed)
            ]

    first = served()
    for number, states in enumerate(first):
        drawn = torch.cat([real.starts().every(), draw(number).every()])
        assert torch.equal(sorted_rows(states[:, 0]), sorted_rows(drawn))
    assert len({states[:, 0].sum().item() for states in first}) == EPOCHS
    for states, again in zip(first, served(), strict=True):
        assert torch.equal(states, again)


@settings(max_examples=30, deadline=None)
@given(count=counts, num_steps=lengths, memory=st.integers(1, 100), disk=st.integers(0, 60), chunk=st.integers(1, 50))
def test_placement_and_bytes_are_as_said_beforehand(
    count: int, num_steps: int, memory: int, disk: int, chunk: int
) -> None:
    """memory, disk: windows that fit the budgets."""
    size = (num_steps + 1) * START_BYTES
    windows = RolloutWindows(Swirl(), starts(count, 0), num_steps)
    assert (windows.window_bytes, windows.num_bytes) == (size, count * size)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "cache"), memory * size, disk * size, chunk_bytes=chunk * size)
        said = store.choose(windows)
        assert said.placement == ("memory" if 2 * count < memory else "cache" if count <= disk else "on_the_fly")
        assert said.num_bytes == count * size
        with store.keep(windows) as kept:
            assert kept.choice == said
            if said.placement == "on_the_fly":
                assert isinstance(kept.windows, RolloutWindows)
                assert kept.windows.ahead_bytes == memory * size
                return
            assert isinstance(kept.windows, StoredWindows)
            if said.placement == "memory":
                assert isinstance(kept.windows.source, InMemory)
                assert kept.windows.source.states.untyped_storage().nbytes() == count * size
            else:
                assert isinstance(kept.windows.source, WindowFile)
                assert os.fstat(kept.windows.source.file.fileno()).st_size == count * size
