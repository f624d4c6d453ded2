"""Starts as smooth fields, and a time that grows."""

from __future__ import annotations

import math

import pytest
import torch
from estimation_cases import F64, burgers, fisher, generator, heat, line, measured, noise, starts
from torch import Tensor

from cotwin.estimation import Grid, LeastSquares, Measurements, NoisyStarts, Points, estimate
from cotwin.estimation.measurements import SHARE, start_modes
from cotwin.estimation.observation import Until
from cotwin.estimation.priors import GaussianField
from cotwin.experiment.measured_starts import correlation_length, filled, noisy_starts
from cotwin.layout import Boundary, Field, Layout
from cotwin.parameters import Positive
from cotwin.physics.korteweg_de_vries import KortewegDeVries
from cotwin.stepper import rollout


def plane(boundary: Boundary) -> Layout:
    return Layout.box([Field("u")], grid=(20, 12), extent=[(0, 2), (0, 1)], boundary=boundary, dt=0.1)


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
@pytest.mark.parametrize("length", [0.0, 0.3, 0.8])
def test_modes_make_the_covariance_of_a_matern_field(boundary: Boundary, length: float) -> None:
    """All but the share of the variance that is left out, and that of single points by no more than ten times it."""
    layout = plane(boundary)
    modes = start_modes(layout, length).flatten(1)
    prior = GaussianField(layout, 0.0, 1.0, length)
    root = torch.func.vmap(prior.colour)(torch.eye(240, dtype=F64)).flatten(1)
    exact = root.T @ root
    difference = exact - modes.T @ modes
    assert float(difference.diagonal().sum() / 240) <= SHARE + 1e-12
    assert float(torch.linalg.eigvalsh(difference).min()) > -1e-9
    assert float(difference.abs().max()) < 10 * SHARE
    assert len(modes) == (240 if length == 0 else len(modes))
    assert torch.allclose((modes @ modes.T).fill_diagonal_(0.0), torch.zeros(len(modes), len(modes), dtype=F64))


@pytest.mark.slow
def test_smooth_starts_find_what_noise_hides_from_points_by_themselves() -> None:
    """Dispersion turns the phase of each wave by its wavenumber to the third, and noise is waves of all lengths."""
    layout = Layout.box([Field("u")], grid=(64,), extent=[(-1.0, 1.0)], boundary="periodic", dt=0.02)

    def model(steepening: float, dispersion: float) -> KortewegDeVries:
        values = (torch.tensor(value, dtype=F64) for value in (steepening, dispersion))
        return KortewegDeVries(layout, *(Positive(value) for value in values), substeps=4)

    states = starts(layout, 2)
    with torch.no_grad():
        recorded = rollout(model(1.0, 0.0025), states, 20)
    recorded = recorded + 0.01 * noise(*recorded.shape, seed=1)
    seen = Grid(layout, 2, 20, first=0)
    length = correlation_length(recorded[:, 0], layout)
    found = estimate(
        model(0.5, 0.005),
        noisy_starts(recorded, None, layout, length, adapt=False),
        Measurements(seen, seen(recorded)),
    )
    assert found.converged
    for name, truth in (("steepening", 1.0), ("dispersion", 0.0025)):
        one = found.intervals[name]
        assert abs(float(one.value) - truth) < 4 * float(one.deviation)
        assert float(one.deviation) < 0.01 * truth
    assert float(found.noise[0]) == pytest.approx(0.01, rel=0.06)
    assert (found.starts - states).square().mean().sqrt() < 0.005


@pytest.mark.parametrize("level", [0.0, 0.1])
@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_the_length_of_a_matern_field_is_read_off_it_with_noise_or_without(boundary: Boundary, level: float) -> None:
    layout = line(400, boundary, length=1.0)
    states = GaussianField(layout, 0.0, 1.0, 0.05).sample(40, generator()).unsqueeze(1).double()
    found = correlation_length(states + level * noise(*states.shape, seed=1), layout)
    assert found == pytest.approx(0.05, rel=0.1)


def test_white_noise_has_no_length_and_a_wave_at_most_a_quarter_of_the_domain() -> None:
    layout = line(64)
    alternating = torch.tensor([1.0, -1.0], dtype=F64).repeat(32)[None, None]
    assert correlation_length(alternating, layout) == 0.0
    x = torch.tensor(layout.points(0), dtype=F64)
    assert correlation_length(torch.sin(2 * math.pi * x)[None, None], layout) <= 0.25


def test_gaps_are_filled_from_the_next_frame_the_last_or_the_mean() -> None:
    states = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])[None, :, None]
    mask = torch.ones_like(states, dtype=torch.bool)
    mask[0, 0, 0, 0] = mask[0, 2, 0, 1] = False
    mask[0, :, 0, 2] = False
    hidden = torch.where(mask, states, torch.nan)
    result = filled(hidden, mask)[0, :, 0]
    assert result[0, 0] == 4.0
    assert result[2, 1] == 5.0
    assert torch.equal(result[:, 2], torch.full((3,), float(states[mask].mean())))


def test_a_part_of_the_time_sees_the_first_values_and_rolls_out_no_further() -> None:
    model = heat()
    layout, states = model.layout, starts(model.layout, 2)
    with torch.no_grad():
        recorded = rollout(model, states, 20)
    times = torch.rand(50, generator=generator(), dtype=F64) * 2.0
    places = torch.rand(50, 1, generator=generator(1), dtype=F64)
    for whole in (Grid(layout, 2, 20), Points(layout, places, times, "u", num_trajectories=2)):
        part = Until(whole, 0.9)
        assert part.num_steps <= 11
        early = whole.time <= 0.9
        assert torch.equal(part.time, whole.time[early])
        assert torch.equal(part(recorded[:, : part.num_steps + 1]), whole(recorded[:, : whole.num_steps + 1])[early])
    with pytest.raises(ValueError, match=r"nothing is observed up to 0\.05, the first is at 0\.1"):
        Until(Grid(layout, 2, 20), 0.05)


@pytest.mark.parametrize("model", [heat, burgers, fisher])
def test_a_growing_time_ends_where_all_of_it_at_once_does(model: type) -> None:
    """For problems of one minimum, with the noise given and not."""
    stepper = model()
    states = starts(stepper.layout, 2).abs() if model is fisher else starts(stepper.layout, 2)
    for known in (True, False):
        measurements = measured(stepper, states, 16, 0.02, known=known)
        growing, at_once = (
            estimate(model(0.05), states, measurements, horizons=h, points=1) for h in ((0.125, 0.5), ())
        )
        assert growing.cost == pytest.approx(at_once.cost, rel=1e-6)
        assert torch.allclose(growing.z, at_once.z, rtol=1e-4)


def test_numbers_of_a_start_are_its_modes() -> None:
    model, layout = heat(), heat().layout
    guess = torch.zeros(2, 1, 24, dtype=F64)
    measurements = Measurements(Grid(layout, 2, 4, first=0), torch.zeros(2 * 5 * 24, dtype=F64), 0.1)
    problem = LeastSquares(model, NoisyStarts(guess, torch.ones(1, dtype=F64), 0.5), measurements)
    assert problem.starts.size == len(start_modes(layout, 0.5)) < 24
    white: Tensor = noise(1, 2, problem.starts.size)
    assert torch.allclose(problem.starts.states(white)[0, :, 0], white[0] @ start_modes(layout, 0.5))
    with pytest.raises(ValueError, match="length of the starts is -1"):
        NoisyStarts(guess, torch.ones(1, dtype=F64), -1.0)
