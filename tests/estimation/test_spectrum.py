"""Whether residuals that are not independent are found out, and only those."""

from __future__ import annotations

import math

import pytest
import torch
from estimation_cases import F64, generator, heat, line, measured, noise
from torch import Tensor

from cotwin.estimation import (
    Estimation,
    Grid,
    Joined,
    Measurements,
    NoisyStarts,
    Observation,
    Points,
    Regions,
    box_region,
    estimate,
)
from cotwin.estimation.notes import FALSE_ALARMS, on_residuals
from cotwin.estimation.observation.lattice import Lattice
from cotwin.estimation.spectrum import Spectrum, cosines
from cotwin.layout import Field, Layout
from cotwin.parameters import Real
from cotwin.physics.function import FunctionStepper

PLANE = Layout.box([Field("u")], grid=(9, 8), extent=[(0, 1)] * 2, boundary="periodic", dt=0.1)


def constant(layout: Layout) -> FunctionStepper:
    """u stays as it is, but for a drift: what noise is alike in is all that its residuals show."""
    drift = Real(torch.tensor(0.0, dtype=F64))
    return FunctionStepper(layout, lambda u, dt, v: u + dt * v["drift"], {"drift": drift})


def about_residuals(found: Estimation) -> list[str]:
    return [warning for warning in found.warnings if warning.startswith("residuals are correlated")]


@pytest.mark.parametrize(
    ("axis", "direction"), [(1, "in time"), (3, "along x"), (4, "along y"), (None, "")], ids=lambda one: str(one)
)
def test_neighbours_are_looked_at_along_every_axis_and_in_time(axis: int | None, direction: str) -> None:
    seen, errors = Grid(PLANE, 2, 6), noise(2, 7, 1, 9, 8)
    if axis is not None:
        # Each the mean of itself and the next: a correlation of one half along this axis alone.
        errors = (errors + errors.roll(1, axis)) / math.sqrt(2)
    found = estimate(constant(PLANE), torch.zeros(2, 1, 9, 8, dtype=F64), Measurements(seen, seen(errors), 1.0))
    if axis is None:
        assert about_residuals(found) == []
    else:
        (note,) = about_residuals(found)
        assert direction in note
        assert note.count("along") + note.count("in time") == 1


def test_a_smooth_misfit_far_below_the_noise_is_found_with_its_size() -> None:
    """0.06 of it: neighbours have a correlation of 0.0036, which none of their pairs shows."""
    layout = line(128, "neumann", dt=0.1)
    seen = Grid(layout, 1, 200)
    x, t = torch.arange(128, dtype=F64) / 128, torch.arange(201, dtype=F64)[:, None] / 201
    misfit = 0.06 * 2 * torch.cos(2 * math.pi * x) * torch.sin(3 * math.pi * t)
    errors = noise(1, 201, 1, 128) + misfit[None, :, None]
    found = estimate(constant(layout), torch.zeros(1, 1, 128, dtype=F64), Measurements(seen, seen(errors), 1.0))
    (note,) = about_residuals(found)
    assert "in time over" in note
    assert "along x over" in note
    size = float(note.partition("a misfit of ")[2].split()[0])
    assert size == pytest.approx(0.06, rel=0.2)


def observations() -> dict[str, Observation]:
    mask = torch.rand(2, 7, 1, 9, 8, generator=generator()) < 0.5
    sensors, times = torch.rand(6, 2, generator=generator(), dtype=F64), torch.linspace(0.1, 0.6, 40, dtype=F64)
    scattered = torch.rand(300, 2, generator=generator(), dtype=F64)
    return {
        "grid": Grid(PLANE, 2, 6),
        "masked": Grid(PLANE, 2, 6, mask),
        "joined": Joined(Grid(PLANE, 2, 6, mask), Grid(PLANE, 2, 6, ~mask, first=0)),
        "sensors": Points.of_sensors(PLANE, sensors, times, ["u"]),
        "scattered": Points(PLANE, scattered, torch.rand(300, generator=generator(), dtype=F64), "u"),
    }


def normal(size: int, random: torch.Generator) -> Tensor:
    return torch.randn(size, generator=random, dtype=F64)


def uneven(size: int, random: torch.Generator) -> Tensor:
    """Independent, with deviations from nearly none to one."""
    return normal(size, random) * (torch.linspace(0, 3 * math.pi, size, dtype=F64).sin() + 0.05)


def long_tailed(size: int, random: torch.Generator) -> Tensor:
    """Student's with four degrees of freedom."""
    return normal(size, random) / torch.randn(4, size, generator=random, dtype=F64).square().mean(dim=0).sqrt()


@pytest.mark.slow
@pytest.mark.parametrize("draw", [normal, uneven, long_tailed])
@pytest.mark.parametrize("name", observations())
def test_independent_residuals_are_hardly_ever_called_correlated(name: str, draw: object) -> None:
    """In all looks together; were it 1 in 500, more than nine alarms in 1500 draws had a chance of 1 in 1000."""
    assert callable(draw)
    observation, random = observations()[name], generator()
    nothing, alarms = torch.zeros(observation.size, dtype=F64), 0
    for _ in range(1500):
        alarms += len(list(on_residuals(draw(observation.size, random), nothing, observation)))
    print(f"\n{name}, {draw.__name__}: {alarms} of 1500")
    assert alarms <= 9
    assert FALSE_ALARMS * 1500 == 3


@pytest.mark.slow
def test_residuals_of_a_fit_with_its_starts_are_hardly_ever_called_correlated() -> None:
    """Of the heat equation, with 24 numbers of each of two rough starts fitted along."""
    model = heat()
    guess, alarms = torch.zeros(2, 1, 24, dtype=F64), 0
    for seed in range(30):
        rough = noise(2, 1, 24, seed=1000 + seed)
        measurements = measured(model, rough, 4, 0.3, seed=seed, first=0, known=False)
        alarms += len(about_residuals(estimate(model, NoisyStarts(guess, torch.ones(1, dtype=F64)), measurements)))
    assert alarms <= 1


@pytest.mark.parametrize("name", observations())
def test_independent_values_hold_what_is_expected_in_each_octave(name: str) -> None:
    observation = observations()[name]
    for own, lattice in observation.lattices():
        values = noise(500, own.stop - own.start)
        spectrum = Spectrum.of(lattice, values)
        scatter = (2 * spectrum.expected / 500).sqrt()
        assert bool(((spectrum.energy.mean(dim=0) - spectrum.expected).abs() < 5 * scatter).all())


def test_cells_of_masked_and_joined_grids_are_where_their_values_are() -> None:
    mask = torch.rand(2, 4, 1, 9, 8, generator=generator()) < 0.5
    states = noise(2, 4, 1, 9, 8)
    observation = Joined(Grid(PLANE, 2, 3, mask), Grid(PLANE, 2, 3, ~mask, first=0))
    (one, masked), (other, rest) = observation.lattices()
    assert masked.directions == rest.directions == ("in time", "along x", "along y")
    values = observation(states)
    expected = torch.where(mask, states, 0)[:, 1:].flatten()
    torch.testing.assert_close(masked.filled(values[one]), expected)
    torch.testing.assert_close(rest.filled(values[other]), torch.where(mask, 0, states).flatten())


def test_values_that_share_a_cell_keep_a_deviation_of_one_and_cosines_all_of_it() -> None:
    lattice = Lattice.of(torch.zeros(4, dtype=torch.long), {"in time": torch.tensor([0, 2, 2, 1])})
    values = torch.tensor([1.0, 2.0, 4.0, 3.0], dtype=F64)
    held = torch.tensor([1.0, 3.0, 6 / math.sqrt(2)], dtype=F64)
    torch.testing.assert_close(lattice.filled(values), held)
    waves = cosines(lattice, values)
    assert float(waves[0, 0]) == pytest.approx(float(held.sum()) / math.sqrt(3))
    assert float(waves.square().sum()) == pytest.approx(float(held.square().sum()))


def test_a_clean_fit_to_rounding_and_one_value_say_nothing() -> None:
    one = Points(line(8), torch.tensor([[0.5]]), torch.tensor([0.1]), "u")
    assert list(on_residuals(torch.ones(1, dtype=F64), torch.zeros(1, dtype=F64), one)) == []
    seen = Grid(line(8), 1, 3)
    assert list(on_residuals(torch.zeros(seen.size, dtype=F64), torch.zeros(seen.size, dtype=F64), seen)) == []


def test_values_of_one_time_lie_beside_each_other_in_their_order() -> None:
    layout = line(8)
    halves = torch.stack([box_region(layout, [(0.0, 0.5)]), box_region(layout, [(0.5, 1.0)])])
    seen = Regions.means(layout, halves, torch.tensor([0.1, 0.2, 0.4]), ["u"], num_trajectories=2)
    ((_, lattice),) = seen.lattices()
    assert lattice.shape == (2, 3, 2)
    assert lattice.cell.tolist() == list(range(12))
