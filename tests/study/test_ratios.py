"""What errors over seeds allow to be said, and how often chance alone says something."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cotwin.study.gain import gain
from cotwin.study.ratios import geometric_mean, noise_of, paired

INF = math.inf
ERRORS = st.lists(st.floats(1e-6, 1e3), min_size=3, max_size=8)


@given(ERRORS, st.floats(0.1, 10))
def test_a_constant_ratio_is_found_whatever_the_seeds(errors: list[float], factor: float) -> None:
    ratio = paired([factor * error for error in errors], errors)
    assert ratio.mean == pytest.approx(factor)
    assert ratio.low <= ratio.mean * (1 + 1e-9)
    assert ratio.high >= ratio.mean * (1 - 1e-9)


@given(ERRORS, ERRORS)
def test_the_inverse_ratio_has_the_inverse_interval(one: list[float], other: list[float]) -> None:
    count = min(len(one), len(other))
    there, back = paired(one[:count], other[:count]), paired(other[:count], one[:count])
    assert (there.mean * back.mean, there.low * back.high) == (pytest.approx(1), pytest.approx(1))


def test_the_interval_is_students() -> None:
    logs = torch.tensor([0.1, 0.3, 0.2, 0.4], dtype=torch.float64)
    ratio = paired(logs.exp().tolist(), [1.0] * 4)
    half = 2.353363 * float(logs.std()) / 2  # t of 95 % with three degrees of freedom, Student (1908)
    assert math.log(ratio.low) == pytest.approx(0.25 - half, rel=1e-5)
    assert math.log(ratio.high) == pytest.approx(0.25 + half, rel=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "noise", "word"),
    [
        ([0.1, 0.11, 0.09], [0.2, 0.2, 0.2], 0.0, "better"),
        ([0.2, 0.2, 0.2], [0.1, 0.11, 0.09], 0.0, "worse"),
        ([0.1, 0.3, 0.2], [0.2, 0.2, 0.2], 0.0, "open"),
        # Seeds may agree by chance: as far apart as the same treatment comes out.
        ([0.18, 0.18, 0.18], [0.2, 0.2, 0.2], 0.17, "open"),
        ([0.1, 0.3, 0.2], [0.1, 0.3, 0.2], 0.17, "same"),
        ([0.1999, 0.1999, 0.1999], [0.2, 0.2, 0.2], 0.0, "open"),
        ([0.1, INF, 0.1, 0.1], [0.2, 0.2, 0.2, 0.2], 0.0, "diverges"),
        ([INF, 0.1, 0.1], [INF, 0.2, 0.2], 0.0, "open"),
        ([INF, INF, INF], [INF, INF, INF], 0.0, "diverges"),
        ([0.1, 0.1], [0.2, 0.2], 0.0, "unsaid"),
    ],
)
def test_never_more_is_said_than_interval_and_null_arm_allow(
    one: list[float], other: list[float], noise: float, word: str
) -> None:
    assert paired(one, other, noise).word == word


def test_the_same_treatment_is_called_different_no_more_often_than_the_level_says() -> None:
    logs = 0.17 * torch.randn(3, 1000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    called = 0
    for together, alone, null in zip(*(logs.exp().tolist()), strict=True):
        called += paired(together, alone, noise_of(null, alone)).word in ("better", "worse")
    # At most one in ten, with a deviation of 9.5.
    assert called <= 120


def test_a_geometric_mean_is_of_what_is_finite() -> None:
    assert geometric_mean([1.0, 4.0, INF]) == pytest.approx(2.0)
    assert geometric_mean([INF]) == INF
    assert geometric_mean([0.0, 1.0]) < 1e-100


@given(st.floats(0.2, 2.0), st.floats(1.01, 31.0))
def test_the_gain_is_exact_where_errors_are_a_power_of_the_number(power: float, needed: float) -> None:
    alone = {number: [3.0 * number**-power] * 3 for number in (1, 2, 4, 8, 16, 32)}
    found = gain(alone, [3.0 * needed**-power] * 3, used=2)
    assert found is not None
    assert found.factor == pytest.approx(needed / 2) == found.low == found.high
    assert found.bound == ""


def test_a_gain_beyond_what_was_tried_is_a_bound() -> None:
    alone = {1: [0.4, 0.4], 2: [0.2, 0.2], 4: [0.3, 0.1]}

    def found(*reached: float) -> str:
        return str(gain(alone, reached, used=2))

    assert found(0.05, 0.05) == "at least 2 times"
    assert found(0.5, 0.5) == "at most 0.5 times"
    assert found(0.5, 0.05) == "about 1 times"
    # More data that do worse by chance are no reason to need more.
    assert found(0.2, 0.2) == "1 times (1 to 1)"
    assert gain(alone, [0.2, INF], used=2) is None
    assert str(gain({1: [INF] * 2, 2: [0.1] * 2}, [0.1] * 2, used=1)) == "2 times (2 to 2)"
