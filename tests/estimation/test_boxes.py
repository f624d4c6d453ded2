"""Means over boxes with places and times of their own: what `Regions` sees of fixed ones, and `Points` of none."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from observation_cases import DT, anywhere, generator, layout, random_states, sampled, times_up_to
from second_device import DEVICE, second_device

from cotwin.estimation.observation import Boxes, Points, Regions, Weighted, box_region
from cotwin.layout import Boundary, Centring

KINDS: list[tuple[Boundary, Centring]] = [("periodic", "cells"), ("neumann", "cells"), ("dirichlet", "nodes")]


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(list(product(KINDS, KINDS))),
    st.lists(st.floats(1, 3), min_size=2, max_size=2),
    st.lists(st.floats(0.01, 2), min_size=2, max_size=2),
)
def test_the_mean_over_a_box_is_that_of_its_region(
    kinds: tuple[tuple[Boundary, Centring], ...], low: list[float], width: list[float]
) -> None:
    spaces = layout(5, 7, boundary=(kinds[0][0], kinds[1][0]))
    spaces = replace(spaces, centring=(kinds[0][1], kinds[1][1]))
    ends = []
    for axis, (lower, wide) in enumerate(zip(low, width, strict=True)):
        last = lower + 2 if spaces.is_periodic(axis) else 3.0
        upper = min(lower + wide, last)
        if upper - lower < 1e-3:
            return
        ends.append((lower, upper))
    lower, upper = torch.tensor(ends, dtype=torch.float64).T
    seen = Boxes(spaces, lower[None], upper[None], torch.tensor([1.3 * DT]), torch.tensor([2]))
    region = Regions.means(spaces, box_region(spaces, ends)[None], torch.tensor([1.3 * DT]), ["v"])
    states = random_states(seen)
    torch.testing.assert_close(seen(states), region(states), rtol=1e-6, atol=1e-9)


def test_boxes_of_no_width_are_points() -> None:
    spaces = layout(6, 5, boundary=("periodic", "neumann"))
    places, times = anywhere(spaces, 30), times_up_to(1.0, 30)
    channel = torch.zeros(30, dtype=torch.long)
    boxes, points = Boxes(spaces, places, places, times, channel), Points(spaces, places, times, channel)
    states = random_states(points)
    torch.testing.assert_close(boxes(states), points(states))
    for in_time, in_space in ((6, 4), (4, 6)):
        torch.testing.assert_close(
            boxes.through(in_time, in_space)(states), points.through(in_time, in_space)(states)
        )


def test_the_mean_of_a_smooth_field_is_of_second_order() -> None:
    errors = []
    for count in (20, 40):
        spaces = layout(count)
        seen = Boxes(spaces, torch.tensor([[1.23]]), torch.tensor([[2.41]]), torch.tensor([DT]), torch.tensor([0]))
        mean = (torch.tensor(2.41).double().sin() - torch.tensor(1.23).double().sin()) / (2.41 - 1.23)
        errors.append(float((seen(sampled(spaces, 1, lambda t, x: x.cos() + 0 * t)) - mean).abs()))
    assert errors[1] < errors[0] / 2.5


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        (0.5, 1.5, "outside the domain"),
        (2.5, 3.5, "outside the domain"),
        (2.0, 1.5, "a box ends below where it begins"),
    ],
)
def test_boxes_that_are_none_are_refused(lower: float, upper: float, message: str) -> None:
    ends = [torch.tensor([[one]]) for one in (lower, upper)]
    with pytest.raises(ValueError, match=message):
        Boxes(layout(6), *ends, torch.tensor([DT]), torch.tensor([0]))


def test_a_box_is_no_longer_than_a_period() -> None:
    with pytest.raises(ValueError, match="a box is longer than the period along x; give at most 2"):
        Boxes(
            layout(6, boundary="periodic"),
            torch.tensor([[1.0]]),
            torch.tensor([[3.1]]),
            torch.tensor([DT]),
            torch.tensor([0]),
        )


def test_boxes_of_more_cells_than_there_is_memory_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotwin.estimation.observation.boxes.WEIGHTS", 10)
    with pytest.raises(ValueError, match="means over 1 boxes take up to"):
        Boxes(layout(9), torch.tensor([[1.0]]), torch.tensor([[3.0]]), torch.tensor([DT]), torch.tensor([0]))


def test_weighted_values_are_as_they_say() -> None:
    spaces = layout(6)
    seen = Points(spaces, anywhere(spaces, 9), times_up_to(1.0, 9), "u")
    weights = 0.5 + torch.rand(9, generator=generator(), dtype=torch.float64)
    weighted, states = Weighted(seen, weights), random_states(seen)
    torch.testing.assert_close(weighted(states), weights * seen(states))
    torch.testing.assert_close(weighted.through(6, 4)(states), weights * seen.through(6, 4)(states))
    with pytest.raises(ValueError, match="leave the discrepancy out, or the noise"):
        weighted.places()


def test_other_polynomials_are_made_where_the_observation_is() -> None:
    spaces = layout(6, 5, boundary=("periodic", "neumann"))
    lower = anywhere(spaces, 9)
    upper = lower.clone()
    upper[:4, 1] = 3.0
    boxes = Boxes(spaces, lower, upper, times_up_to(1.0, 9), torch.zeros(9, dtype=torch.long))
    seen = Weighted(boxes, 0.5 + torch.rand(9, generator=generator(), dtype=torch.float64))
    states = random_states(seen)
    here = seen.through(6, 6)(states)
    with second_device():
        there = seen.to(DEVICE).through(6, 6)(states.to(DEVICE)).cpu()
    assert torch.equal(there, here)
