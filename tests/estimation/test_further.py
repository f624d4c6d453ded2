"""What a further measurement would tell is what it tells once it is made."""

from __future__ import annotations

import math

import pytest
import torch
from estimation_cases import F64, burgers, generator, line, noise, starts, two_sources
from torch import Tensor

from cotwin.estimation import (
    Grid,
    Joined,
    Measurements,
    NoisyStarts,
    Observation,
    Points,
    estimate,
    next_measurements,
)
from cotwin.estimation.estimation import Estimation
from cotwin.estimation.further import require_foreseeable
from cotwin.estimation.observation import Shifted, going_on, in_between
from cotwin.layout import Layout
from cotwin.parameters import CoarseField, Positive, Real
from cotwin.physics.closures import Constant, NetworkClosure
from cotwin.physics.fisher import Fisher
from cotwin.physics.function import FunctionStepper
from cotwin.physics.heat import Heat
from cotwin.stepper import Stepper, rollout

LAYOUT = line(12)


def sensors(layout: Layout, places: list[int], steps: list[int], count: int = 2) -> Points:
    x = torch.tensor([[layout.points(0)[place]] for place in places], dtype=F64)
    return Points.of_sensors(layout, x, torch.tensor(steps, dtype=F64) * layout.dt, ["u"], count)


def found(stepper: Stepper, begin: Tensor | NoisyStarts, seen: Observation, level: float = 0.1) -> Estimation:
    """Of values with noise whose level is known."""
    states = begin.guess if isinstance(begin, NoisyStarts) else begin
    with torch.no_grad():
        values = seen(rollout(stepper, states, seen.num_steps))
    return estimate(stepper, begin, Measurements(seen, values + level * noise(seen.size), level), points=1)


def smooth(states: Tensor) -> NoisyStarts:
    return NoisyStarts(states, torch.tensor([0.3], dtype=F64), length=0.3)


@pytest.mark.parametrize("noisy", [False, True], ids=["exact starts", "estimated starts"])
def test_of_a_linear_model_the_forecast_is_what_the_measurement_tells(noisy: bool) -> None:
    """Each candidate against an estimate from its values too: the same intervals, whatever the values are."""
    stepper, states = two_sources(0.5, -0.3), starts(LAYOUT)
    begin = smooth(states) if noisy else states
    seen = sensors(LAYOUT, [1, 4], [1, 2, 3, 4])
    now = found(stepper, begin, seen)
    foreseen = next_measurements(now)

    def told(more: Observation) -> dict[str, float]:
        then = found(stepper, begin, Joined(seen, more))
        return {name: float(now.intervals[name].deviation / one.deviation) for name, one in then.intervals.items()}

    longer = Joined(going_on(seen, 1, torch.ones(2, dtype=torch.bool)))
    made = {
        "one more sensor, of u at x = 0.417": told(sensors(LAYOUT, [5], [1, 2, 3, 4])),
        "the same experiment for 0.1 longer (25 % of a rollout)": told(longer),
        "the same experiment for 0.4 longer (100 % of a rollout)": told(sensors(LAYOUT, [1, 4], [5, 6, 7, 8])),
        "the same experiment twice as dense in time": told(in_between(seen)),
    }
    by_words = {one.words: one for one in foreseen.candidates}
    for words, factors in made.items():
        assert by_words[words].factors == pytest.approx(factors, rel=1e-5)
    both = next(one for one in foreseen.candidates if one.kind == "sensors")
    assert both.gain >= max(one.gain for one in foreseen.candidates if one.kind == "sensor")


@pytest.mark.parametrize("noisy", [False, True], ids=["exact starts", "estimated starts"])
def test_an_experiment_again_is_an_experiment_more(noisy: bool) -> None:
    stepper, states = two_sources(0.5, -0.3), starts(LAYOUT)
    seen = sensors(LAYOUT, [1, 4], [1, 2, 3, 4])
    now = found(stepper, smooth(states) if noisy else states, seen)
    three = states[[0, 1, 1]]
    then = found(stepper, smooth(three) if noisy else three, sensors(LAYOUT, [1, 4], [1, 2, 3, 4], count=3))
    told = {name: float(now.intervals[name].deviation / one.deviation) for name, one in then.intervals.items()}
    again = next(one for one in next_measurements(now).candidates if one.words.startswith("experiment 1 again"))
    assert again.factors == pytest.approx(told, rel=1e-5)
    assert again.values == 8


def test_the_only_experiment_again_narrows_by_the_root_of_two() -> None:
    now = found(two_sources(0.5, -0.3), starts(LAYOUT, 1), sensors(LAYOUT, [1, 4], [1, 2, 3], count=1))
    foreseen = next_measurements(now)
    again = foreseen.best("experiment")
    assert again is not None
    assert again.factors == pytest.approx({"first": math.sqrt(2), "second": math.sqrt(2)}, rel=1e-8)
    low, high = foreseen.interval("first", again.factors["first"])
    now_low, now_high = foreseen.intervals["first"].low, foreseen.intervals["first"].high
    assert float(high - low) == pytest.approx(float(now_high - now_low) / math.sqrt(2), rel=1e-6)


def test_experiments_of_several_trajectories_are_done_again_as_a_whole() -> None:
    now = found(two_sources(0.5, -0.3), starts(LAYOUT, 2), sensors(LAYOUT, [1, 4], [1, 2, 3]))
    again = [one for one in next_measurements(now, experiments=[0, 0]).candidates if one.kind == "experiment"]
    assert len(again) == 1
    assert again[0].gain == pytest.approx(math.sqrt(2), rel=1e-8)


def half_driven(amount: float) -> FunctionStepper:
    """∂u/∂t = a where x < ½, and 0 beyond."""
    left = torch.tensor(LAYOUT.points(0), dtype=F64) < 0.5
    return FunctionStepper(
        LAYOUT,
        lambda u, dt, values: u + dt * values["amount"] * left,
        {"amount": Real(torch.tensor(amount, dtype=F64))},
    )


@pytest.mark.parametrize("noisy", [False, True], ids=["exact starts", "estimated starts"])
def test_a_sensor_where_nothing_depends_on_the_unknown_tells_nothing(noisy: bool) -> None:
    states = starts(LAYOUT)
    begin = NoisyStarts(states, torch.tensor([0.3], dtype=F64)) if noisy else states
    gains = next_measurements(found(half_driven(0.7), begin, sensors(LAYOUT, [1], [1, 2, 3]))).sensors.factors[
        "amount"
    ]
    assert gains.shape == (1, 12)
    assert float(gains[0, :6].min()) > 1.05
    assert gains[0, 6:].tolist() == pytest.approx([1.0] * 6, abs=1e-9)


def test_what_only_the_candidate_determines_is_said_to_be() -> None:
    seen = sensors(LAYOUT, [8], [1, 2, 3])
    now = estimate(half_driven(0.7), starts(LAYOUT), Measurements(seen, noise(seen.size), 0.1), points=1)
    foreseen = next_measurements(now)
    assert foreseen.best("sensor") is not None
    assert math.isinf(float(foreseen.sensors.factors["amount"].max()))
    assert "which is determined then" in foreseen.verdict


@pytest.mark.parametrize(
    "noisy", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["exact starts", "estimated starts"]
)
def test_of_a_nonlinear_model_the_forecast_is_near_what_the_measurement_tells(noisy: bool) -> None:
    stepper, states = burgers(0.1), starts(burgers().layout)
    begin = NoisyStarts(states, torch.tensor([0.1], dtype=F64), length=1.0) if noisy else states
    seen = sensors(stepper.layout, [3, 10, 17, 24], [2, 4, 6, 8])
    now = found(stepper, begin, seen, 0.02)
    foreseen = next_measurements(now)
    best = int(foreseen.sensors.factors["viscosity"][0].argmax())
    for more, words in (
        (sensors(stepper.layout, [best], [2, 4, 6, 8]), foreseen.best("sensor")),
        (sensors(stepper.layout, [3, 10, 17, 24], [10, 12, 14, 16]), foreseen.best("longer")),
    ):
        assert words is not None
        then = found(stepper, begin, Joined(seen, more), 0.02).intervals["viscosity"]
        # Relative, which is what the interval of a positive number is formed in.
        told = float(now.intervals["viscosity"].deviation / now.intervals["viscosity"].value)
        told /= float(then.deviation / then.value)
        assert words.factors["viscosity"] == pytest.approx(told, rel=0.05)


def test_shifted_observations_see_what_grids_of_those_steps_see() -> None:
    states = noise(2, 9, 1, 12)
    whole = Grid(LAYOUT, 2, 4)
    ending = torch.tensor([True, False])
    later = going_on(whole, 2, ending)
    assert torch.equal(later(states[:, :7]), states[0, 5:7].flatten())
    assert later.time.tolist() == pytest.approx([0.5] * 12 + [0.6] * 12)
    t = torch.linspace(0, 0.4, 5, dtype=F64)
    cubic = (t**3 - t).view(1, 5, 1, 1).expand(2, 5, 1, 12)
    between = in_between(whole)
    middle = between.time
    full = torch.cat([cubic, (0.5**3 - 0.5) * torch.ones(2, 1, 1, 12, dtype=F64)], dim=1)
    torch.testing.assert_close(between(full), middle**3 - middle)
    assert float(middle.max()) < 0.4
    with pytest.raises(ValueError, match="nothing is left"):
        Shifted(whole, 1, torch.zeros(0, dtype=torch.long))


def test_networks_and_very_many_numbers_are_refused() -> None:
    layout = line(320, "neumann")
    network = NetworkClosure(0.0, 1.0, 1.0, 2, generator=generator())
    with pytest.raises(ValueError, match="weights of networks"):
        require_foreseeable(Fisher(layout, Constant(Real(0.1)), network, 3.0), correlated=False)
    with pytest.raises(ValueError, match="301 unknown numbers are too many"):
        require_foreseeable(Heat(layout, CoarseField(Positive(torch.full((301,), 0.1)), layout)), correlated=False)


def test_values_of_one_time_have_nothing_in_between() -> None:
    foreseen = next_measurements(found(half_driven(0.7), starts(LAYOUT), sensors(LAYOUT, [1], [3])))
    assert "There is one time alone, so nothing lies between times." in foreseen.notes


def test_where_the_simulator_diverges_later_nothing_is_said_of_that() -> None:
    """u' = a u²: its steps overflow soon after the time that was measured."""
    layout = line(4)
    rate = Positive(torch.tensor(1.0, dtype=F64))
    stepper = FunctionStepper(layout, lambda u, dt, values: u + dt * values["rate"] * u**2, {"rate": rate})
    foreseen = next_measurements(
        found(stepper, torch.ones(1, 1, 4, dtype=F64), sensors(layout, [1], [4, 8, 12, 16], 1))
    )
    assert [one.kind for one in foreseen.candidates].count("longer") < 3
    assert any("diverges with the same experiment for 1.6 longer" in note for note in foreseen.notes)
    assert all(math.isfinite(factor) for one in foreseen.candidates for factor in one.factors.values())
