"""Working ahead changes when items are made, and nothing else."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cotwin.store.store import InMemory
from cotwin.windows import Batch, PickedStates, RolloutWindows, StoredWindows, Windows, serving
from cotwin.windows.serving import GROUPS_ALIVE, ROLLOUT_WINDOWS, ahead, serve


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@given(st.lists(st.integers(), max_size=20), st.integers(0, 5))
def test_same_items_same_order(items: list[int], count: int) -> None:
    with ahead(items, count) as ready:
        assert list(ready) == items


def test_no_more_than_asked_for_are_made_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for n in range(100):
            made.append(n)
            yield n

    with ahead(items(), count=3) as ready:
        for taken in range(1, 6):
            next(ready)
            time.sleep(0.02)
            assert len(made) <= taken + 3
        assert len(made) == 8


def test_items_are_made_while_the_consumer_works() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    with ahead(items(), count=1) as ready:
        next(ready)
        assert second.wait(timeout=5)


def fails_at(number: int) -> Iterator[int]:
    yield from range(number)
    raise FloatingPointError("the teacher diverged")


def test_an_exception_arrives_with_its_traceback() -> None:
    with pytest.raises(FloatingPointError, match="diverged") as caught, ahead(fails_at(2), 4) as ready:
        for _ in ready:
            pass
    assert "fails_at" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_an_exception_does_not_wait_for_the_items_before_it() -> None:
    with ahead(fails_at(2), count=4) as ready:
        time.sleep(0.1)
        with pytest.raises(FloatingPointError):
            next(ready)


@pytest.mark.parametrize("count", [1, 4])
def test_leaving_early_stops_the_thread(count: int) -> None:
    def endless() -> Iterator[Tensor]:
        while True:
            yield torch.zeros(10)

    with ahead(endless(), count) as ready:
        next(ready)
    with pytest.raises(KeyError), ahead(endless(), count) as ready:
        {}[next(ready)]
    with ahead(endless(), count):
        pass


def test_closing_a_generator_around_it_stops_the_thread() -> None:
    def batches() -> Iterator[int]:
        with ahead(iter(range(100)), count=2) as ready:
            yield from ready

    reading = batches()
    next(reading)
    assert any(thread.name == "cotwin-ahead" for thread in threading.enumerate())
    reading.close()  # type: ignore[attr-defined]


def test_asking_after_the_end_does_not_hang() -> None:
    with ahead(iter(range(100)), count=2) as ready:
        next(ready)
    assert len(list(ready)) <= 3


@pytest.mark.parametrize("count", [0, 2])
def test_gradients_stay_on_in_the_consumer(generated: Callable[..., RolloutWindows], count: int) -> None:
    windows, model = generated(12), nn.Linear(16, 16)
    windows.teacher.eval()
    with ahead((windows.__getitems__([n, n + 1]) for n in range(10)), count) as batches:
        for batch in batches:
            assert torch.is_grad_enabled()
            model.zero_grad()
            model(batch.states).square().mean().backward()
            assert model.weight.grad is not None


def test_a_producer_that_yields_inside_no_grad_does_not_reach_the_consumer() -> None:
    @torch.no_grad()
    def items() -> Iterator[Tensor]:
        with torch.no_grad():
            for _ in range(5):
                yield torch.zeros(2)

    with ahead(items(), count=2) as ready:
        for _ in ready:
            assert torch.is_grad_enabled()


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"), ahead([], -1):
        pass


class Watched(Windows):
    """Numbers in place of windows, and what was asked for."""

    def __init__(self, count: int, ahead_bytes: int, epoch_number: int = 0) -> None:
        self.count, self.ahead_bytes, self.epoch_number = count, ahead_bytes, epoch_number
        self.asked: list[int] = []
        self.announced: list[int] = []

    def __len__(self) -> int:
        return self.count

    @property
    def window_shape(self) -> tuple[int, ...]:
        return (2, 1, 4)

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        self.asked.append(len(indices))
        for index, row in zip(indices, rows, strict=True):
            batch.states[row] = 1000 * self.epoch_number + index

    def will_read(self, indices: Sequence[int]) -> None:
        self.announced += indices

    def epoch(self, number: int) -> Watched:
        self.epoch_number = number
        return self


def batched(count: int, batch_size: int, seed: int) -> list[list[int]]:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return [part.tolist() for part in order.split(batch_size)]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 40_000), st.integers(1, 3))
def test_served_as_asked_for_whatever_is_prepared_ahead(
    count: int, batch_size: int, ahead_bytes: int, num_epochs: int
) -> None:
    """Every epoch the same multiset of windows, in the order asked for, cut as asked for."""
    windows = Watched(count, ahead_bytes)
    epochs = [(number, batched(count, batch_size, number)) for number in range(num_epochs)]
    served = [batch.states[:, 0, 0, 0].tolist() for batch in serve(windows, epochs, batch_size)]
    assert served == [[1000 * number + index for index in rows] for number, epoch in epochs for rows in epoch]
    # What may be alive at once, counted generously, stays within what may be held.
    if max(windows.asked) > batch_size:
        assert GROUPS_ALIVE * max(windows.asked) * windows.window_bytes <= ahead_bytes
        assert max(windows.asked) < ROLLOUT_WINDOWS + batch_size


def test_batches_are_generated_together_by_a_thread_only_if_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "has_spare_core", lambda: True)
    rows = [(0, batched(400, 10, seed=0))]
    for ahead_bytes, asked, threads in ((0, 10, 0), (10 * 32 * GROUPS_ALIVE - 1, 10, 0), (50_000, 130, 1)):
        windows = Watched(400, ahead_bytes)
        batches = serve(windows, rows, batch_size=10)
        next(batches)
        assert sum(thread.name == "cotwin-ahead" for thread in threading.enumerate()) == threads
        batches.close()
        assert windows.asked[0] == asked


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_a_thread_generates_only_on_a_core_that_torch_leaves(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    torch.set_num_threads(2)
    batches = serve(Watched(40, ahead_bytes=10**6), [(0, batched(40, 10, seed=0))], batch_size=10)
    next(batches)
    threads = sum(thread.name == "cotwin-ahead" for thread in threading.enumerate())
    batches.close()
    assert threads == (1 if cores > 2 or torch.cuda.is_available() else 0)


def test_the_first_batch_and_each_next_one_are_announced() -> None:
    windows = Watched(40, ahead_bytes=0)
    rows = batched(40, 10, seed=0)
    batches = serve(windows, [(0, rows)], batch_size=10)
    for number in range(4):
        next(batches)
        assert windows.announced == [index for part in rows[: number + 2] for index in part]


def test_generated_ahead_equals_kept(generated: Callable[..., RolloutWindows]) -> None:
    windows = generated(30)
    windows.teacher.eval()
    kept = StoredWindows(InMemory(windows.generate(range(30)).clone()))
    read = RolloutWindows(windows.teacher, windows.starts, windows.num_steps, ahead_bytes=10**7)
    epochs = [(number, batched(30, 7, number)) for number in range(3)]
    for one, other in zip(serve(read, epochs, 7), serve(kept, epochs, 7), strict=True):
        torch.testing.assert_close(one.states, other.states, rtol=1e-6, atol=1e-6)


def test_fresh_starts_differ_from_epoch_to_epoch_and_come_again_with_the_same_number(
    generated: Callable[..., RolloutWindows],
) -> None:
    windows = generated(6)
    windows.teacher.eval()

    def draw(epoch: int) -> PickedStates:
        return PickedStates(torch.randn(6, 2, 16, generator=torch.Generator().manual_seed(epoch)))

    fresh = RolloutWindows(windows.teacher, draw(0), 3, 10**6, draw)
    epochs = [(number, [[0, 1, 2], [3, 4, 5]]) for number in (4, 5, 4)]
    first, second, third = (torch.cat([a.states, b.states]) for a, b in pairs(serve(fresh, epochs, 3)))
    assert torch.equal(first, third)
    assert torch.equal(first[:, 0], draw(4).every())
    assert not torch.isclose(first, second).all(dim=(1, 2, 3)).any()


def pairs(batches: Iterator[Batch]) -> Iterator[tuple[Batch, Batch]]:
    return zip(batches, batches, strict=True)
