"""Regions: a constant's integral is area times constant, and its mean the constant."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from observation_cases import DT, generator, layout, sampled

from cotwin.estimation.observation import Regions, box_region
from cotwin.layout import Boundary

KINDS: list[Boundary] = ["periodic", "dirichlet", "neumann"]


@settings(deadline=None)
@given(st.sampled_from(list(product(KINDS, KINDS))), st.lists(st.floats(1, 3), min_size=4, max_size=4, unique=True))
def test_the_integral_of_a_constant_is_area_times_constant(
    kinds: tuple[Boundary, Boundary], corners: list[float]
) -> None:
    spaces = layout(5, 7, boundary=kinds)
    ends = [(min(pair), max(pair)) for pair in (corners[:2], corners[2:])]
    area = (ends[0][1] - ends[0][0]) * (ends[1][1] - ends[1][0])
    box = box_region(spaces, ends)
    assert ((box >= 0) & (box <= 1 + 1e-9)).all()
    if area < 1e-9:
        return
    states = torch.full((1, 2, *spaces.state_shape), 3.0, dtype=torch.float64)
    times = torch.tensor([DT])
    assert Regions.sums(spaces, box[None], times, ["u"])(states).item() == pytest.approx(3 * area, rel=1e-6)
    assert Regions.means(spaces, box[None], times, ["u"])(states).item() == pytest.approx(3, rel=1e-6)


@settings(deadline=None)
@given(st.floats(1, 3), st.floats(0.01, 2))
@example(3.0, 2.0)
def test_a_box_may_lie_across_the_ends_of_a_periodic_axis(low: float, width: float) -> None:
    spaces = layout(8, boundary="periodic")
    box = box_region(spaces, [(low, low + width)])
    assert float(box.sum()) * spaces.spacing[0] == pytest.approx(width)
    turned = 1 + (low - 1 + 3 * spaces.spacing[0]) % 2
    torch.testing.assert_close(box_region(spaces, [(turned, turned + width)]), box.roll(3), rtol=0, atol=1e-9)


def test_parts_of_the_domain_add_up_to_the_whole() -> None:
    spaces = layout(6, 5)
    halves = torch.stack([box_region(spaces, [(1, 1.9), (1, 3)]), box_region(spaces, [(1.9, 3), (1, 3)])])
    states = torch.randn(2, 4, *spaces.state_shape, generator=generator(), dtype=torch.float64)
    times = torch.arange(4) * DT
    seen = Regions.sums(spaces, halves, times, ["v", "u"], num_trajectories=2)
    whole = states.sum(dim=(-2, -1))[:, :, [2, 0]] * (2 / 6) * (2 / 5)
    torch.testing.assert_close(seen(states).view(2, 4, 2, 2).sum(dim=2), whole)


def test_means_over_regions_are_weighted_averages_however_large_they_are() -> None:
    spaces = layout(6, 5)
    boxes = torch.stack([box_region(spaces, [(1, 1.4), (1, 2)]), box_region(spaces, [(1.1, 3), (1.3, 3)])])
    seen = Regions.means(spaces, boxes, torch.tensor([DT]), ["v"])
    states = torch.randn(seen.states_shape, generator=generator(), dtype=torch.float64)
    expected = [np.average(states[0, 1, 2].numpy(), weights=box.numpy()) for box in boxes]
    assert seen(states).tolist() == pytest.approx(expected)


def test_weights_may_be_any_numbers() -> None:
    spaces = layout(6, 5)
    weights = torch.randn(3, 6, 5, generator=generator(), dtype=torch.float64)
    states = torch.randn(2, 2, *spaces.state_shape, generator=generator(), dtype=torch.float64)
    seen = Regions(spaces, weights, torch.tensor([DT]), ["u"], num_trajectories=2)
    torch.testing.assert_close(seen(states).view(2, 3), torch.einsum("bxy,rxy->br", states[:, 1, 0], weights))


def test_cubics_in_time_are_exact_and_it_says_so() -> None:
    spaces = layout(6)
    times = torch.tensor([0.1, 0.6, 0.75, 1.2], dtype=torch.float64)
    seen = Regions.means(spaces, box_region(spaces, [(1.5, 2)])[None], times, ["u"])
    states = sampled(spaces, seen.num_steps, lambda t, x: 1 + t - 2 * t**3 + 0 * x)
    torch.testing.assert_close(seen(states), 1 + times - 2 * times**3)
    assert seen.notes == ("3 of 4 times lie between two steps of 0.25 s: interpolated by cubic polynomials in time",)


def test_only_the_steps_that_are_needed_are_read() -> None:
    spaces = layout(6)
    seen = Regions.means(spaces, torch.ones(1, 6), torch.tensor([DT, 3 * DT]), ["u"])
    states = torch.full(seen.states_shape, torch.nan)
    states[:, [1, 3], 0] = 2.0
    assert seen(states).tolist() == [2.0, 2.0]


def test_regions_that_are_empty_or_do_not_fit_are_refused() -> None:
    spaces, times = layout(4), torch.tensor([DT])
    for make in (Regions, Regions.sums, Regions.means):
        with pytest.raises(ValueError, match=r"region 1 is empty: .*leave it out"):
            make(spaces, torch.stack([torch.ones(4), torch.zeros(4)]), times, ["u"])
        with pytest.raises(ValueError, match="region 0 has weights that are not finite; give zero outside"):
            make(spaces, torch.tensor([[1.0, torch.nan, 0, 0]]), times, ["u"])
        with pytest.raises(ValueError, match=r"give \(regions, \*grid\), here \(regions, 4\)"):
            make(spaces, torch.ones(1, 5), times, ["u"])
        with pytest.raises(ValueError, match="for one region or more"):
            make(spaces, torch.ones(0, 4), times, ["u"])
        with pytest.raises(ValueError, match="let it start earlier"):
            make(spaces, torch.ones(1, 4), -times, ["u"])
        with pytest.raises(ValueError, match="give a list of names among u, v"):
            make(spaces, torch.ones(1, 4), times, ["w"])
    for make in (Regions.sums, Regions.means):
        with pytest.raises(ValueError, match="For other sums give them to Regions itself"):
            make(spaces, torch.tensor([[1.0, -1.0, 0, 0]]), times, ["u"])


@pytest.mark.parametrize("ends", [(2.0, 1.5), (0.5, 2.0), (2.0, 3.5), (2.0, 2.0), (float("nan"), 2.0)])
def test_boxes_that_are_empty_or_leave_the_domain_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="give ends inside, the lower one first"):
        box_region(layout(4), [ends])


def test_a_box_has_ends_for_each_axis() -> None:
    with pytest.raises(ValueError, match="give one for each"):
        box_region(layout(4, 4), [(1, 2)])
    with pytest.raises(ValueError, match="up to one period above it"):
        box_region(layout(4, boundary="periodic"), [(2.5, 5.0)])
