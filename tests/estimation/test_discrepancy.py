"""A model error that is admitted: its algebra against dense matrices, and what it does for estimates."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from estimation_cases import F64, burgers, clean, fisher, heat, line, measured, noise, positive, starts, two_sources
from torch import Tensor
from torch.distributions import MultivariateNormal

from cotwin.estimation import (
    Discrepancy,
    EnsembleKalman,
    Estimation,
    Grid,
    Joined,
    LeastSquares,
    Measurements,
    NoisyStarts,
    Observation,
    Points,
    Regions,
    bootstrap,
    box_region,
    check,
    estimate,
    next_measurements,
    profile,
)
from cotwin.estimation.admitted import Likelihood, with_longer
from cotwin.estimation.discrepancy import Process
from cotwin.estimation.information import FullInformation
from cotwin.estimation.intervals import laplace_interval
from cotwin.estimation.priors import Gaussian
from cotwin.layout import Field, Layout
from cotwin.physics.heat import Heat

FULL = 1e-12
"""Share left out, so that nothing is."""


def process(observation: Observation, ratio: float, length: float, duration: float, share: float = FULL) -> Process:
    usual = torch.ones(observation.layout.channels, dtype=F64)
    absent = Process.absent(Discrepancy(1.0, length, duration, share), observation, usual)
    return replace(absent, ratio=ratio * usual)


def dense(observation: Observation, ratio: float, length: float, duration: float) -> Tensor:
    """Σ/σ² value by value, from the formulas in the docstring, with images written out."""

    def c(apart: Tensor, reach: float) -> Tensor:
        a = math.sqrt(5) * apart.abs() / reach
        return (1 + a + a**2 / 3) * torch.exp(-a)

    layout, time, place = observation.layout, observation.time, observation.places()
    cov = c(time[:, None] - time, duration) - c(time, duration)[:, None] * c(time, duration)
    for axis in range(layout.dims):
        apart = place[:, None, axis] - place[:, axis]
        around = layout.upper[axis] - layout.lower[axis]
        if layout.boundary[axis] == "periodic":
            images = torch.arange(-60, 61, dtype=F64) * around
            total = c(images, length).sum()
            cov = cov * sum(c(apart + image, length) for image in images) / total
        else:
            cov = cov * c(apart, length)
    series = observation.trajectory * layout.channels + observation.channel
    same = (series[:, None] == series).double()
    return torch.eye(len(time), dtype=F64) + ratio**2 * cov * same


def observations() -> dict[str, Observation]:
    periodic, closed = line(8), line(7, "neumann")
    square = Layout.box([Field("u")], grid=(4, 3), extent=[(0, 1), (0, 2)], boundary=("periodic", "neumann"), dt=0.1)
    gaps = torch.rand(2, 5, 1, 8, generator=torch.Generator().manual_seed(0)) > 0.4
    places = torch.tensor([[0.1], [0.37], [0.9]], dtype=F64)
    moving = torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    times = torch.tensor([0.0, 0.15, 0.3], dtype=F64)
    return {
        "all of a periodic axis": Grid(periodic, 2, 4),
        "with the start": Grid(closed, 1, 3, first=0),
        "two axes": Grid(square, 1, 3),
        "with gaps": Grid(periodic, 2, 4, gaps),
        "sensors": Points.of_sensors(closed, places, times, ["u"], 2),
        "sensors that move": Points.of_sensors(square, moving, times, ["u"]),
        "joined": Joined(Grid(closed, 1, 3), Points.of_sensors(closed, places, times, ["u"])),
    }


@pytest.mark.parametrize("name", list(observations()))
def test_whitening_is_the_inverse_root_of_the_dense_covariance(name: str) -> None:
    """W Wᵀ = Σ⁻¹, W its own transpose, its inverse and determinant: to 1e-8 of a brute-force inverse."""
    seen = observations()[name]
    found, covariance = process(seen, 3.0, 0.3, 0.4), dense(seen, 3.0, 0.3, 0.4)
    white = found.whitened(torch.eye(seen.size, dtype=F64))
    torch.testing.assert_close(white @ white.mT, torch.linalg.inv(covariance), rtol=0, atol=1e-8)
    torch.testing.assert_close(white, white.mT, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.plain(white), torch.eye(seen.size, dtype=F64), rtol=0, atol=1e-9)
    assert float(found.half_log_determinant()) == pytest.approx(float(covariance.logdet()) / 2, abs=1e-8)
    values = noise(seen.size)
    mean = -(covariance - torch.eye(seen.size, dtype=F64)) @ torch.linalg.solve(covariance, values)
    torch.testing.assert_close(found.mean(found.whitened(values)), mean, rtol=0, atol=1e-8)


def test_what_is_left_out_is_no_more_than_its_share() -> None:
    seen = Grid(line(32), 1, 20)
    rough, whole = (process(seen, 1.0, 0.25, 0.7, share) for share in (1e-2, FULL))
    left, total = (torch.stack([one.variances.sum() for one in own.modes]).sum() for own in (rough, whole))
    assert 0.98 * float(total) < float(left) < float(total)
    assert rough.modes[0].vectors.shape[1] < whole.modes[0].vectors.shape[1] / 4


def test_estimates_are_generalised_least_squares() -> None:
    """Of a linear model, with Σ dense: (JᵀΣ⁻¹J)⁻¹ JᵀΣ⁻¹ y, and its covariance."""
    model = two_sources()
    states = starts(model.layout, count=2)
    problem = LeastSquares(model, states, measured(two_sources(0.7, -0.4), states, 4, 0.2))
    seen = problem.observation
    admitted = problem.admitting(process(seen, 2.0, 0.3, 0.2))
    plain, linear = problem.linearise(problem.present()), admitted.linearise(admitted.present())
    step = linear.solve(torch.zeros(1, dtype=F64))[0]
    weight, jacobian = torch.linalg.inv(dense(seen, 2.0, 0.3, 0.2)), plain.by_raw[0]
    normal = jacobian.mT @ weight @ jacobian
    torch.testing.assert_close(
        step, -torch.linalg.solve(normal, jacobian.mT @ weight @ plain.misfit[0]), rtol=1e-8, atol=1e-8
    )
    own = linear.jacobian()[0]
    torch.testing.assert_close(own.mT @ own, normal, rtol=1e-8, atol=0)
    gradient = torch.func.grad(lambda z: admitted.differentiable_cost(z))(admitted.present()[0])
    torch.testing.assert_close(gradient, jacobian.mT @ weight @ plain.misfit[0], rtol=1e-7, atol=1e-7)


def test_the_marginal_likelihood_is_that_of_the_multivariate_normal() -> None:
    """Of a linear model with normal priors, y ~ N(J m, σ² Σ + J Jᵀ); up to a constant, at several σ and τ."""
    model, priors = two_sources(0.3, -0.1), {"first": Gaussian(0.5, 0.8), "second": Gaussian(-0.2, 0.6)}
    states = starts(model.layout, count=1)
    given = measured(two_sources(0.7, -0.4), states, 4, 0.2, known=False)
    problem = LeastSquares(model, states, given, priors)
    seen = problem.observation
    problem = problem.admitting(process(seen, 0.7, 0.3, 0.2))
    linear = problem.linearise(problem.present())
    likelihood = Likelihood(problem, linear, noise_is_known=False)
    jacobian = problem.admitting(None).linearise(problem.present()).by_raw[0]
    wide = torch.tensor([0.8, 0.6], dtype=F64)
    expected = clean(two_sources(0.5, -0.2), states, 4)
    apart = []
    for sigma, ratio in ((1.0, 0.7), (0.2, 0.0), (0.15, 3.0)):
        covariance = sigma**2 * dense(seen, ratio, 0.3, 0.2) + (jacobian * wide) @ (jacobian * wide).mT
        exact = MultivariateNormal(seen(expected), covariance).log_prob(given.values)
        half_normal = -0.5 * (ratio * sigma) ** 2
        level = torch.tensor([sigma], dtype=F64)
        apart.append(likelihood.cost(level, process(seen, ratio, 0.3, 0.2)) + float(exact) + half_normal)
    assert apart[1] == pytest.approx(apart[0], abs=1e-6)
    assert apart[2] == pytest.approx(apart[0], abs=1e-6)


def melted(states: Tensor, num_steps: int, source: Tensor, inner: int = 40) -> Tensor:
    """∂u/∂t = 0.02 ∂²u/∂x² + source on 24 cells of [0, 1] between walls, by another solver: Runge-Kutta."""

    def slope(u: Tensor) -> Tensor:
        flux = torch.nn.functional.pad(24 * u.diff(), (1, 1))
        return 0.02 * 24 * flux.diff() + source

    dt, u, every = 0.1 / inner, states, [states]
    for _ in range(num_steps):
        for _ in range(inner):
            first = slope(u)
            second = slope(u + dt / 2 * first)
            third = slope(u + dt / 2 * second)
            u = u + dt / 6 * (first + 2 * second + 2 * third + slope(u + dt * third))
        every.append(u)
    return torch.stack(every, dim=1)


def heated(seed: int, size: float, level: float = 0.02) -> tuple[Tensor, Measurements]:
    """Two rods with sources of four random cosines each, which `heat` knows nothing of."""
    layout = heat().layout
    x, orders = torch.tensor(layout.points(0), dtype=F64), torch.arange(1, 5, dtype=F64)
    amounts = size * noise(2, 1, 4, seed=seed + 500) / orders
    states, seen = starts(layout, 2, seed=seed + 100), Grid(layout, 2, 15)
    exact = melted(states, 15, amounts @ torch.cos(math.pi * orders[:, None] * x))
    return states, Measurements(seen, seen(exact) + level * noise(seen.size, seed=seed))


def holds(found: Estimation) -> bool:
    interval = found.intervals["diffusivity"]
    return bool(interval.low <= 0.02 <= interval.high)


def half_width(found: Estimation) -> float:
    interval = found.intervals["diffusivity"]
    return float(interval.high - interval.low) / 2


@pytest.mark.slow
def test_intervals_with_a_discrepancy_hold_the_truth_where_plain_ones_do_not() -> None:
    """Of 20 draws at least 15, by independent residuals at most 5. Narrower than the sandwich, in the mean."""
    held, by_noise, widths = 0, 0, list[Tensor]()
    for seed in range(20):
        states, given = heated(seed, 0.3)
        plain = estimate(heat(0.05), states, given)
        found = estimate(heat(0.05), states, given, discrepancy=Discrepancy(0.3))
        independent = plain.independent.get("diffusivity", plain.intervals["diffusivity"])
        held, by_noise = held + holds(found), by_noise + bool(independent.low <= 0.02 <= independent.high)
        widths.append(torch.tensor([half_width(plain), half_width(found)]).log())
    assert held >= 15
    assert by_noise <= 5
    sandwich, own = torch.stack(widths).mean(dim=0)
    assert own < sandwich


@pytest.mark.slow
def test_data_of_the_model_itself_ask_for_none() -> None:
    """Of 20 draws a third for none, and nothing changes then; the others for a quarter of the noise at most."""
    without = 0
    for seed in range(20):
        model = heat()
        states = starts(model.layout, 2, seed=seed + 100)
        given = measured(model, states, 15, 0.02, seed=seed, known=False)
        plain = estimate(heat(0.05), states, given, points=1)
        found = estimate(heat(0.05), states, given, points=1, discrepancy=Discrepancy(0.1))
        assert found.discrepancy is not None
        ratio = half_width(found) / half_width(plain)
        assert float(found.discrepancy.ratio) < 0.25
        assert 0.99 < ratio < 1.4
        if not found.discrepancy.present:
            without += 1
            assert ratio == pytest.approx(1, abs=1e-3)
            assert float(found.noise) == pytest.approx(float(plain.noise), rel=1e-3)
    assert without >= 7


def in_units(length: float, time: float, size: float) -> Estimation:
    """The same rods, measured in other units."""
    states, given = heated(3, 0.1)
    layout = line(24, "neumann", dt=0.1 * time, length=length)
    model = Heat(layout, positive(0.03 * length**2 / time))
    measurements = Measurements(Grid(layout, 2, 15), size * given.values)
    prior = Discrepancy(0.1 * size, 0.3 * length, 0.6 * time)
    return estimate(model, size * states, measurements, points=1, discrepancy=prior)


@pytest.mark.slow
def test_units_do_not_matter() -> None:
    here, there = in_units(1.0, 1.0, 1.0), in_units(100.0, 60.0, 1e-3)
    one, other = here.intervals["diffusivity"], there.intervals["diffusivity"]
    ends = torch.stack([other.value, other.low, other.high]) * 60.0 / 100.0**2
    torch.testing.assert_close(ends, torch.stack([one.value, one.low, one.high]), rtol=1e-5, atol=0)
    assert here.discrepancy is not None
    assert there.discrepancy is not None
    assert float(here.discrepancy.ratio) > 0.3
    torch.testing.assert_close(there.discrepancy.ratio, here.discrepancy.ratio, rtol=1e-4, atol=0)
    torch.testing.assert_close(there.noise * 1e3, here.noise, rtol=1e-4, atol=0)


@pytest.mark.slow
def test_the_noise_that_is_left_is_that_of_the_measurements() -> None:
    """σ within a tenth of the truth, where without a discrepancy the missing source passes for noise."""
    states, given = heated(1, 0.3)
    plain = estimate(heat(0.05), states, given, points=1)
    found = estimate(heat(0.05), states, given, points=1, discrepancy=Discrepancy(0.3))
    assert float(plain.noise) > 0.03
    assert float(found.noise) == pytest.approx(0.02, rel=0.1)
    assert found.discrepancy is not None
    assert found.discrepancy.explained(found.residuals) > 0.6
    assert 5 < found.discrepancy.effective() < 100


def test_a_known_noise_stays_as_it_is() -> None:
    states, given = heated(1, 0.3)
    known = replace(given, noise=0.02)
    found = estimate(heat(0.05), states, known, points=1, discrepancy=Discrepancy(0.3))
    assert float(found.noise) == 0.02
    assert 0.5 < found.fit < 1.3
    assert "residuals_large" not in found.reasons


def test_intervals_hold_those_with_a_length_and_duration_twice_as_long() -> None:
    states, given = heated(1, 0.3)
    found = estimate(heat(0.05), states, given, points=1, discrepancy=Discrepancy(0.3, 0.25, 0.5))
    linear = found.problem.linearise(found.z[None])
    raw, information = with_longer(found.problem, found.z, linear, noise_is_known=False)
    own = laplace_interval(found.problem.unknowns, "diffusivity", raw, information, found.quantile)
    assert float(found.intervals["diffusivity"].low) <= float(own.low)
    assert float(found.intervals["diffusivity"].high) >= float(own.high)
    # One step comes to where a whole estimate with them does, to a fifth of its deviation.
    longer = estimate(heat(0.05), states, given, points=1, discrepancy=Discrepancy(0.3, 0.5, 1.0))
    assert isinstance(longer.information, FullInformation)
    apart = (raw - longer.z[:1]) / longer.information.deviations(torch.eye(1, dtype=F64))
    assert float(apart.abs()) < 0.2


@pytest.mark.slow
def test_a_minimum_that_only_the_plain_problem_has_is_left_again() -> None:
    """A source so strong that plain least squares take D for eighty times as large."""
    states, given = heated(8, 0.3)
    assert float(estimate(heat(0.05), states, given).intervals["diffusivity"].value) > 0.5
    found = estimate(heat(0.05), states, given, discrepancy=Discrepancy(0.3))
    assert float(found.intervals["diffusivity"].value) < 0.05


@pytest.mark.slow
def test_a_discrepancy_larger_than_was_supposed_is_told() -> None:
    states, given = heated(1, 0.3)
    found = estimate(heat(0.05), states, given, points=1, discrepancy=Discrepancy(0.01))
    assert {"discrepancy_decides", "discrepancy_large"} <= set(found.reasons)
    assert not found.reliable


def test_of_values_without_noise_or_error_nothing_is_left_to_admit() -> None:
    model = heat()
    states, seen = starts(model.layout, 2, seed=1), Grid(model.layout, 2, 10)
    values = seen(clean(model, states, 10))
    found = estimate(heat(0.05), states, Measurements(seen, values), points=1, discrepancy=Discrepancy())
    assert found.discrepancy is not None
    assert not found.discrepancy.present
    assert float(found.noise) > 1e-20


def test_a_small_error_that_looks_like_the_unknown_is_told_where_the_interval_is_hardly_wider() -> None:
    """Decay everywhere, which commutes with diffusion, on a plane: 0.03 a time, of modes that diffuse at 1 to 30."""
    layout = Layout.box([Field("u")], grid=(12, 10), extent=[(0, 1), (0, 1)], boundary="neumann", dt=0.02)
    rough = torch.randn(2, 1, 12, 10, generator=torch.Generator().manual_seed(9), dtype=F64)
    states = 3 * clean(Heat(layout, positive(0.5)), rough, 1)[:, -1]
    slower = torch.exp(-0.03 * 0.02 * torch.arange(13, dtype=F64)).view(-1, 1, 1, 1)
    seen = Grid(layout, 2, 12)
    exact = seen(clean(Heat(layout, positive(0.1)), states, 12) * slower)
    for seed in range(2):
        values = exact + 0.01 * noise(seen.size, seed=seed)
        model = Heat(layout, positive(0.08))
        found = estimate(model, states, Measurements(seen, values), points=1, discrepancy=Discrepancy())
        assert not found.reliable


@pytest.mark.slow
def test_what_cannot_be_mended_is_told() -> None:
    """Decay everywhere looks like diffusion: all miss the truth, and none passes for reliable."""
    model = heat()
    slower = torch.exp(-0.03 * 0.1 * torch.arange(16, dtype=F64)).view(-1, 1, 1)
    for seed in range(6):
        states = starts(model.layout, 2, seed=seed + 100)
        seen = Grid(model.layout, 2, 15)
        values = seen(clean(model, states, 15) * slower) + 0.02 * noise(seen.size, seed=seed)
        found = estimate(heat(0.05), states, Measurements(seen, values), points=1, discrepancy=Discrepancy(0.1))
        assert holds(found) or not found.reliable


@pytest.mark.slow
def test_starts_are_estimated_beside_it() -> None:
    """δ is zero at the start, so that it does not take the start's place."""
    model = burgers()
    truth = starts(model.layout, 1)
    given = measured(model, truth, 6, 0.02, first=0, known=False)
    noisy = NoisyStarts(torch.zeros_like(truth), torch.tensor([1.0], dtype=F64), length=1.0)
    found = estimate(burgers(0.2), noisy, given, points=1, discrepancy=Discrepancy(0.1))
    assert found.converged
    assert float(found.intervals["viscosity"].low) < 0.1 < float(found.intervals["viscosity"].high)
    assert found.discrepancy is not None
    assert float(found.discrepancy.ratio) < 0.5


def test_profiles_agree_with_intervals_of_a_nearly_linear_problem() -> None:
    states, given = heated(1, 0.3)
    found = estimate(heat(0.05), states, given, points=1, discrepancy=Discrepancy(0.3))
    low, high = profile(found)["diffusivity"]
    width = found.quantile * float(found.information.deviations(torch.eye(1, dtype=F64)))  # type: ignore[union-attr]
    assert float((high / low).log()) / 2 == pytest.approx(width, rel=0.1)


@pytest.mark.slow
def test_a_check_draws_errors_as_they_are_supposed() -> None:
    """With errors of the process itself intervals hold their truths as often as they should."""
    states, given = heated(1, 0.3)
    found = estimate(heat(0.05), states, given, points=1, discrepancy=Discrepancy(0.3))
    outcome = check(found, 60, searches=0)
    assert outcome.settled >= 57
    assert outcome.coverages["diffusivity"].chance > 0.01


def test_what_it_cannot_go_with_says_so() -> None:
    model = fisher()
    states = starts(model.layout, 1).abs()
    given = measured(model, states, 3, 0.01)
    with pytest.raises(ValueError, match="an ensemble takes errors as independent"):
        estimate(model, states, given, discrepancy=Discrepancy(), search=EnsembleKalman())
    states, given = heated(1, 0.3)
    found = estimate(heat(0.05), states, given, points=1, discrepancy=Discrepancy())
    with pytest.raises(ValueError, match="leave the bootstrap or the discrepancy out"):
        bootstrap(found, 10)
    with pytest.raises(ValueError, match="Estimate without the discrepancy"):
        next_measurements(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"deviation": 0.0}, "deviation of the discrepancy is 0.0; it must be positive"),
        ({"deviation": (0.1, -1.0)}, "must be positive"),
        ({"length": math.inf}, "length of the discrepancy is inf"),
        ({"duration": math.nan}, "duration of the discrepancy is nan"),
        ({"share": 1.0}, "between 0 and 1"),
    ],
)
def test_bad_priors_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Discrepancy(**given)


def test_what_does_not_fit_is_refused() -> None:
    model = heat()
    states = starts(model.layout)
    given = measured(model, states, 10, 0.01)
    with pytest.raises(ValueError, match="2 deviations for 1 channels"):
        estimate(model, states, given, discrepancy=Discrepancy((0.1, 0.2)))
    wide = Grid(line(400), 1, 10)
    with pytest.raises(ValueError, match=r"takes 3,\d\d\d modes .* Give a longer length"):
        Process.absent(Discrepancy(0.1, 1e-4, 1e-3), wide, torch.ones(1, dtype=F64))
    means = Regions.means(
        model.layout, box_region(model.layout, [(0, 0.5)])[None], torch.tensor([0.1, 0.2]), ["u"], 2
    )
    with pytest.raises(ValueError, match="Regions sees no points"):
        estimate(model, states, Measurements(means, torch.zeros(means.size)), discrepancy=Discrepancy())
