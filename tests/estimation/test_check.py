"""The same experiment again and again: what a check finds, what it must not find, and what it leaves out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from estimation_cases import F64, clean, colony, fisher, heat, line, measured, noise, sources, starts, two_sources
from torch import Tensor

from cotwin.estimation import Estimation, Grid, Measurements, NoisyStarts, check, estimate
from cotwin.estimation.check import forecast
from cotwin.estimation.priors import Gaussian, GaussianField, LogNormal, Prior
from cotwin.estimation.redone import one_by_one, redone
from cotwin.estimation.replicas import Replicas, source_of
from cotwin.layout import Field, Layout
from cotwin.parameters import CoarseField, Positive, Real
from cotwin.physics.function import FunctionStepper
from cotwin.report.check import draw, render

DRAWS = 300
CHANCE = 1e-4
"""How rarely what is right fails a test here."""
ZERO = torch.zeros(1, 1, 12, dtype=F64)


def amounts(known: bool, priors: dict[str, Prior] | None = None, level: float = 0.9) -> Estimation:
    """Of a model that is linear in its unknowns, so that Laplace's intervals are exact."""
    data = measured(two_sources(0.3, -0.2), ZERO, 3, 0.5, known=known)
    return estimate(two_sources(), ZERO, data, priors=priors, level=level)


BOTH: dict[str, Prior] = {"first": Gaussian(0.5, 0.3), "second": Gaussian(0.0, 0.3)}
LINEAR = {
    "known noise": lambda: amounts(known=True),
    "estimated noise": lambda: amounts(known=False),
    "priors of both": lambda: amounts(known=True, priors=BOTH),
    # Far from the estimate: all draws would be pulled to one side.
    "a prior of one": lambda: amounts(known=True, priors={"first": Gaussian(2.0, 0.4)}),
}


@pytest.mark.parametrize("case", LINEAR)
def test_intervals_of_a_linear_problem_cover_and_its_ranks_are_uniform(case: str) -> None:
    found = LINEAR[case]()
    result = check(found, DRAWS, searches=0)
    assert result.source == ("priors" if case == "priors of both" else "estimate")
    assert result.settled == DRAWS
    for one in result.coverages.values():
        held = round(one.share * DRAWS)
        assert scipy.stats.binomtest(held, DRAWS, found.level).pvalue > CHANCE
        assert scipy.stats.kstest(one.ranks[:, 0].numpy(), "uniform").pvalue > CHANCE
        assert abs(one.bias) < 4 * one.bias_error
        assert one.share_error == pytest.approx(math.sqrt(one.share * (1 - one.share) / DRAWS), rel=0.01)


def squared(amount: float) -> FunctionStepper:
    """∂u/∂t = a² cos(π x): what is measured says the same of a and of −a, and little of a small one."""
    layout = line(12)
    shape = torch.cos(math.pi * torch.tensor(layout.points(0), dtype=F64))

    def step(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        return u + dt * values["amount"] ** 2 * shape

    return FunctionStepper(layout, step, {"amount": Real(torch.tensor(amount, dtype=F64))})


def bent(level: float) -> Estimation:
    return estimate(squared(0.8), ZERO, measured(squared(0.5), ZERO, 3, level, known=True))


def held_in_theory(found: Estimation) -> float:
    """All values say as much as one of a², with noise s: its root, ± s/(2a) times the quantile; none below zero."""
    middle, deviation = float(found.z[0]), float(found.intervals["amount"].deviation)
    s = 2 * abs(middle) * deviation
    rng = np.random.default_rng(0)
    truth = middle + deviation * rng.standard_normal(10**6)
    square = truth**2 + s * rng.standard_normal(10**6)
    truth, square = truth[square > 0], square[square > 0]
    root = np.sign(truth) * np.sqrt(square)
    return float(np.mean(np.abs(root - truth) <= scipy.stats.norm.ppf(0.95) * s / (2 * np.abs(root))))


def test_intervals_that_a_bent_equation_makes_wrong_are_found() -> None:
    found = bent(0.4)
    one = check(found, DRAWS, searches=0).coverages["amount"]
    expected = held_in_theory(found)
    assert expected < found.level - 0.05
    assert one.share == pytest.approx(expected, abs=4 * one.share_error)


def few_of_one_channel() -> Estimation:
    """Two fields with a noise and an amount each; of the first three values are seen: two degrees of freedom."""
    layout = Layout.box([Field("u"), Field("v")], grid=(12,), extent=[(0.0, 1.0)], boundary="periodic", dt=0.1)

    def step(state: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        rates = torch.stack([values["first"], values["second"]])
        return state + dt * rates[:, None]

    amounts = {name: Real(torch.tensor(0.3, dtype=F64)) for name in ("first", "second")}
    model = FunctionStepper(layout, step, amounts)
    mask = torch.ones(1, 4, 2, 12, dtype=torch.bool)
    mask[:, :, 0] = False
    mask[:, 3, 0, :3] = True
    states = clean(model, torch.zeros(1, 2, 12, dtype=F64), 3)
    seen = Grid(layout, 1, 3, mask)
    return estimate(model, states[:, 0], Measurements(seen, seen(states) + 0.1 * noise(seen.size)))


def test_intervals_reach_as_far_as_the_channel_with_the_fewest_values_asks() -> None:
    """The noise of the first is known by two degrees of freedom, whose quantile holds for both."""
    found = few_of_one_channel()
    assert found.quantile == pytest.approx(scipy.stats.t.ppf(0.95, 2), rel=1e-6)
    result = check(found, DRAWS, searches=0)
    one, other = result.coverages["first"], result.coverages["second"]
    assert one.share == pytest.approx(found.level, abs=4 * one.share_error)
    expected = 2 * scipy.stats.t.cdf(found.quantile, 35) - 1
    assert other.share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / DRAWS))


def test_a_corrected_interval_is_as_wide_as_the_level_asks_of_other_draws() -> None:
    found = few_of_one_channel()
    one, other = (check(found, DRAWS, searches=0, seed=seed).coverages["second"] for seed in (0, 1))
    mended = (other.reaches <= one.factor).double().mean()
    assert float(mended) == pytest.approx(found.level, abs=4 * math.sqrt(2 * 0.09 / DRAWS))


def test_a_truth_that_the_whole_search_does_not_come_to_is_counted() -> None:
    """From a positive amount it finds a positive one. Half of the priors' truths are negative."""
    data = measured(squared(0.5), ZERO, 3, 0.01, known=True)
    found = estimate(squared(0.8), ZERO, data, priors={"amount": Gaussian(0.0, 0.5)})
    result = check(found, 40)
    assert result.searches == 10
    negative = int((Replicas.drawn(found, 40, 0).truth[:10, 0] < 0).sum())
    assert 0 < negative < 10
    assert result.searches - result.same >= negative
    assert not result.reliable
    assert "whole searches ended elsewhere" in result.verdict


def test_truths_that_diverge_are_counted_and_left_out() -> None:
    layout = line(12)

    def step(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        return u + dt * torch.where(values["amount"] > 0.6, torch.inf, values["amount"])

    model = FunctionStepper(layout, step, {"amount": Real(torch.tensor(0.5, dtype=F64))})
    found = estimate(model, ZERO, measured(model, ZERO, 3, 0.4, known=True))
    far = Replicas.drawn(found, 100, 0).truth[:, 0] > 0.6
    result = check(found, 100, searches=0)
    assert 0 < int(far.sum()) < 100
    assert result.diverged >= int(far.sum())
    assert result.diverged + result.unsettled + result.settled == 100
    assert len(result.coverages["amount"].ranks) == result.settled
    assert f"{100 - result.settled} of 100 repetitions led to no estimate" in result.verdict
    assert not result.reliable


@pytest.mark.parametrize("known", [True, False])
def test_all_together_they_are_estimated_as_one_by_one(known: bool) -> None:
    model = fisher()
    begin = fisher(0.7, 0.8, 1.4)
    found = estimate(begin, colony(model.layout), measured(model, colony(model.layout), 6, 0.1, known=known))
    replicas = Replicas.drawn(found, 4, 0)
    for index, one in enumerate(redone(found, replicas, replicas.measured)):
        other = one_by_one(found, replicas.alone(index), replicas.truth[index])
        assert one is not None
        assert other is not None
        assert one.freedom == pytest.approx(other.freedom)
        for name, interval in one.intervals(found.problem, found.level).items():
            alone = other.intervals(found.problem, found.level)[name]
            slack = 5e-3 * float(interval.deviation)
            assert float(interval.low) == pytest.approx(float(alone.low), abs=slack)
            assert float(interval.high) == pytest.approx(float(alone.high), abs=slack)


def test_truths_around_an_estimate_have_its_covariance() -> None:
    found = amounts(known=True)
    truth = Replicas.drawn(found, 4000, 0).truth
    assert found.information is not None
    deviations = found.information.deviations(torch.eye(2, dtype=F64))
    torch.testing.assert_close(truth.mean(dim=0), found.z, rtol=0, atol=4 * float(deviations.max()) / 4000**0.5)
    torch.testing.assert_close(truth.std(dim=0), deviations, rtol=4 / 8000**0.5, atol=0)


def test_truths_of_a_field_follow_its_prior() -> None:
    """On three coefficients the prior of a field is normal too, of known covariance."""
    layout = line(12)
    field = CoarseField(Real(torch.zeros(3, dtype=F64)), layout)
    model = FunctionStepper(layout, lambda u, dt, values: u + dt * values["force"], {"force": field})
    prior = GaussianField(layout, mean=1.0, deviation=0.5, length=0.3)
    found = estimate(model, ZERO, measured(model, ZERO, 3, 0.1, known=True), priors={"force": prior})
    assert source_of(found) == "priors"
    truth = Replicas.drawn(found, 4000, 0).truth
    slope = found.problem.prior_jacobian(found.z)
    wanted = torch.linalg.inv(slope.mT @ slope)
    centre = torch.ones(3, dtype=F64)
    torch.testing.assert_close(
        truth.mean(dim=0), centre, rtol=0, atol=4 * float(wanted.diagonal().max() / 4000) ** 0.5
    )
    scale = float(wanted.diagonal().max())
    torch.testing.assert_close(torch.cov(truth.mT), wanted, rtol=0, atol=4 * scale * (2 / 4000) ** 0.5)
    # The field's numbers together.
    result = check(found, 200, searches=0)
    one = result.coverages["force"]
    assert one.ranks.shape == (200, 12)
    assert one.share == pytest.approx(0.9, abs=4 * one.share_error)


def test_positive_truths_follow_their_prior() -> None:
    model = heat()
    found = estimate(
        heat(0.03),
        starts(model.layout),
        measured(model, starts(model.layout), 6, 0.2),
        priors={"diffusivity": LogNormal(0.02, 1.5)},
    )
    drawn = Replicas.drawn(found, DRAWS, 0).truth[:, 0].numpy()
    assert scipy.stats.kstest(drawn, "norm", (math.log(0.02), math.log(1.5))).pvalue > CHANCE


@pytest.mark.slow
def test_starts_of_many_numbers_are_drawn_around_their_estimates_and_intervals_cover() -> None:
    """Rough starts of the heat equation: what smooths them is what is estimated, so they must be integrated out."""
    model = heat(0.004)
    states = clean(model, noise(3, 1, 24, seed=9), 4)
    seen = Grid(model.layout, 3, 4, first=0)
    values = seen(states + 0.3 * noise(*states.shape))
    blank = NoisyStarts(torch.zeros(3, 1, 24, dtype=F64), torch.tensor([1.0], dtype=F64))
    result = check(estimate(heat(0.008), blank, Measurements(seen, values, 0.3)), 100)
    assert result.starts == "estimate"
    assert result.off == {}
    one = result.coverages["diffusivity"]
    assert abs(one.bias) < 4 * one.bias_error


@pytest.mark.slow
def test_starts_of_few_numbers_are_drawn_from_their_prior_and_intervals_cover() -> None:
    """What is estimated is of the shape of one wave of a start, whose prior pulls it."""
    layout = line(12)
    level, size = 0.3, 1.0
    model = sources(layout, first=Real(torch.tensor(0.3, dtype=F64)))
    states = clean(model, size * noise(2, 1, 12, seed=3), 3)
    seen = Grid(layout, 2, 3, first=0)
    values = seen(states + level * noise(*states.shape, seed=4))
    blank = NoisyStarts(torch.zeros(2, 1, 12, dtype=F64), torch.tensor([size], dtype=F64))
    found = estimate(model, blank, Measurements(seen, values, level))
    result = check(found, 100)
    assert result.starts == "priors"
    assert result.off == {}
    assert result.same == 10


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ({"level": 0.99}, "take 200 or more"),
        ({"converged": False}, "had not come to rest"),
    ],
)
def test_what_cannot_be_checked_is_refused(change: dict[str, object], cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        check(replace(amounts(known=True), **change), 40)  # type: ignore[arg-type]


@pytest.mark.parametrize(("level", "cure"), [(math.nan, "is not known"), (1e-17, "clean")])
def test_no_noise_is_refused(level: float, cure: str) -> None:
    found = amounts(known=True)
    without = found.problem.with_noise(torch.tensor([level], dtype=F64))
    with pytest.raises(ValueError, match=rf"{cure}.*estimation\.noise"):
        check(replace(found, problem=without), 40)


def test_data_that_say_nothing_of_an_unknown_are_refused() -> None:
    layout = line(12)
    blind = {name: Positive(torch.tensor(1.0, dtype=F64)) for name in ("heard", "silent")}
    model = FunctionStepper(layout, lambda u, dt, values: u + dt * values["heard"], blind)
    found = estimate(model, ZERO, measured(model, ZERO, 3, 0.1))
    with pytest.raises(ValueError, match=r"say nothing about.*silent"):
        check(found, 40)


def test_what_the_estimate_says_against_itself_is_in_the_verdict() -> None:
    """Data without the starts' noise: residuals are three times as large as the noise that was given."""
    values = measured(two_sources(0.3, -0.2), ZERO, 3, 1.5)
    found = estimate(two_sources(), ZERO, replace(values, noise=0.5))
    assert "residuals_large" in found.reasons
    result = check(found, 40, searches=0)
    assert not result.reliable
    assert "residuals_large" in result.verdict


def test_it_is_shown() -> None:
    found = bent(0.05)
    result = check(found, 40)
    lines = [str(part) for part in render(result)]
    assert lines[0] == result.verdict
    assert "cannot find a wrong model" in lines[-1]
    assert draw(result).startswith(b"\x89PNG")
    written = result.as_json()
    assert written["unknowns"][0]["coverage"] == result.coverages["amount"].share
    assert sum(written["unknowns"][0]["rank_counts"]) == result.settled


def test_a_forecast_grows_with_the_draws_and_says_how_many_fit() -> None:
    expected = forecast(bent(0.05))
    assert expected.seconds(400) > expected.seconds(200) > 0
    fit = expected.draws_within(600.0)
    assert fit % 10 == 0
    assert expected.seconds(fit) <= 600.0 < expected.seconds(fit + 10)
