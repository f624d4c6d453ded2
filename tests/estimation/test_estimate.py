"""Estimates as a whole: which model, which search, what is said of them, and what they leave alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from estimation_cases import F64, burgers, clean, colony, fisher, heat, line, measured, noise, positive, starts
from numpy.typing import NDArray
from torch import Tensor

from cotwin.estimation import Estimation, Grid, Measurements, NoisyStarts, Points, adam, bootstrap, estimate, lbfgs
from cotwin.estimation.information import FullInformation
from cotwin.estimation.priors import GaussianField, LogNormal
from cotwin.layout import Field, Layout
from cotwin.parameters import Bounded, Real, ZeroMean
from cotwin.physics.closures import Logistic, NetworkClosure
from cotwin.physics.external import ExternalStepper
from cotwin.physics.fisher import Fisher
from cotwin.physics.function import FunctionStepper
from cotwin.physics.heat import Heat
from cotwin.stepper import Stepper, rollout


def decaying(layout: Layout) -> FunctionStepper:
    """∂u/∂t = −(rate · share) u + idle · 0: two that only occur as a product."""

    def step(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        return u * torch.exp(-dt * values["rate"] * values["share"])

    return FunctionStepper(layout, step, {"rate": positive(0.5), "share": positive(0.8)})


def grows(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
    return u + dt * values["rate"] * u * (1 - u / values["capacity"])


def logistic() -> FunctionStepper:
    return FunctionStepper(line(8), grows, {"rate": positive(0.7), "capacity": positive(1.5)})


def program(u: NDArray[np.float64], dt: float, values: dict[str, Any]) -> NDArray[np.float64]:
    after: NDArray[np.float64] = u + dt * values["rate"] * u * (1 - u / values["capacity"])
    return after


def adapters() -> dict[str, Stepper]:
    """The same model as `logistic`, and not seen through by vmap."""
    from cotwin.physics.jax import JaxStepper

    def build(parameters: dict[str, Any]) -> Any:
        return lambda u: u + 0.1 * parameters["rate"] * u * (1 - u / parameters["capacity"])

    unknowns = {"rate": positive(0.7), "capacity": positive(1.5)}
    return {
        "external": ExternalStepper(line(8), program, {"rate": positive(0.7), "capacity": positive(1.5)}),
        "JAX": JaxStepper(line(8), build, unknowns),
    }


@pytest.mark.parametrize("name", ["external", "JAX"])
def test_models_that_vmap_cannot_see_through_are_estimated_like_native_ones(name: str) -> None:
    other = adapters()[name]
    states = 0.2 + torch.rand(2, 1, 8, generator=torch.Generator().manual_seed(0), dtype=F64)
    truth = FunctionStepper(line(8), grows, {"rate": positive(1.0), "capacity": positive(1.2)})
    measurements = measured(truth, states, 5, 0.01)
    expected = estimate(logistic(), states, measurements, points=2)
    found = estimate(other, states, measurements, points=2)
    for interval in ("rate", "capacity"):
        ours, native = found.intervals[f"{interval}"], expected.intervals[f"{interval}"]
        assert float(ours.value) == pytest.approx(float(native.value), rel=1e-6)
        assert float(ours.deviation) == pytest.approx(float(native.deviation), rel=1e-5)


def test_a_phiflow_model_is_estimated_from_its_own_rollout() -> None:
    from cotwin.physics.phiflow import PhiFlowBurgers

    layout = Layout.box([Field("u", 2)], grid=(10, 10), extent=[(0.0, 6.0)] * 2, boundary="periodic", dt=0.1)
    states = starts(layout, count=1).float()
    truth = PhiFlowBurgers(layout, positive(0.2)).float()
    with torch.no_grad():
        recorded = rollout(truth, states, 2)
    seen = Grid(layout, 1, 2)
    values = seen(recorded).double() + 0.01 * noise(seen.size)
    found = estimate(PhiFlowBurgers(layout, positive(0.1)).float(), states, Measurements(seen, values, 0.01))
    (interval,) = found.intervals.values()
    assert abs(float(interval.value) - 0.2) < 4 * float(interval.deviation)
    assert found.converged


def test_two_that_only_occur_as_a_product_are_named_and_their_product_is_known() -> None:
    model = decaying(line(12))
    found = estimate(model, starts(model.layout), measured(model, starts(model.layout), 4, 0.01))
    (warning,) = found.warnings
    assert (found.reliable, found.reasons) == (False, ["blind"])
    assert "the data say nothing about" in warning
    assert "rate" in warning
    assert "share" in warning
    assert "prior" in warning
    assert all(float(interval.deviation) == math.inf for interval in found.intervals.values())
    rate, share = (interval.value for interval in found.intervals.values())
    assert float(rate * share) == pytest.approx(0.4, rel=0.02)
    assert found.information is not None
    assert found.information.condition == math.inf
    assert found.information.weakest.replace("−", "-") in {
        "0.71 rate - 0.71 share",
        "0.71 share - 0.71 rate",
    }


def test_a_prior_on_one_of_them_settles_both() -> None:
    model = decaying(line(12))
    found = estimate(
        model,
        starts(model.layout),
        measured(model, starts(model.layout), 4, 0.01),
        priors={"rate": LogNormal(0.5, 1.2)},
    )
    assert found.warnings == []
    assert found.reliable
    for interval in found.intervals.values():
        assert float(interval.deviation / interval.value) == pytest.approx(math.log(1.2), rel=0.05)


def test_what_the_data_hardly_determine_is_named() -> None:
    """The capacity of a population that is far below it."""
    model, states = fisher(capacity=5.0), 0.02 * colony(fisher().layout)
    found = estimate(
        model, states, measured(model, states, 3, 0.01), priors={"growth.capacity": LogNormal(5.0, 10.0)}
    )
    (warning,) = found.warnings
    assert found.reasons == ["hardly_determined"]
    assert warning.startswith("the data hardly determine growth.capacity")
    assert "Least known is 1.00 growth.capacity" in warning


def test_condition_and_weakest_combination_are_those_of_a_known_matrix() -> None:
    turn = torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=F64)
    known = FullInformation.of(torch.diag(torch.tensor([50.0, 2.0], dtype=F64)) @ turn, ["first", "second"])
    assert known.condition == pytest.approx(25.0)
    assert known.weakest == "0.80 first − 0.60 second"
    covariance = turn.mT @ torch.diag(torch.tensor([1 / 2500, 1 / 4], dtype=F64)) @ turn
    torch.testing.assert_close(known.covariance(), covariance)
    slopes = noise(3, 2)
    torch.testing.assert_close(known.deviations(slopes), (slopes @ covariance @ slopes.mT).diagonal().sqrt())


def test_several_points_find_the_minimum_that_one_misses_and_count_who_agrees() -> None:
    """A frequency of which the data show three periods: costs have many minima."""

    def turned(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        angle = values["frequency"] * dt
        return torch.stack(
            [u[:, 0] * angle.cos() - u[:, 1] * angle.sin(), u[:, 0] * angle.sin() + u[:, 1] * angle.cos()], dim=1
        )

    layout = Layout.box([Field("a"), Field("b")], grid=(2,), extent=[(0, 1)], boundary="periodic", dt=0.2)

    def model(frequency: float) -> FunctionStepper:
        value = torch.tensor(frequency, dtype=F64)
        return FunctionStepper(layout, turned, {"frequency": Bounded(value, lower=0.0, upper=14.0)})

    states = torch.ones(1, 2, 2, dtype=F64)
    measurements = measured(model(9.0), states, 15, 0.1)
    one, several = (estimate(model(2.0), states, measurements, points=points, horizons=()) for points in (1, 32))
    assert float(several.intervals["frequency"].value) == pytest.approx(9.0, abs=0.1)
    # A short time has one minimum, from which a longer one is found: no other starting points are needed.
    growing = estimate(model(2.0), states, measurements)
    assert float(growing.intervals["frequency"].value) == pytest.approx(9.0, abs=0.1)
    assert several.cost < one.cost - 100
    assert 1 <= several.agreeing < several.points == 32


def test_a_second_minimum_that_fits_as_well_is_found_and_told() -> None:
    """The cosine of an angle does not tell which way it turns."""

    def turned(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        angle = values["frequency"] * dt
        return torch.stack(
            [u[:, 0] * angle.cos() - u[:, 1] * angle.sin(), u[:, 0] * angle.sin() + u[:, 1] * angle.cos()], 1
        )

    layout = Layout.box([Field("a"), Field("b")], grid=(2,), extent=[(0, 1)], boundary="periodic", dt=0.2)
    model = FunctionStepper(
        layout, turned, {"frequency": Bounded(torch.tensor(2.0, dtype=F64), lower=-5.0, upper=5.0)}
    )
    states = torch.tensor([1.0, 0.0], dtype=F64).view(1, 2, 1).repeat(1, 1, 2)
    times = 0.2 * torch.arange(1, 11, dtype=F64)
    seen = Points.of_sensors(layout, torch.tensor([[0.25]]), times, ["a"])
    values = (3 * times).cos() + 0.01 * noise(10, seed=0)
    found = estimate(model, states, Measurements(seen, values, 0.01))
    assert found.second is not None
    assert abs(float(found.intervals["frequency"].value)) == pytest.approx(3.0, abs=0.02)
    (there,) = found.labelled(found.second.raw).values()
    assert there == pytest.approx(-float(found.intervals["frequency"].value), abs=1e-3)
    assert "second_minimum" in found.reasons


def test_nothing_that_was_given_is_changed_and_the_seed_decides() -> None:
    model = fisher(0.8, 0.7, 1.0)
    states = colony(model.layout)
    measurements = measured(fisher(), states, 4, 0.05)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    values, given = measurements.values.clone(), states.clone()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = estimate(model, states, measurements, points=4, seed=1)
    bootstrap(first, 5)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    assert all(value.grad is None and value.requires_grad for value in model.parameters())
    assert torch.equal(measurements.values, values)
    assert torch.equal(states, given)
    again = estimate(model, states, measurements, points=4, seed=1)
    assert torch.equal(first.z, again.z)
    assert first.cost == again.cost


@pytest.mark.slow
def test_the_calibrated_stepper_has_the_estimate_and_can_be_trained_further() -> None:
    model = Fisher(
        line(16, "neumann", dt=0.5, length=20.0),
        NetworkClosure(0.0, 1.0, 1.0, width=3, generator=torch.Generator().manual_seed(0)),
        Logistic(positive(0.8), positive(1.0)),
        3.0,
    ).double()
    states = colony(model.layout)
    found = estimate(model, states, measured(model, states, 2, 0.02), search=lbfgs)
    assert float(found.stepper.growth.rate()) == pytest.approx(float(found.intervals["growth.rate"].value))
    assert all(value.requires_grad for value in found.stepper.parameters())
    assert any("networks' weights fixed" in warning for warning in found.warnings)


@pytest.mark.slow
def test_a_network_closure_is_estimated_by_adam() -> None:
    """A diffusivity that falls with the density, which no constant fits."""

    def model(network: NetworkClosure) -> Fisher:
        growth = Logistic(positive(0.5), positive(1.2))
        for parameter in growth.parameters():
            parameter.requires_grad_(False)
        return Fisher(line(24, "neumann", dt=0.5, length=20.0), network, growth, 3.0).double()

    generator = torch.Generator().manual_seed(0)
    truth, start = (NetworkClosure(0.0, 2.0, 1.0, width=4, generator=generator) for _ in range(2))
    torch.nn.init.constant_(truth.height, -1.0)
    states = colony(model(truth).layout)
    measurements = measured(model(truth), states, 4, 0.01)
    untrained = estimate(model(start), states, measurements, search=lambda p, z: adam(p, z, iterations=1))
    found = estimate(model(start), states, measurements, search=lambda p, z: adam(p, z, iterations=400, rate=0.05))
    assert untrained.fit > 1.5
    assert found.fit < 1.2
    assert found.information is None


@pytest.mark.slow
def test_fields_are_covered_by_their_intervals_when_drawn_from_their_prior() -> None:
    """324 unknowns: L-BFGS and low rank; nine in ten points of the truth lie in the 90 % intervals."""
    layout = Layout.box([Field("u")], grid=(18, 18), extent=[(0.0, 1.0)] * 2, boundary="periodic", dt=0.5)

    def step(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        return u + dt * values["source"] * (1 + 0.1 * u)

    def model(source: Tensor) -> FunctionStepper:
        return FunctionStepper(layout, step, {"source": Real(source)})

    prior = GaussianField(layout, 0.0, 1.0, 0.3)
    truths = prior.sample(8, torch.Generator().manual_seed(0)).double()
    mask = torch.rand(1, 3, 1, 18, 18, generator=torch.Generator().manual_seed(1)) < 0.1
    seen = Grid(layout, 1, 2, mask=mask)
    covered, shares = [], []
    for draw, truth in enumerate(truths):
        states = torch.zeros(1, 1, 18, 18, dtype=F64)
        values = seen(clean(model(truth), states, 2)) + 0.1 * noise(seen.size, seed=draw)
        found = estimate(model(0 * truth), states, Measurements(seen, values, 0.1), priors={"source": prior})
        interval = found.intervals["source"]
        covered.append(((interval.low < truth) & (truth < interval.high)).double().mean())
        shares.append(interval.deviation.mean())
        assert found.converged
        assert 0.5 < found.fit < 1.6
    shared = torch.stack(covered)
    # Points of one field hang together: the standard error is from the eight fields.
    assert abs(float(shared.mean()) - 0.9) < 3 * float(shared.std()) / math.sqrt(8)
    assert float(torch.stack(shares).mean()) < 0.7  # well below the prior's, which is one


def test_a_search_that_stops_early_says_so() -> None:
    states = colony(fisher().layout)
    found = estimate(
        fisher(2.0, 0.3, 2.0),
        states,
        measured(fisher(), states, 4, 0.01),
        search=lambda p, z: lbfgs(p, z, iterations=2),
    )
    assert not found.converged
    assert any("had not come to rest after 2 iterations" in warning for warning in found.warnings)


@pytest.mark.parametrize("noisy", [False, True])
def test_the_calibrated_stepper_reproduces_the_cost(noisy: bool) -> None:
    model = heat() if noisy else burgers()
    states = starts(model.layout)
    given = NoisyStarts(states, torch.tensor([0.1], dtype=F64)) if noisy else states
    measurements = measured(model, states, 3, 0.05)
    found = estimate(model, given, measurements)
    seen = measurements.observation(clean(found.stepper, found.starts, 3))
    misfit = float(((seen - measurements.values) / 0.05).square().sum())
    assert misfit == pytest.approx(found.fit * found.freedom, rel=1e-8)


def warned(words: str, found: Estimation) -> bool:
    return any(words in warning for warning in found.warnings)


def test_the_constant_that_zero_mean_takes_off_is_nothing_the_data_leave_open() -> None:
    layout = line(12)
    shape = torch.cos(2 * math.pi * torch.arange(12, dtype=F64) / 12)

    def model(potential: Tensor) -> FunctionStepper:
        return FunctionStepper(
            layout, lambda u, dt, v: u + dt * v["potential"], {"potential": ZeroMean(Real(potential))}
        )

    states = starts(layout)
    found = estimate(model(torch.zeros(12, dtype=F64)), states, measured(model(shape), states, 3, 0.01))
    assert not warned("say nothing", found)
    assert found.information is not None
    assert found.information.condition == pytest.approx(1.0, rel=1e-3)
    assert bool((found.intervals["potential"].deviation > 0).all())


def test_an_estimate_on_a_bound_is_named() -> None:
    states = starts(heat().layout)
    measurements = measured(heat(0.02), states, 4, 0.01)
    below = Heat(heat().layout, Bounded(torch.tensor(0.01, dtype=F64), 0.001, 0.015))
    assert warned("on a bound: diffusivity", estimate(below, states, measurements))
    around = Heat(heat().layout, Bounded(torch.tensor(0.01, dtype=F64), 0.001, 0.05))
    assert not warned("on a bound", estimate(around, states, measurements))


def test_residuals_beyond_the_noise_that_was_given_are_pointed_out() -> None:
    states = starts(heat().layout)
    measurements = measured(heat(0.02), states, 4, 0.05)
    assert not warned("as large as the noise", estimate(heat(0.05), states, measurements))
    too_sure = Measurements(measurements.observation, measurements.values, 0.01)
    assert warned("as large as the noise that was given", estimate(heat(0.05), states, too_sure))


@pytest.mark.slow
def test_noise_that_hides_a_bad_fit_is_pointed_out() -> None:
    """From a diffusivity that flattens everything at once all are alike: a minimum far from the best."""
    states = starts(heat().layout)
    measurements = measured(heat(0.02), states, 20, 0.01, known=False)
    assert warned("explains little", estimate(heat(50.0), states, measurements))
    assert not warned("explains little", estimate(heat(0.05), states, measurements))


def test_data_without_noise_leave_that_of_rounding_and_no_warning() -> None:
    states = starts(heat().layout)
    found = estimate(heat(0.05), states, measured(heat(0.02), states, 4, 0.0, known=False))
    assert float(found.intervals["diffusivity"].value) == pytest.approx(0.02, rel=1e-9)
    assert 1e-18 < float(found.noise) < 1e-12
    assert not warned("nan", found)
