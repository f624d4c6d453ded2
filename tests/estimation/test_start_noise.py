"""Starts that are taken as measured: intervals that know of their noise."""

from __future__ import annotations

import pytest
from estimation_cases import F64, clean, heat, noise
from torch import Tensor

from cotwin.estimation import Estimation, Grid, Measurements, NoisyStarts, estimate
from cotwin.estimation.start_noise import with_noise_of_starts

TRUE, LEVEL, STEPS = 0.001, 0.3, 20


def found(seed: int, *, exact: bool = False) -> Estimation:
    """From rough starts, as they are or as they were measured."""
    states = clean(heat(TRUE), noise(2, 1, 24, seed=100 + seed), STEPS)
    seen = Grid(heat().layout, 2, STEPS)
    recorded = states + LEVEL * noise(*states.shape, seed=seed)
    starts: Tensor = states[:, 0] if exact else recorded[:, 0]
    return estimate(heat(2 * TRUE), starts, Measurements(seen, seen(recorded)), points=1)


@pytest.mark.slow
def test_intervals_that_know_of_it_cover_and_others_do_not() -> None:
    plain, wider = 0, 0
    for seed in range(20):
        one = found(seed)
        (narrow,), (wide,) = (one.independent or one.intervals).values(), with_noise_of_starts(one).intervals.values()
        plain += bool(narrow.low < TRUE < narrow.high)
        wider += bool(wide.low < TRUE < wide.high)
    assert plain < 10
    assert wider >= 15


def test_it_is_told_with_how_far_it_moves_which_unknown() -> None:
    one = with_noise_of_starts(found(0))
    assert [note.code for note in one.warnings if note.code == "noise_in_starts"] == ["noise_in_starts"]
    assert "most of all diffusivity" in one.warnings[-1]
    assert not one.reliable


def test_noise_that_is_small_beside_the_intervals_changes_nothing() -> None:
    """A smooth start, whose noise the model smooths away at once."""
    states = clean(heat(TRUE), noise(1, 1, 24, seed=3), STEPS)
    start = NoisyStarts(states[:, 0], (0.1 * states.std())[None].to(F64))
    seen = Grid(heat().layout, 1, STEPS)
    one = estimate(heat(2 * TRUE), start, Measurements(seen, seen(states) + LEVEL * noise(seen.size)), points=1)
    assert with_noise_of_starts(one) is one
