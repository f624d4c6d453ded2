"""Placement is a cost question, answered by a pure function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotwin.store.placement import Placement, choose_placement

MB = 1_000_000
sizes = st.integers(0, 10**13)


@pytest.mark.parametrize(
    ("num_bytes", "memory_budget", "disk_budget", "placement"),
    [
        (0, 8 * MB, 0, "memory"),
        (4 * MB - 1, 8 * MB, 0, "memory"),
        (4 * MB, 8 * MB, 4 * MB, "cache"),
        (4 * MB, 8 * MB, 4 * MB - 1, "on_the_fly"),
        (100 * MB, 8 * MB, 100 * MB, "cache"),
        (100 * MB, 8 * MB, 0, "on_the_fly"),
        (100 * MB, 1000 * MB, 1000 * MB, "memory"),
        (1, 0, 0, "on_the_fly"),
    ],
)
def test_table(num_bytes: int, memory_budget: int, disk_budget: int, placement: Placement) -> None:
    choice = choose_placement(num_bytes, memory_budget, disk_budget)
    assert (choice.placement, choice.num_bytes) == (placement, num_bytes)


def test_reasons_say_the_figures() -> None:
    assert choose_placement(3_100 * MB, 4_000 * MB, 80_000 * MB).reason == (
        "3.1 GB are not under half of the memory budget (4.0 GB) and fit the disk budget (80 GB)"
    )


@given(sizes, sizes, sizes)
def test_nothing_is_placed_beyond_its_budget(num_bytes: int, memory_budget: int, disk_budget: int) -> None:
    placement = choose_placement(num_bytes, memory_budget, disk_budget).placement
    if placement == "memory":
        assert num_bytes < memory_budget / 2
    if placement == "cache":
        assert num_bytes <= disk_budget


@pytest.mark.parametrize("placement", ["memory", "cache", "on_the_fly"])
def test_override_decides(placement: Placement) -> None:
    assert choose_placement(5 * MB, 6 * MB, 6 * MB, placement).placement == placement


@pytest.mark.parametrize("placement", ["memory", "cache"])
def test_override_beyond_the_budget_is_refused(placement: Placement) -> None:
    with pytest.raises(ValueError, match=r"needs 7\.0 MB, the .* budget is 6\.0 MB; raise the budget"):
        choose_placement(7 * MB, 6 * MB, 6 * MB, placement)


def test_negative_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        choose_placement(1, -1, 0)
