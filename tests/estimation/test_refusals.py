"""What cannot be estimated is refused before anything runs, in words that lead on."""

from __future__ import annotations

import pytest
import torch
from estimation_cases import F64, burgers, fisher, heat, line, measured, noise, starts

from cotwin.estimation import Grid, Measurements, NoisyStarts, Points, estimate, profile
from cotwin.estimation.priors import Gaussian, LogNormal
from cotwin.layout import Field, Layout
from cotwin.parameters import Known, Positive
from cotwin.physics.heat import Heat
from cotwin.stepper import DivergenceError


def field_of(points: int) -> Heat:
    """A diffusivity of its own at each point."""
    return Heat(line(points, "neumann"), Positive(torch.full((points,), 0.02, dtype=F64)))


def one_value(model: Heat) -> Measurements:
    seen = Points(model.layout, torch.tensor([[0.4]]), torch.tensor([0.2]), channel="u")
    return Measurements(seen, torch.zeros(1, dtype=F64), 0.1)


def test_more_unknowns_than_values_without_a_prior() -> None:
    model = field_of(12)
    with pytest.raises(ValueError, match=r"1 values do not determine 12 unknowns; observe more.*priors"):
        estimate(model, starts(model.layout, 1), one_value(model))
    informed = estimate(
        model, starts(model.layout, 1), one_value(model), priors={"diffusivity": LogNormal(0.02, 2.0)}
    )
    assert informed.intervals["diffusivity"].value.shape == (12,)


def test_a_prior_that_excludes_the_start() -> None:
    model = heat(0.02)
    measurements = measured(model, starts(model.layout), 3, 0.1)
    with pytest.raises(ValueError, match=r"diffusivity starts at 0\.02, .* deviations from the centre of its prior"):
        estimate(model, starts(model.layout), measurements, priors={"diffusivity": Gaussian(1.0, 0.01)})


def test_a_prior_of_an_unknown_that_there_is_not() -> None:
    model = heat()
    measurements = measured(model, starts(model.layout), 3, 0.1)
    with pytest.raises(ValueError, match=r"a prior for 'viscosity'; the unknowns are diffusivity"):
        estimate(model, starts(model.layout), measurements, priors={"viscosity": Gaussian(1.0, 0.01)})


def test_all_is_masked() -> None:
    with pytest.raises(ValueError, match=r"all observations are masked; give a mask that is true"):
        Grid(line(8), 1, 2, mask=torch.zeros(1, 3, 1, 8, dtype=torch.bool))


@pytest.mark.parametrize("noise", [0.0, -0.1, float("nan"), float("inf"), (0.0,)])
def test_a_noise_that_is_none(noise: float | tuple[float, ...]) -> None:
    seen = Grid(line(8), 1, 2)
    with pytest.raises(ValueError, match=r"give a positive standard deviation .*None to have it estimated"):
        Measurements(seen, torch.zeros(16, dtype=F64), noise)


def test_noise_of_another_number_of_channels() -> None:
    with pytest.raises(ValueError, match=r"noise has 2 levels for 1 channels; give one for each, or one"):
        Measurements(Grid(line(8), 1, 2), torch.zeros(16, dtype=F64), (0.1, 0.2))


def test_values_that_do_not_fit_or_are_no_numbers() -> None:
    seen = Grid(line(8), 1, 2)
    with pytest.raises(
        ValueError, match=r"values of shape \(15,\) for an observation of 16; .*observation\(states\)"
    ):
        Measurements(seen, torch.zeros(15, dtype=F64), 0.1)
    values = torch.zeros(16, dtype=F64)
    values[3] = torch.nan
    with pytest.raises(ValueError, match=r"1 of 16 values are not finite; leave them out of the observation"):
        Measurements(seen, values, 0.1)


def test_times_that_no_step_meets_are_interpolated_and_said_so() -> None:
    model = heat()
    times = torch.tensor([0.1, 0.25, 0.3])
    seen = Points.of_sensors(model.layout, torch.tensor([[0.3], [0.7]]), times, ["u"], num_trajectories=2)
    values = seen(torch.ones(seen.states_shape, dtype=F64)) + noise(seen.size)
    found = estimate(model, starts(model.layout), Measurements(seen, values, 1.0))
    assert any("1 of 3 times lie between two steps of 0.1: interpolated" in warning for warning in found.warnings)


def test_nothing_is_unknown() -> None:
    model = Heat(line(12, "neumann"), Known(torch.tensor(0.02, dtype=F64)))
    with pytest.raises(ValueError, match=r"Heat has no unknown; declare one, for instance Positive\(0\.1\)"):
        estimate(model, starts(model.layout, 1), measured(model, starts(model.layout, 1), 2, 0.1))


def test_another_number_of_starts_than_trajectories() -> None:
    model = heat()
    with pytest.raises(ValueError, match=r"1 starts, and an observation of 2 trajectories; give one start for each"):
        estimate(model, starts(model.layout, 1), measured(model, starts(model.layout, 2), 3, 0.1))


@pytest.mark.parametrize("deviation", [[0.0], [-1.0], [float("inf")]])
def test_deviations_of_starts_that_are_none(deviation: list[float]) -> None:
    with pytest.raises(ValueError, match=r"deviation"):
        NoisyStarts(torch.zeros(1, 1, 8, dtype=F64), torch.tensor(deviation, dtype=F64))


def test_a_level_that_is_no_probability() -> None:
    model = heat()
    with pytest.raises(ValueError, match=r"level is 90; give the probability of the intervals, such as 0\.9"):
        estimate(model, starts(model.layout), measured(model, starts(model.layout), 3, 0.1), level=90)


def test_too_few_values_to_estimate_the_noise_too() -> None:
    model = field_of(12)
    measurements = one_value(model)
    unknown = Measurements(measurements.observation, measurements.values)
    with pytest.raises(ValueError, match=r"values are too few to estimate the noise as well.*Give the noise"):
        estimate(model, starts(model.layout, 1), unknown, priors={"diffusivity": LogNormal(0.02, 2.0)})


def test_a_model_that_diverges_from_every_point() -> None:
    model = burgers()
    measurements = measured(model, starts(model.layout), 4, 0.1)
    with pytest.raises(
        DivergenceError, match=r"SpectralBurgers diverges from every starting point \(2\); start from"
    ):
        estimate(model, 1e6 * starts(model.layout), measurements, points=2)


def test_many_unknowns_need_priors_on_all_of_them() -> None:
    layout = Layout.box([Field("u")], grid=(20, 20), extent=[(0.0, 1.0)] * 2, boundary="neumann", dt=0.01)
    model = Heat(layout, Positive(torch.full((20, 20), 0.02, dtype=F64)))
    states = starts(layout, 1)
    measurements = measured(model, states, 1, 0.1)
    with pytest.raises(
        ValueError, match=r"intervals of 400 unknowns need priors.*those of diffusivity.*GaussianField"
    ):
        estimate(model, states, measurements)
    with pytest.raises(ValueError, match=r"intervals of 400 unknowns need known starts"):
        estimate(model, NoisyStarts(states, torch.ones(1, dtype=F64)), measurements)


def test_profiles_of_strangers() -> None:
    states = torch.full((1, 1, 32), 0.3, dtype=F64)
    found = estimate(
        fisher(), states, measured(fisher(), states, 3, 0.1), priors={"diffusivity.value": LogNormal(0.5, 2.0)}
    )
    with pytest.raises(ValueError, match="'r' has no profile"):
        profile(found, ["r"])


def test_no_point_to_search_from() -> None:
    model = heat()
    with pytest.raises(ValueError, match=r"points is 0; search from at least one"):
        estimate(model, starts(model.layout), measured(model, starts(model.layout), 3, 0.1), points=0)
