"""Programs whose results have few digits: estimated as if they had all, or marked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from estimation_cases import line, noise, positive
from torch import Tensor

from cotwin.estimation import Estimation, Grid, LeastSquares, Measurements, estimate
from cotwin.estimation.roughness import by_steps
from cotwin.layout import Layout
from cotwin.physics.external import ExternalStepper

LEVEL = 0.01
Digits = Callable[[Any], Any]


def spread(parameters: dict[str, Any], u: Any, dt: float) -> Any:
    """Diffusion and growth between insulated ends, ten short steps."""
    for _ in range(10):
        padded = np.pad(u, ((0, 0), (0, 0), (1, 1)), mode="edge")
        flux = parameters["diffusivity"] * np.diff(padded) * 16
        u = u + dt / 10 * (np.diff(flux) * 16 + parameters["growth"] * u * (1 - u))
    return u


def program(layout: Layout, digits: Digits) -> ExternalStepper:
    def step(states: Any, dt: float, parameters: dict[str, Any]) -> Any:
        return digits(spread(parameters, states, dt)).astype(np.float64)

    return ExternalStepper(layout, step, {"diffusivity": positive(0.02), "growth": positive(1.0)})


def data(layout: Layout) -> tuple[Tensor, Measurements]:
    x = np.asarray(layout.points(0))
    states = [np.stack([0.3 + 0.2 * np.cos(k * np.pi * x) for k in (1, 2)])[:, None]]
    for _ in range(4):
        states.append(spread({"diffusivity": 0.03, "growth": 1.5}, states[-1], layout.dt))
    seen = Grid(layout, 2, 4, first=1)
    values = seen(torch.from_numpy(np.stack(states, axis=1)))
    return torch.from_numpy(states[0]), Measurements(seen, values + LEVEL * noise(seen.size), LEVEL)


def found(digits: Digits) -> Estimation:
    layout = line(16, "neumann")
    return estimate(program(layout, digits), *data(layout), points=1)


def to(digits: int) -> Digits:
    return lambda u: np.round(u, digits)


def single(u: Any) -> Any:
    return u.astype(np.float32)


@pytest.mark.parametrize("digits", [to(9), to(5), single])
def test_results_with_some_digits_give_the_estimate_of_all_digits(digits: Digits) -> None:
    exact, rounded = found(lambda u: u), found(digits)
    assert rounded.converged
    assert rounded.reasons == exact.reasons
    for name, interval in exact.intervals.items():
        mine = rounded.intervals[name]
        assert abs(float(mine.value - interval.value)) < 0.05 * float(interval.deviation)
        assert float(mine.deviation) == pytest.approx(float(interval.deviation), rel=0.02)


def test_results_with_hardly_any_digit_are_marked_with_the_cure() -> None:
    rough = found(to(1))
    assert "rough" in rough.reasons
    (said,) = (note for note in rough.warnings if note.code == "rough")
    assert "estimation.search=ensemble_kalman" in said


def test_all_digits_need_no_other_steps() -> None:
    layout = line(16, "neumann")
    start, measurements = data(layout)
    problem = LeastSquares(program(layout, lambda u: u), start, measurements)
    assert by_steps(problem, problem.present()[0]) == (problem, [])


def test_the_noise_of_a_program_is_what_it_adds() -> None:
    """Of unknowns that are then hardly seen to move anything."""
    layout, random = line(16, "neumann"), np.random.default_rng(0)
    start, measurements = data(layout)
    problem = LeastSquares(program(layout, lambda u: u + 1e-4 * random.standard_normal(u.shape)), start, measurements)
    rough, _ = by_steps(problem, problem.present()[0])
    once, again = (problem.predicted(problem.present())[0] for _ in range(2))
    expected = float((once - again).std()) / 2**0.5
    assert rough.roughness is not None
    assert 0.7 < float(rough.roughness) / expected < 1.4


def test_what_moves_nothing_is_left_as_it_is() -> None:
    layout = line(16, "neumann")
    still = ExternalStepper(layout, lambda u, dt, parameters: u, {"diffusivity": positive(0.02)})
    problem = LeastSquares(still, *data(layout))
    assert by_steps(problem, problem.present()[0]) == (problem, [])
