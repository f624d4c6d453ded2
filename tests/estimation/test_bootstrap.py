"""Resampling: what it draws, and how far its estimates scatter beside Laplace's deviation."""

from __future__ import annotations

import math

import pytest
import torch
from estimation_cases import F64, line, measured, noise, sources, starts
from torch import Tensor

from cotwin.estimation import Estimation, LeastSquares, Measurements, NoisyStarts, bootstrap, estimate
from cotwin.estimation.bootstrap import resample
from cotwin.given import Given
from cotwin.parameters import Grouped, Positive, Real
from cotwin.physics.heat import Heat

STEPS, LEVEL, NAME = 60, 0.2, "first"


def estimation(errors: Tensor | None = None, count: int = 4) -> Estimation:
    """Of one source from trajectories of a linear model, whose errors are independent if none are given."""
    model = sources(line(12), first=Real(torch.tensor(0.7, dtype=F64)))
    states = starts(model.layout, count=count)
    measurements = measured(model, states, STEPS, LEVEL)
    if errors is not None:
        exact = measured(model, states, STEPS, 0.0, known=False).values
        measurements = Measurements(measurements.observation, exact + errors.flatten(), LEVEL)
    return estimate(model, states, measurements)


@pytest.mark.slow
@pytest.mark.parametrize("block", [0.5, 2.0, 5.9])
def test_deviations_are_laplaces_where_errors_are_independent(block: float) -> None:
    """Whatever the block; with four trajectories and blocks of all times, a draw is of eight."""
    found = estimation()
    resampled = bootstrap(found, 400, block=block)
    deviation = float(resampled.samples[NAME].std())
    blocks = 4 * (1 + round(5.9 / block))
    # The relative standard error of a deviation from so many blocks, and from 400 draws.
    error = math.sqrt(0.5 / blocks + 0.5 / 400)
    assert resampled.failed == 0
    assert deviation == pytest.approx(float(found.intervals[NAME].deviation), rel=3 * error)


def test_deviations_grow_where_errors_hang_together_in_time() -> None:
    """By as much as the estimate really scatters, of which Laplace's interval knows nothing."""
    together = 10
    errors = LEVEL * noise(4, STEPS // together, 1, 12).repeat_interleave(together, dim=1)
    found = estimation(errors)
    laplace = float(found.independent[NAME].deviation)
    deviation = float(bootstrap(found, 400, block=2.0).samples[NAME].std())
    assert deviation > 2 * laplace
    # There are ten times fewer independent errors; 16 blocks make a draw.
    assert deviation == pytest.approx(math.sqrt(together) * laplace, rel=3 * math.sqrt(0.5 / 16))


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, LEVEL])
def test_whole_trajectories_count_what_differs_between_them(offset: float) -> None:
    """Errors of a trajectory that share an offset scatter the estimate more than Laplace's interval knows."""
    count = 24
    own = offset * noise(count, 1, 1, 1).expand(count, STEPS, 1, 12)
    found = estimation(own + LEVEL * noise(count, STEPS, 1, 12, seed=1), count)
    resampled = bootstrap(found, 400, block=math.inf)
    # The sandwich: the scores of trajectories, as they are.
    problem = found.problem
    linear = problem.linearise(found.z[None])
    scores = torch.zeros(count, dtype=F64).index_add(
        0, problem.observation.trajectory, linear.by_raw[0, :, 0] * linear.misfit[0]
    )
    sandwich = float(scores.norm() / linear.by_raw[0, :, 0].square().sum())
    deviation = float(resampled.samples[NAME].std())
    assert deviation == pytest.approx(sandwich, rel=3 * math.sqrt(0.5 / 400))
    plain = found.independent.get(NAME, found.intervals[NAME])
    assert (deviation > 2 * float(plain.deviation)) == (offset > 0)


def test_one_trajectory_cannot_be_resampled_whole() -> None:
    with pytest.raises(ValueError, match="give a block of time"):
        bootstrap(estimation(count=1), 10, block=math.inf)


def test_each_value_is_drawn_once_in_the_mean_and_in_blocks_of_one_trajectory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = estimation()
    drawn: list[Tensor] = []
    resampled = type(found.problem).resampled
    monkeypatch.setattr(
        type(found.problem), "resampled", lambda self, repeats: (drawn.append(repeats), resampled(self, repeats))[1]
    )
    bootstrap(found, 500, block=2.0)
    repeats = drawn[0].view(500, 4, STEPS, 12)
    assert bool((repeats == repeats[..., :1]).all())  # all places of a time together
    mean = repeats.mean(dim=0)
    torch.testing.assert_close(mean, torch.ones_like(mean), rtol=0.0, atol=5 / math.sqrt(500))


def test_the_quantiles_are_of_the_samples_and_the_seed_decides_them() -> None:
    found = estimation()
    first, second, other = (bootstrap(found, 50, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.samples[NAME], second.samples[NAME])
    assert not torch.equal(first.samples[NAME], other.samples[NAME])
    assert float(first.low[NAME]) == pytest.approx(float(first.samples[NAME].quantile(0.05)))
    assert float(first.high[NAME]) == pytest.approx(float(first.samples[NAME].quantile(0.95)))


@pytest.mark.parametrize("block", [0.0, -1.0, 7.0])
def test_blocks_that_are_none_are_refused_with_the_span(block: float) -> None:
    with pytest.raises(ValueError, match=r"give a length of time up to that of the measurements, 5\.9"):
        bootstrap(estimation(), 10, block=block)


def test_resamplings_too_few_for_the_level_are_said_to_be() -> None:
    """Of 10 nine in ten intervals would have to leave out half a one at each end."""
    found = estimation()
    bootstrap(found, 20)
    assert not any("are few" in warning for warning in found.warnings)
    bootstrap(found, 10)
    assert "10 resamplings are few for intervals of 0.9: " in found.warnings[-1]
    assert found.warnings[-1].endswith("Take 20 or more.")
    with pytest.raises(ValueError, match="replicates is 0"):
        bootstrap(found, 0)


def test_a_trajectory_that_has_an_unknown_for_itself_is_not_drawn_as_a_whole() -> None:
    """It would say the same of its unknown in every draw."""
    layout = line(12)
    own = Grouped(Positive(torch.full((6,), 0.02, dtype=F64)), torch.arange(6))
    heat, states = Heat(layout, own), starts(layout, count=6)
    around = NoisyStarts(states, torch.ones(1, dtype=F64), 0.2)
    measurements = measured(Heat(layout, Positive(0.02)), states, 8, LEVEL)
    problem = LeastSquares(heat, around, measurements, given=Given.of(6))
    with pytest.raises(ValueError, match="the same each time"):
        resample(problem, 5, math.inf, 0)
    drawn = resample(problem, 5, None, 0).view(5, 6, -1)
    assert bool((drawn.amax(dim=2) > drawn.amin(dim=2)).any())
