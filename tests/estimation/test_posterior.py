"""Draws from posteriors that are known otherwise: normal, Student's, truncated, by quadrature."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from estimation_cases import F64, clean, generator, line, measured, noise, positive, sources, starts, two_sources
from test_langevin import Given
from torch import Tensor

from cotwin.estimation import (
    EnsembleKalman,
    Estimation,
    Grid,
    Measurements,
    NoisyStarts,
    Posterior,
    estimate,
    sample,
)
from cotwin.estimation.posterior import diagnostics
from cotwin.estimation.posterior.langevin import walk, warmed_up
from cotwin.estimation.priors import Gaussian, GaussianField, LogGaussianField, LogNormal
from cotwin.estimation.priors.prior import Prior
from cotwin.layout import Field, Layout
from cotwin.parameters import Bounded, Known, Parameter, Positive, Real
from cotwin.physics.external import ExternalStepper
from cotwin.physics.heat import Heat
from cotwin.stepper import Stepper

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LITTLE = 1e6
"""A noise from which nothing is learned."""


def one_source(parameter: Parameter) -> Stepper:
    return sources(line(12), first=parameter)


def positive_field(points: int, value: float) -> Positive:
    return Positive(torch.full((points,), value, dtype=F64))


def assert_quantiles(draws: Tensor, exact: np.ndarray, effective: float) -> None:
    """The share of draws below each exact quantile, within four standard errors."""
    for q, place in zip(QUANTILES, exact, strict=True):
        share = float((draws < place).double().mean())
        assert abs(share - q) < 4 * math.sqrt(q * (1 - q) / effective), (q, share)


def design(states: Tensor, num_steps: int) -> tuple[Tensor, Tensor]:
    """Of `two_sources`: what each value is without them, and its derivatives to the two amounts, (M,), (M, 2)."""
    x = torch.tensor(line(12).points(0), dtype=F64)
    shapes = torch.stack([torch.cos(math.pi * order * x) for order in (1, 2)])
    times = 0.1 * torch.arange(1, num_steps + 1, dtype=F64)
    by = times[:, None, None] * shapes.T
    plain = states[:, 0][:, None].expand(-1, num_steps, -1)
    return plain.flatten(), by.expand(len(states), -1, -1, -1).reshape(-1, 2)


def both(posterior: Posterior) -> Tensor:
    return torch.stack([posterior.draws[name].flatten() for name in ("first", "second")], dim=1)


def effective(posterior: Posterior) -> float:
    return min(posterior.effective, 4.0 * posterior.log.numel())


@pytest.mark.slow
def test_a_program_without_gradients_has_the_posterior_of_what_it_computes() -> None:
    """Of a linear problem, by a program whose results are rounded to a tenth of the noise, found by an ensemble."""
    layout, x = line(12), torch.tensor(line(12).points(0), dtype=F64).numpy()

    def program(states: np.ndarray, dt: float, amounts: dict[str, float]) -> np.ndarray:
        pushed = amounts["first"] * np.cos(math.pi * x) + amounts["second"] * np.cos(2 * math.pi * x)
        return np.round(states + dt * pushed, 2)

    states, truth = starts(layout), two_sources(0.7, -0.4)
    measurements = measured(truth, states, 3, 0.2)
    model = ExternalStepper(
        layout, program, {name: Real(torch.tensor(0.0, dtype=F64)) for name in ("first", "second")}
    )
    priors = {name: Gaussian(0.0, 100.0) for name in ("first", "second")}
    found = estimate(model, states, measurements, priors=priors, search=EnsembleKalman())
    posterior = sample(found, 300)
    plain, by = design(states, 3)
    covariance = 0.04 * torch.linalg.inv(by.T @ by)
    mean = covariance @ by.T @ (measurements.values - plain) / 0.04
    draws, count, deviation = both(posterior), effective(posterior), covariance.diagonal().sqrt()
    assert posterior.mixed
    assert bool(((draws.mean(dim=0) - mean).abs() < 4 * deviation / math.sqrt(count)).all())
    assert bool(((draws.std(dim=0) / deviation - 1).abs() < 4 / math.sqrt(2 * count)).all())


def test_a_linear_problem_has_its_normal_posterior(tmp_path: Path) -> None:
    import arviz

    model = two_sources(0.7, -0.4)
    states = starts(model.layout)
    measurements = measured(model, states, 3, 0.2)
    found = estimate(two_sources(), states, measurements)
    posterior = sample(found, 200, chains=16)
    plain, by = design(states, 3)
    covariance = 0.04 * torch.linalg.inv(by.T @ by)
    mean = covariance @ by.T @ (measurements.values - plain) / 0.04
    draws, count = both(posterior), effective(posterior)
    deviation = covariance.diagonal().sqrt()
    assert posterior.mixed
    assert posterior.pareto_k < 0
    (tmp_path / "posterior.nc").write_bytes(posterior.as_netcdf())
    assert set(arviz.from_netcdf(tmp_path / "posterior.nc").posterior) == {"first", "second"}  # the noise is known
    assert bool(((draws.mean(dim=0) - mean).abs() < 4 * deviation / math.sqrt(count)).all())
    error = 4 * math.sqrt(2 / count) * deviation[:, None] * deviation
    assert bool(((torch.cov(draws.T) - covariance).abs() < error).all())
    for index in range(2):
        exact = scipy.stats.norm.ppf(QUANTILES, float(mean[index]), float(deviation[index]))
        assert_quantiles(draws[:, index], exact, count)
    low, high = posterior.intervals["first"]
    assert float(low) == pytest.approx(float(found.intervals["first"].low), abs=0.2 * float(deviation[0]))
    assert float(high) == pytest.approx(float(found.intervals["first"].high), abs=0.2 * float(deviation[0]))


def test_with_unknown_noise_it_is_students_and_the_noise_inverse_chi_square() -> None:
    """12 values, two unknowns: ten degrees of freedom."""
    model = two_sources(0.7, -0.4)
    states = starts(model.layout, count=1)
    measurements = measured(model, states, 1, 0.2, known=False)
    posterior = sample(estimate(two_sources(), states, measurements), 200, chains=16)
    plain, by = design(states, 1)
    normal = torch.linalg.inv(by.T @ by)
    mean = normal @ by.T @ (measurements.values - plain)
    square = float((measurements.values - plain - by @ mean).square().sum())
    scale = (square / 10 * normal.diagonal()).sqrt()
    count = effective(posterior)
    for index in range(2):
        exact = scipy.stats.t.ppf(QUANTILES, 10, float(mean[index]), float(scale[index]))
        assert_quantiles(both(posterior)[:, index], exact, count)
    level = np.sqrt(square / scipy.stats.chi2.ppf(1 - np.array(QUANTILES), 10))
    assert_quantiles(posterior.noise.flatten(), level, count)


def test_each_channel_has_a_noise_of_its_own() -> None:
    """Of an amount that two sets of values tell of: their density is the product of two of Student's kind."""
    layout = Layout.box([Field("u"), Field("c")], grid=(10,), extent=[(0.0, 1.0)], boundary="periodic", dt=1.0)
    model = sources(layout, first=Real(torch.tensor(0.5, dtype=F64)))
    states = starts(layout, count=1)
    seen = Grid(layout, 1, 1)
    levels = torch.tensor([0.1, 1.0], dtype=F64)[seen.channel]
    values = seen(clean(model, states, 1)) + levels * noise(seen.size)
    found = estimate(model, states, Measurements(seen, values))
    posterior = sample(found, 400, chains=16)
    by = seen(clean(model, states, 1)) - seen(states[:, None].expand(-1, 2, -1, -1))
    amount = torch.linspace(-1, 2, 6001, dtype=F64)
    apart = (values - seen(states[:, None].expand(-1, 2, -1, -1)))[:, None] - by[:, None] * amount / 0.5
    log = sum(-5 * apart[seen.channel == c].square().sum(dim=0).log() for c in range(2))
    exact = np.interp(QUANTILES, torch.as_tensor(log).softmax(dim=0).cumsum(dim=0).numpy(), amount.numpy())
    assert posterior.mixed
    assert_quantiles(posterior.draws["first"].flatten(), exact, effective(posterior))


@pytest.mark.parametrize("known", [True, False])
def test_noisy_starts_are_integrated_out(known: bool) -> None:
    """y = s + t Σ a cos + noise: the amounts have the posterior of generalised least squares."""
    model = two_sources(0.7, -0.4)
    truth = starts(model.layout, count=2)
    guess = truth + 0.3 * noise(*truth.shape, seed=5)
    measurements = measured(model, truth, 8, 0.2, known=known)
    given = NoisyStarts(guess, torch.tensor([0.3], dtype=F64))
    found = estimate(two_sources(), given, measurements)
    posterior = sample(found, 200, chains=16)
    plain, by = design(guess, 8)
    same = torch.kron(torch.eye(2, dtype=F64), torch.kron(torch.ones(8, 8, dtype=F64), torch.eye(12, dtype=F64)))
    draws, count = both(posterior), effective(posterior)
    levels = [0.2] if known else torch.linspace(0.12, 0.32, 201, dtype=F64).tolist()
    weights, means, deviations = [], [], []
    for level in levels:
        covariance = level**2 * torch.eye(len(plain), dtype=F64) + 0.09 * same
        precision = torch.linalg.inv(covariance)
        own = torch.linalg.inv(by.T @ precision @ by)
        apart = measurements.values - plain
        mean = own @ by.T @ precision @ apart
        residual = apart - by @ mean
        fit = residual @ precision @ residual + torch.logdet(covariance) - torch.logdet(own)
        weights.append(-0.5 * float(fit) - math.log(level))
        means.append(mean)
        deviations.append(own.diagonal().sqrt())
    share = torch.tensor(weights, dtype=F64).softmax(dim=0)
    for index in range(2):
        for q in QUANTILES:
            place = float(draws[:, index].quantile(q))
            below = sum(
                float(part) * scipy.stats.norm.cdf(place, float(mean[index]), float(deviation[index]))
                for part, mean, deviation in zip(share, means, deviations, strict=True)
            )
            assert abs(below - q) < 4 * math.sqrt(q * (1 - q) / count)


def prior_alone(parameter: Parameter, prior: Prior) -> Posterior:
    model = one_source(parameter)
    states = starts(model.layout)
    found = estimate(model, states, measured(model, states, 1, LITTLE), priors={"first": prior})
    return sample(found, 400, chains=16)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameter", "prior", "exact"),
    [
        (positive(1.0), LogNormal(1.0, 2.0), scipy.stats.lognorm(math.log(2.0))),
        (positive(1.0), Gaussian(1.0, 0.2), scipy.stats.truncnorm(-1 / 0.2, np.inf, 1.0, 0.2)),
        (Real(torch.tensor(1.0, dtype=F64)), Gaussian(1.0, 0.7), scipy.stats.norm(1.0, 0.7)),
        (
            Bounded(torch.tensor(1.0, dtype=F64), 0.0, 1.5),
            Gaussian(1.0, 0.7),
            scipy.stats.truncnorm(-1 / 0.7, 0.5 / 0.7, 1.0, 0.7),
        ),
    ],
)
def test_without_data_it_is_the_prior_whatever_the_raw_number(
    parameter: Parameter, prior: Prior, exact: scipy.stats.rv_continuous
) -> None:
    posterior = prior_alone(parameter, prior)
    assert posterior.r_hat < 1.03
    assert_quantiles(posterior.draws["first"].flatten(), exact.ppf(QUANTILES), effective(posterior))


@pytest.mark.slow
def test_a_positive_amount_has_the_density_of_quadrature() -> None:
    """Known no better than by half: prior log-normal times likelihood, per unit of the logarithm."""
    states = starts(line(12))
    measurements = measured(one_source(positive(1.0)), states, 3, 1.0)
    model, prior = one_source(positive(1.0)), LogNormal(0.5, 3.0)
    posterior = sample(estimate(model, states, measurements, priors={"first": prior}), 400, chains=8)
    logarithm = np.linspace(-6, 3, 4001)
    plain, by = (part.numpy() for part in design(states, 3))
    apart = measurements.values.numpy()[:, None] - plain[:, None] - by[:, :1] * np.exp(logarithm)
    density = np.exp(-0.5 * (apart**2).sum(axis=0) - 0.5 * ((logarithm - math.log(0.5)) / math.log(3.0)) ** 2)
    cumulated = np.cumsum(density) / density.sum()
    exact = np.exp(np.interp(QUANTILES, cumulated, logarithm))
    assert posterior.r_hat < 1.03
    assert_quantiles(posterior.draws["first"].flatten(), exact, effective(posterior))


@pytest.mark.slow
def test_priors_of_fields_count_per_unit_of_the_field_or_its_logarithm() -> None:
    """Without data: a normal field by positive numbers keeps its median far from zero; a log-normal one always."""
    layout = line(10)
    for prior, exact in (
        (GaussianField(layout, 1.0, 0.1, 0.3), scipy.stats.norm(1.0, 0.1)),
        (LogGaussianField(layout, 1.0, 2.0, 0.3), scipy.stats.lognorm(math.log(2.0))),
    ):
        model = Heat(layout, positive_field(10, 1.0))
        states = starts(layout)
        found = estimate(model, states, measured(model, states, 1, LITTLE), priors={"diffusivity": prior})
        posterior = sample(found, 400, chains=8)
        assert posterior.r_hat < 1.03
        for point in (0, 5):
            draws = posterior.draws["diffusivity"][..., point].flatten()
            assert_quantiles(draws, exact.ppf(QUANTILES), effective(posterior))


def test_one_seed_gives_the_same_draws_and_another_others() -> None:
    model = two_sources(0.7, -0.4)
    states = starts(model.layout)
    found = estimate(two_sources(), states, measured(model, states, 1, 0.2, known=False))
    first, same, other = (sample(found, 100, chains=2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.raw, same.raw)
    assert torch.equal(first.noise, same.noise)
    assert first.pareto_k == same.pareto_k
    assert not torch.equal(first.raw, other.raw)


def doubtful() -> Estimation:
    """An amount that the data cannot tell from zero, learned through its logarithm, without a prior."""
    states = starts(line(12))
    exact = one_source(positive(0.02))
    return estimate(one_source(positive(0.5)), states, measured(exact, states, 3, 0.2, seed=1))


def test_where_there_is_no_posterior_chains_do_not_mix_and_there_are_no_intervals() -> None:
    """Flat in the logarithm, and the likelihood is the same for all that is nearly zero."""
    found = doubtful()
    posterior = sample(found, 200)
    assert not posterior.mixed
    assert posterior.intervals == {}
    assert "chains_not_mixed" in [note.code for note in found.warnings]


def test_where_laplaces_normal_does_not_do_the_estimate_says_so() -> None:
    found = doubtful()
    assert sample(found, 100).pareto_k > 0.7
    assert "not_normal" in found.reasons
    assert not found.reliable


def test_two_modes_are_said_not_to_mix() -> None:
    """Chains of the Langevin method, four in each of two normal densities that are twelve deviations apart."""
    density = Given(
        lambda x: torch.logaddexp(-0.5 * (x - 6) ** 2, -0.5 * (x + 6) ** 2)[:, 0],
        lambda x: x - 6 * (6 * x).tanh(),
    )
    begin = density.begin(torch.tensor([[-6.0], [-6.0], [6.0], [6.0]], dtype=F64))
    here, size = warmed_up(density, begin, 200, generator())
    draws = torch.stack([one.places.x for one in walk(density, here, 500, size, generator(1))], dim=1)
    assert diagnostics.mixing(draws)[0] > 1.5
    assert diagnostics.mixing(draws.abs())[0] < 1.05


def test_what_has_no_posterior_is_refused() -> None:
    model = two_sources(0.7, -0.4)
    states = starts(model.layout)
    found = estimate(two_sources(), states, measured(model, states, 1, 0.2))
    with pytest.raises(ValueError, match="two chains or more"):
        sample(found, 50)
    with pytest.raises(ValueError, match="two chains or more"):
        sample(found, 100, chains=1)
    twice = sources(line(12), first=Real(torch.tensor(0.1, dtype=F64)), second=positive(1.0))
    blind = estimate(twice, states, measured(model, states, 1, 0.2), priors={})
    open_ended = replace(blind, information=replace(blind.information, values=torch.tensor([1.0, 0.0], dtype=F64)))
    with pytest.raises(ValueError, match="give it a prior"):
        sample(open_ended, 100)


@pytest.mark.slow
def test_a_field_of_many_numbers_is_refused_with_what_can_be_had() -> None:
    layout = line(320)
    model = Heat(layout, positive_field(320, 0.02))
    states = starts(layout)
    prior = LogGaussianField(layout, 0.02, 2.0, 0.1)
    found = estimate(model, states, measured(model, states, 1, 0.1), priors={"diffusivity": prior})
    with pytest.raises(ValueError, match="Laplace's intervals are there for more"):
        sample(found, 100)


def test_without_arviz_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = two_sources(0.7, -0.4)
    states = starts(model.layout)
    found = estimate(two_sources(), states, measured(model, states, 1, 0.2))
    monkeypatch.setitem(sys.modules, "arviz", None)
    monkeypatch.delitem(sys.modules, "cotwin.estimation.posterior.diagnostics", raising=False)
    monkeypatch.delattr("cotwin.estimation.posterior.diagnostics", raising=False)
    with pytest.raises(ValueError, match=r'pip install "cotwin\[posterior\]"'):
        sample(found, 100)


def test_arviz_opens_what_is_written(tmp_path: Path) -> None:
    import arviz

    layout = line(10, "neumann")
    model = Heat(layout, positive_field(10, 0.02))
    states = starts(layout)
    prior = LogGaussianField(layout, 0.02, 2.0, 0.2)
    found = estimate(model, states, measured(model, states, 2, 0.05, known=False), priors={"diffusivity": prior})
    posterior = sample(found, 100, chains=2)
    (tmp_path / "posterior.nc").write_bytes(posterior.as_netcdf())
    data = arviz.from_netcdf(tmp_path / "posterior.nc")
    field = data.posterior["diffusivity"]
    assert field.dims == ("chain", "draw", "x")
    np.testing.assert_array_equal(field.to_numpy(), posterior.draws["diffusivity"].numpy())
    np.testing.assert_allclose(field["x"].to_numpy(), layout.points(0))
    np.testing.assert_array_equal(data.posterior["noise"].to_numpy().squeeze(), posterior.noise.numpy().squeeze())
    np.testing.assert_array_equal(data.sample_stats["lp"].to_numpy(), posterior.log.numpy())
    np.testing.assert_array_equal(data.observed_data["values"].to_numpy(), found.problem.values.numpy())
    draw = posterior.draws["diffusivity"][1, 7]
    predicted = found.problem.observation(clean(Heat(layout, Known(draw)), states, 2))
    level = float(posterior.noise[1, 7, 0])
    exact = scipy.stats.norm.logpdf(found.problem.values, predicted, level)
    np.testing.assert_allclose(data.log_likelihood["values"].to_numpy()[1, 7], exact, rtol=1e-6)
    assert float(arviz.summary(data, var_names=["diffusivity"])["r_hat"].max()) < 1.2
