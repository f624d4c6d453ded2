"""Working ahead changes when items are made, and nothing else."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cotwin.store.prefetch import ahead
from cotwin.windows import RolloutWindows


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
