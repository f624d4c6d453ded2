"""Starts that are integrated out: the exact likelihood of linear models, and what it chooses."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import scipy.io
import torch
from estimation_cases import F64, clean, generator, heat, line, noise, positive
from torch import Tensor

from cotwin.estimation import Grid, LeastSquares, Measurements, NoisyStarts, estimate, evidence
from cotwin.estimation.levenberg_marquardt import levenberg_marquardt
from cotwin.estimation.measurements import SHARE, mode_covariance, start_modes
from cotwin.given import Course, Given
from cotwin.layout import Field, Layout
from cotwin.parameters import Input
from cotwin.physics.allen_cahn import AllenCahn
from cotwin.physics.external import ExternalStepper
from cotwin.physics.heat import Heat
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.stepper import Stepper, rollout

LENGTH, DEVIATION, LEVEL = 0.2, 1.5, 0.05
ALLEN_CAHN = Path(__file__).parents[3] / "shared" / "data" / "raissi_allen_cahn.mat"


def field(layout: Layout, count: int, length: float, seed: int = 0) -> Tensor:
    """Starts drawn from their prior."""
    modes = start_modes(layout, length)
    weights = torch.randn(count, len(modes), generator=generator(seed), dtype=F64)
    return DEVIATION * torch.tensordot(weights, modes, dims=1)[:, None]


def prior(starts: Tensor, length: float, adapt: bool = False) -> NoisyStarts:
    return NoisyStarts(torch.zeros_like(starts), torch.full((1,), DEVIATION, dtype=F64), length, adapt)


def seen(stepper: Stepper, starts: Tensor, num_steps: int, seed: int = 1) -> Measurements:
    """Of all frames, the first included."""
    observation = Grid(stepper.layout, len(starts), num_steps, first=0)
    with torch.no_grad():
        values = observation(rollout(stepper, starts, num_steps))
    return Measurements(observation, values + LEVEL * noise(len(values), seed=seed), LEVEL)


def rested(problem: LeastSquares, raw: Tensor) -> Tensor:
    """The best starts for these parameters."""
    z = torch.cat([raw, torch.zeros(problem.size - len(raw), dtype=F64)])[None]
    return levenberg_marquardt(problem, z, free=torch.zeros(1, len(raw), dtype=torch.bool), tolerance=1e-12).z


def test_of_a_linear_model_it_is_the_exact_likelihood() -> None:
    """y is normal with mean zero and covariance σ² + J K Jᵀ."""
    starts = field(heat().layout, 2, LENGTH)
    measurements = seen(heat(0.02), starts, 5)
    problem = LeastSquares(heat(0.02), prior(starts, LENGTH), measurements)
    found, exact = [], []
    for diffusivity in (0.01, 0.02, 0.05):
        z = rested(problem, torch.tensor([math.log(diffusivity)], dtype=F64))
        linear = problem.linearise(z)
        found.append(float(problem.cost(z) + linear.half_log_determinant()))
        total = 0.0
        for index in range(2):
            rows = problem.observation.trajectory == index
            jacobian = LEVEL * linear.by_white[0, rows]
            covariance = LEVEL**2 * torch.eye(len(jacobian), dtype=F64) + jacobian @ jacobian.T
            normal = torch.distributions.MultivariateNormal(torch.zeros(len(jacobian), dtype=F64), covariance)
            total -= float(normal.log_prob(measurements.values[rows]))
        exact.append(total)
    differences = [one - found[0] for one in found]
    assert differences == pytest.approx([one - exact[0] for one in exact], rel=1e-6)


def test_a_heater_known_in_single_precision_leaves_differences_exact() -> None:
    """It adds the same to every start; rounded anew in each batch, differences to one side would magnify it."""
    starts = field(heat().layout, 1, LENGTH)
    given = Given.of(1, inputs={"heater": Course(torch.rand(1, 81, generator=generator()), per_step=8)})
    heated = Heat(heat().layout, positive(0.02), source=Input("heater", 1.0))
    problem = LeastSquares(heated, prior(starts, LENGTH), seen(heat(), starts, 10), given=given)
    z = problem.present()
    by_white = problem.sketch(z, problem.paces(z)).by_white
    torch.testing.assert_close(by_white, problem.linearise(z).by_white, rtol=1e-6, atol=1e-6)


def burgers_outside(layout: Layout) -> ExternalStepper:
    """The same equation as a program, through whose start no gradient goes."""

    def program(states: object, dt: float, parameters: dict[str, object]) -> object:
        inner = SpectralBurgers(replace(layout, dt=dt), positive(float(parameters["viscosity"])), substeps=2)
        with torch.no_grad():
            return inner(torch.as_tensor(states)).numpy()

    return ExternalStepper(layout, program, {"viscosity": positive(0.1)})


@pytest.mark.parametrize(("outside", "reverse"), [(False, True), (False, False), (True, False)])
def test_its_slope_is_that_of_the_determinant_with_the_starts_that_follow(
    outside: bool, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "FEW", 0 if reverse else 1)
    layout = line(16, length=2 * math.pi)
    inside = SpectralBurgers(layout, positive(0.1), substeps=2)
    starts = field(layout, 2, 1.5)
    problem = LeastSquares(
        burgers_outside(layout) if outside else inside, prior(starts, 1.5), seen(inside, starts, 4)
    )
    raw = torch.tensor([math.log(0.1)], dtype=F64)
    ends = [problem.linearise(rested(problem, raw + step)).half_log_determinant() for step in (1e-3, -1e-3)]
    z = rested(problem, raw)
    slope = evidence.slope(problem, z[0], problem.linearise(z))
    torch.testing.assert_close(slope, (ends[0] - ends[1]) / 2e-3, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_the_covariance_of_modes_is_that_of_the_field_of_another_length(boundary: str) -> None:
    layout = line(20, boundary)  # type: ignore[arg-type]
    torch.testing.assert_close(
        mode_covariance(layout, 0.1, SHARE, 0.1), torch.eye(len(start_modes(layout, 0.1)), dtype=F64)
    )
    modes, longer = start_modes(layout, 0.1), start_modes(layout, 0.4)
    expected = modes.T @ mode_covariance(layout, 0.1, SHARE, 0.4) @ modes
    torch.testing.assert_close(longer.T @ longer, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("length", [0.08, 0.3])
def test_length_and_deviation_of_the_starts_come_from_the_values(length: float) -> None:
    layout = line(64)
    starts = field(layout, 8, length)
    stepper = heat(0.002, points=64)
    guess = NoisyStarts(torch.zeros_like(starts), torch.full((1,), 0.5, dtype=F64), 0.15, adapt=True)
    found = estimate(stepper, guess, seen(stepper, starts, 3))
    assert found.problem.starts.noisy is not None
    assert found.problem.starts.noisy.length == pytest.approx(length, rel=0.3)
    assert float(found.problem.starts.noisy.deviation) == pytest.approx(DEVIATION, rel=0.3)
    (one,) = found.intervals.values()
    assert float(one.value) == pytest.approx(0.002, abs=3 * float(one.deviation))


def test_smooth_starts_of_a_plane_leave_the_noise_that_is_there() -> None:
    """Modes that are left out hide in the noise, however long and high the most probable field is."""
    layout = Layout.box([Field("u")], grid=(12, 12), extent=[(0, 1)] * 2, boundary="neumann", dt=0.02)
    x, y = (torch.tensor(layout.points(axis), dtype=F64) for axis in range(2))
    waves = torch.cos(math.pi * x)[:, None], torch.cos(2 * math.pi * y)[None]
    starts = torch.stack([a * waves[0] + b * waves[1] for a, b in ((1.0, 0.5), (0.3, 1.0), (0.7, -0.6))])[:, None]
    model = Heat(layout, positive(0.1))
    observation = Grid(layout, 3, 8, first=0)
    values = observation(clean(model, starts, 8))
    guess = NoisyStarts(torch.zeros_like(starts), starts.std()[None], 0.25, adapt=True)
    measurements = Measurements(observation, values + 0.002 * noise(len(values)))
    found = estimate(Heat(layout, positive(0.05)), guess, measurements)
    assert float(found.noise) == pytest.approx(0.002, rel=0.1)
    (one,) = found.intervals.values()
    assert float(one.value) == pytest.approx(0.1, abs=3 * float(one.deviation))
    assert float(one.deviation) < 1e-3


def test_a_start_of_the_search_where_nothing_is_finite_leaves_the_prior_of_the_starts() -> None:
    layout = line(16)
    starts = field(layout, 2, 0.2)
    guess = prior(starts, 0.2, adapt=True)
    problem = LeastSquares(heat(0.02, points=16), guess, seen(heat(0.02, points=16), starts, 3))
    linear = problem.linearise(problem.present())
    assert evidence.adapted(problem, replace(linear, misfit=linear.misfit * torch.nan)) is guess


def test_starts_without_a_length_do_not_adapt() -> None:
    with pytest.raises(ValueError, match="only starts with a length adapt"):
        NoisyStarts(torch.zeros(1, 1, 4), torch.ones(1), adapt=True)


@pytest.mark.slow
@pytest.mark.skipif(not ALLEN_CAHN.exists(), reason="the published data are not there")
def test_fronts_that_others_computed_give_their_diffusivity() -> None:
    """Fitted along, the starts left D 85 % too small, far outside its interval."""
    data = scipy.io.loadmat(ALLEN_CAHN)
    states = torch.from_numpy(data["uu"].T[::10].copy())[None, :, None]
    layout = line(512, length=2.0, dt=float(data["tt"][0, 10]))
    states = states + 0.05 * float(states.std()) * noise(*states.shape)
    observation = Grid(layout, 1, 20, first=0)
    starts = NoisyStarts(
        torch.full_like(states[:, 0], float(states[:, 0].mean())), states.std()[None], 0.07, adapt=True
    )
    model = AllenCahn(layout, positive(3e-4), positive(2.0))
    found = estimate(model, starts, Measurements(observation, observation(states)))
    for name, true in (("diffusivity", 1e-4), ("reaction", 5.0)):
        interval = found.intervals[name]
        assert float(interval.low) < true < float(interval.high)
    assert found.warnings == []
