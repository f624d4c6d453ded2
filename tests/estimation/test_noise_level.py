"""Noise estimated with the unknowns: right in the mean, channel by channel, whatever is estimated beside it."""

from __future__ import annotations

import math

import pytest
import torch
from estimation_cases import F64, clean, heat, line, measured, noise, positive, starts, two_sources
from torch import Tensor

from cotwin.estimation import Estimation, Grid, Measurements, NoisyStarts, estimate
from cotwin.layout import Field, Layout
from cotwin.physics.heat import Heat

DRAWS = 30


def assert_unbiased(variances: list[Tensor], truth: Tensor) -> None:
    """The mean of σ² is the truth within three standard errors, for each channel."""
    ratio = torch.stack(variances) / truth.square()
    error = ratio.std(dim=0) / math.sqrt(len(ratio))
    assert bool(((ratio.mean(dim=0) - 1).abs() < 3 * error).all()), (ratio.mean(dim=0), error)


@pytest.mark.slow
def test_it_is_unbiased_with_few_values_for_each_unknown() -> None:
    """12 values for two unknowns: without leverage σ² would come out a sixth too small."""
    model = two_sources(0.7, -0.4)
    states = starts(model.layout, count=1)
    found = [
        estimate(model, states, measured(model, states, 1, 0.2, seed=seed, known=False)) for seed in range(DRAWS)
    ]
    assert_unbiased([one.noise.square() for one in found], torch.tensor([0.2], dtype=F64))


@pytest.mark.slow
def test_it_is_unbiased_channel_by_channel() -> None:
    layout = Layout.box([Field("u"), Field("c")], grid=(12,), extent=[(0.0, 1.0)], boundary="neumann", dt=0.1)
    model, levels = Heat(layout, positive(0.02)), torch.tensor([0.02, 0.3], dtype=F64)
    states = starts(layout)
    seen = Grid(layout, 2, 3)
    exact = seen(clean(model, states, 3))
    found = [
        estimate(model, states, Measurements(seen, exact + levels[seen.channel] * noise(seen.size, seed=seed)))
        for seed in range(DRAWS)
    ]
    assert_unbiased([one.noise.square() for one in found], levels)


def from_noisy_starts(seed: int) -> Estimation:
    """Starts guessed with the noise of the data, which are too few to tell them much better."""
    model = heat(points=12)
    truth = starts(model.layout, count=1)
    guess = truth + 0.1 * noise(*truth.shape, seed=1000 + seed)
    given = NoisyStarts(guess, torch.tensor([0.1], dtype=F64))
    return estimate(model, given, measured(model, truth, 3, 0.1, seed=seed, known=False))


@pytest.mark.slow
def test_it_is_unbiased_with_starts_estimated_too() -> None:
    found = [from_noisy_starts(seed) for seed in range(DRAWS // 2)]
    assert_unbiased([one.noise.square() for one in found], torch.tensor([0.1], dtype=F64))


def test_channels_of_which_nothing_is_seen_have_no_noise() -> None:
    layout = Layout.box([Field("u"), Field("c")], grid=(12,), extent=[(0.0, 1.0)], boundary="neumann", dt=0.1)
    model = Heat(layout, positive(0.02))
    mask = torch.ones(2, 4, 2, 12, dtype=torch.bool)
    mask[:, :, 1] = False
    seen = Grid(layout, 2, 3, mask=mask)
    values = seen(clean(model, starts(layout), 3)) + 0.1 * noise(seen.size)
    level = estimate(model, starts(layout), Measurements(seen, values)).noise
    assert math.isfinite(float(level[0]))
    assert math.isnan(float(level[1]))


def test_data_without_noise_end_in_the_truth_and_not_in_a_division_by_zero() -> None:
    model = Heat(line(12, "neumann"), positive(0.02))
    states = starts(model.layout)
    found = estimate(Heat(model.layout, positive(0.05)), states, measured(model, states, 3, 0.0, known=False))
    assert math.isclose(float(found.intervals["diffusivity"].value), 0.02, rel_tol=1e-6)
