"""Starts that were measured with noise: the bias they cause where they pass for exact, and its cure."""

from __future__ import annotations

import math

import pytest
import torch
from estimation_cases import F64, clean, heat, noise
from torch import Tensor

from cotwin.estimation import Grid, LeastSquares, Measurements, NoisyStarts, estimate, levenberg_marquardt

DRAWS, STEPS, TRUTH = 200, 4, 0.004
LEVEL, SIZE = 0.3, 1.0
"""Of the noise, and of the starts: as rough as the noise, so that what smooths the one smooths the other."""
WIDE = 10 * SIZE


def recorded() -> Tensor:
    """All frames of three trajectories, the first included, with noise: (draws, 3, T, 1, 24)."""
    states = clean(heat(TRUTH), SIZE * noise(3, 1, 24, seed=9), STEPS)
    return states + LEVEL * noise(DRAWS, *states.shape)


def blank(deviation: float) -> NoisyStarts:
    """Nothing is known of the starts but how large they may be."""
    return NoisyStarts(torch.zeros(3, 1, 24, dtype=F64), torch.tensor([deviation], dtype=F64))


def bias(seen: Grid, starts: NoisyStarts) -> float:
    """The mean error of the logarithm of the diffusivity, in its standard errors; all draws as one batch."""
    values = torch.stack([seen(states) for states in recorded()])
    problem = LeastSquares(heat(2 * TRUTH), starts, Measurements(seen, values[0], LEVEL)).with_values(values)
    found = levenberg_marquardt(problem, problem.present().repeat(DRAWS, 1))
    assert bool(found.converged.all())
    errors = found.z[:, 0] - math.log(TRUTH)
    deviations = torch.linalg.qr(problem.linearise(found.z).jacobian(), mode="r")[1][:, 0, 0].abs().reciprocal()
    # Their reported deviations are those with which they scatter.
    assert float(errors.std() / deviations.mean()) == pytest.approx(1.0, abs=3 / math.sqrt(2 * DRAWS))
    return float(errors.mean() / errors.std()) * math.sqrt(DRAWS)


@pytest.mark.slow
def test_noise_in_starts_taken_for_exact_makes_the_diffusivity_too_large() -> None:
    seen, errors = Grid(heat().layout, 3, STEPS), []
    for states in recorded()[:40]:
        found = estimate(heat(2 * TRUTH), states[:, 0], Measurements(seen, seen(states), LEVEL))
        errors.append(math.log(float(found.intervals["diffusivity"].value) / TRUTH))
    naive = torch.tensor(errors)
    assert float(naive.mean() / naive.std()) * math.sqrt(len(naive)) > 5


@pytest.mark.slow
def test_starts_estimated_with_it_take_the_bias_away() -> None:
    """The first frame is a measurement like the others, and nothing else is known of the starts."""
    assert abs(bias(Grid(heat().layout, 3, STEPS, first=0), blank(WIDE))) < 3


@pytest.mark.slow
def test_so_do_starts_seen_in_part() -> None:
    mask = torch.ones(3, STEPS + 1, 1, 24, dtype=torch.bool)
    mask[:, 0, :, ::2] = False
    assert abs(bias(Grid(heat().layout, 3, STEPS, mask=mask, first=0), blank(WIDE))) < 3


@pytest.mark.slow
def test_starts_pulled_towards_a_guess_make_it_too_small_when_they_are_fitted_along() -> None:
    assert bias(Grid(heat().layout, 3, STEPS, first=0), blank(SIZE)) < -5


@pytest.mark.slow
def test_starts_that_are_integrated_out_do_not_and_intervals_cover() -> None:
    seen, errors, covered = Grid(heat().layout, 3, STEPS, first=0), [], 0
    for states in recorded()[:20]:
        found = estimate(heat(2 * TRUTH), blank(SIZE), Measurements(seen, seen(states), LEVEL))
        interval = found.intervals["diffusivity"]
        errors.append(math.log(float(interval.value) / TRUTH))
        covered += bool(interval.low < TRUTH < interval.high)
    naive = torch.tensor(errors)
    assert abs(float(naive.mean() / naive.std()) * math.sqrt(len(naive))) < 3
    assert covered >= 15


def test_a_first_frame_as_guess_with_its_noise_is_the_same_as_one_that_is_observed() -> None:
    states = recorded()[0]
    later, every = Grid(heat().layout, 3, STEPS), Grid(heat().layout, 3, STEPS, first=0)
    guessed = NoisyStarts(states[:, 0], torch.tensor([LEVEL], dtype=F64))
    once = estimate(heat(2 * TRUTH), guessed, Measurements(later, later(states), LEVEL))
    again = estimate(heat(2 * TRUTH), blank(1e3 * SIZE), Measurements(every, every(states), LEVEL))
    one, other = once.intervals["diffusivity"], again.intervals["diffusivity"]
    assert float(one.value) == pytest.approx(float(other.value), rel=1e-4)
    assert float(one.deviation) == pytest.approx(float(other.deviation), rel=1e-3)
    torch.testing.assert_close(once.starts, again.starts, rtol=0.0, atol=1e-3)
