"""Linear models with normal noise, of which the posterior is known in closed form."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch
from estimation_cases import F64, line, measured, noise, starts, two_sources
from torch import Tensor

from cotwin.estimation import Estimation, NoisyStarts, estimate, profile
from cotwin.estimation.information import FullInformation
from cotwin.estimation.low_rank import LowRankInformation
from cotwin.estimation.priors import Gaussian, GaussianField
from cotwin.layout import Field, Layout
from cotwin.parameters import Real
from cotwin.physics.function import FunctionStepper

NAMES = ("first", "second")
STEPS, LEVEL = 5, 0.2


def design() -> Tensor:
    """What one unit of each source does to the values, (M, 2); the same for both trajectories."""
    layout = line(12)
    x, times = torch.tensor(layout.points(0), dtype=F64), layout.dt * torch.arange(1, STEPS + 1, dtype=F64)
    columns = [(times[:, None] * torch.cos(math.pi * order * x)).flatten().repeat(2) for order in (1, 2)]
    return torch.stack(columns, dim=1)


def of_start(states: Tensor) -> Tensor:
    """What the starts alone do to the values."""
    return states[:, 0, None].expand(-1, STEPS, -1).flatten()


def numbers(estimation: Estimation, what: str) -> Tensor:
    return torch.stack([getattr(estimation.intervals[name], what) for name in NAMES])


def posterior(
    design: Tensor, values: Tensor, covariance: Tensor, prior: Tensor, mean: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and covariance for values = design · θ + noise, θ normal with this mean and precision."""
    weighted = torch.linalg.solve(covariance, design)
    spread = torch.linalg.inv(design.mT @ weighted + prior)
    return spread @ (weighted.mT @ values + prior @ mean), spread


@pytest.mark.parametrize("informed", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_estimates_and_deviations_are_those_of_the_posterior(informed: bool, noisy: bool) -> None:
    model = two_sources(0.7, -0.4)
    truth = starts(model.layout)
    measurements = measured(model, truth, STEPS, LEVEL)
    size = measurements.observation.size
    guess = truth + 0.3 * noise(*truth.shape, seed=1)
    given = NoisyStarts(guess, torch.tensor([0.3], dtype=F64)) if noisy else truth
    priors = {NAMES[0]: Gaussian(1.0, 0.2)} if informed else None
    found = estimate(two_sources(), given, measurements, priors=priors, level=0.8)

    covariance = LEVEL**2 * torch.eye(size, dtype=F64)
    if noisy:
        # A start of deviation 0.3 is in all values of its place and trajectory alike.
        points = model.layout.grid[0]
        place = torch.arange(size) % points + points * measurements.observation.trajectory
        covariance = covariance + 0.3**2 * (place[:, None] == place[None, :])
    precision = torch.diag(torch.tensor([25.0 if informed else 0.0, 0.0], dtype=F64))
    values = measurements.values - of_start(guess if noisy else truth)
    mean, spread = posterior(design(), values, covariance, precision, torch.tensor([1.0, 0.0], dtype=F64))

    deviation = spread.diagonal().sqrt()
    torch.testing.assert_close(numbers(found, "value"), mean, rtol=0.0, atol=1e-5 * float(deviation.min()) + 1e-6)
    torch.testing.assert_close(numbers(found, "deviation"), deviation, rtol=1e-6, atol=0.0)
    reach = float(scipy.stats.norm.ppf(0.9)) * deviation
    torch.testing.assert_close(numbers(found, "low"), numbers(found, "value") - reach, rtol=0.0, atol=1e-7)
    torch.testing.assert_close(numbers(found, "high"), numbers(found, "value") + reach, rtol=0.0, atol=1e-7)


def test_estimated_starts_are_those_of_the_posterior() -> None:
    """With nothing else to estimate but a source that is known well, a start is a weighted mean."""
    model = two_sources(0.7, -0.4)
    truth = starts(model.layout)
    measurements = measured(model, truth, STEPS, LEVEL)
    guess = truth + 0.3 * noise(*truth.shape, seed=1)
    exact = {name: Gaussian(value, 1e-6) for name, value in zip(NAMES, (0.7, -0.4), strict=True)}
    given = NoisyStarts(guess, torch.tensor([0.3], dtype=F64))
    found = estimate(two_sources(0.7, -0.4), given, measurements, priors=exact)
    driven = (design() @ torch.tensor([0.7, -0.4], dtype=F64)).view(2, STEPS, -1)
    seen = (measurements.values.view(2, STEPS, -1) - driven).sum(dim=1)
    mean = (guess[:, 0] / 0.3**2 + seen / LEVEL**2) / (1 / 0.3**2 + STEPS / LEVEL**2)
    torch.testing.assert_close(found.starts[:, 0], mean, rtol=0.0, atol=1e-4)


def test_profiles_are_laplaces_intervals_where_the_model_is_linear() -> None:
    model = two_sources(0.7, -0.4)
    states = starts(model.layout)
    found = estimate(two_sources(), states, measured(model, states, STEPS, LEVEL))
    for name, (low, high) in profile(found).items():
        interval = found.intervals[name]
        # The search for the end stops within a thousandth of a quantile.
        slack = 2e-3 * found.quantile * float(interval.deviation)
        assert float(low) == pytest.approx(float(interval.low), abs=slack)
        assert float(high) == pytest.approx(float(interval.high), abs=slack)


def test_estimated_noise_makes_students_intervals() -> None:
    model = two_sources(0.7, -0.4)
    states = starts(model.layout)
    measurements = measured(model, states, STEPS, LEVEL, known=False)
    found = estimate(two_sources(), states, measurements)
    values, size = measurements.values - of_start(states), measurements.observation.size
    mean = torch.linalg.lstsq(design(), values[:, None]).solution[:, 0]
    level = ((values - design() @ mean).square().sum() / (size - 2)).sqrt()
    deviation = level * torch.linalg.inv(design().mT @ design()).diagonal().sqrt()
    assert float(found.noise) == pytest.approx(float(level), rel=1e-3)
    torch.testing.assert_close(numbers(found, "deviation"), deviation, rtol=1e-3, atol=0.0)
    assert found.quantile == pytest.approx(float(scipy.stats.t.ppf(0.95, size - 2)))
    assert found.freedom == pytest.approx(size - 2)
    assert found.fit == pytest.approx(1.0, abs=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("guessed", [0.05, 0.3])
def test_the_fit_is_one_in_the_mean_where_all_is_as_assumed(guessed: float) -> None:
    """With starts and priors estimated too: χ² per degree of freedom must not count what they add."""
    model = two_sources(0.7, -0.4)
    truth = starts(model.layout)
    fits = []
    for seed in range(40):
        guess = truth + guessed * noise(*truth.shape, seed=1000 + seed)
        given = NoisyStarts(guess, torch.tensor([guessed], dtype=F64))
        fits.append(estimate(two_sources(), given, measured(model, truth, STEPS, LEVEL, seed=seed)).fit)
    values = torch.tensor(fits)
    assert float((values.mean() - 1).abs()) < 4 * float(values.std()) / math.sqrt(len(fits))


def plane() -> Layout:
    extent = [(0.0, 1.0), (0.0, 1.0)]
    return Layout.box([Field("u")], grid=(5, 4), extent=extent, boundary="periodic", dt=0.5)


def sourced(layout: Layout, truth: Tensor) -> FunctionStepper:
    """∂u/∂t = a field, which is the unknown."""

    def step(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        return u + dt * values["source"]

    return FunctionStepper(layout, step, {"source": Real(truth)})


def test_low_rank_information_is_the_full_one() -> None:
    layout = plane()
    prior = GaussianField(layout, 0.0, 1.0, 0.3)
    truth = 0.5 * noise(*layout.grid)
    states = torch.zeros(1, 1, *layout.grid, dtype=F64)
    found = estimate(
        sourced(layout, 0 * truth),
        states,
        measured(sourced(layout, truth), states, 2, 0.5),
        priors={"source": prior},
    )
    full = found.information
    assert isinstance(full, FullInformation)
    few = LowRankInformation.of(found.problem, found.z)
    slopes = torch.cat([torch.eye(20, dtype=F64), noise(5, 20)])
    ratio = few.deviations(slopes) / full.deviations(slopes)
    # What is left out is of eigenvalues below a tenth, and only makes deviations larger.
    assert 0.999 < float(ratio.min()) <= float(ratio.max()) < 1.05
    linear = found.problem.linearise(found.z[None])
    assert few.learned == pytest.approx(float(linear.leverage().sum()), rel=0.01)
