"""Ensemble Kalman inversion: least-squares and MAP solutions of what is linear; programs with noise and steps."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
import torch
from estimation_cases import F64, line, noise, sources
from torch import Tensor

from cotwin.estimation import EnsembleKalman, Estimation, Grid, LeastSquares, Measurements, NoisyStarts, estimate
from cotwin.estimation.ensemble import Regression
from cotwin.estimation.ensemble_kalman import _stepped
from cotwin.estimation.priors import Gaussian
from cotwin.parameters import Bounded, Positive, Real
from cotwin.physics.external import ExternalStepper
from cotwin.physics.function import FunctionStepper
from cotwin.stepper import ProgramError, rollout

LEVEL = 0.05
TRUE = {"first": 0.7, "second": -0.4, "third": 0.2}


def amounts(**values: float) -> FunctionStepper:
    return sources(
        line(12, "neumann"), **{name: Real(torch.tensor(value, dtype=F64)) for name, value in values.items()}
    )


def measured(level: float | None = LEVEL) -> tuple[Tensor, Measurements]:
    start = torch.zeros(1, 1, 12, dtype=F64)
    seen = Grid(amounts(**TRUE).layout, 1, 5, first=1)
    values = seen(rollout(amounts(**TRUE), start, 5).detach()) + LEVEL * noise(seen.size)
    return start, Measurements(seen, values, level)


def searched(
    deviation: float, level: float | None = LEVEL, seed: int = 0, **asked: Any
) -> tuple[Estimation, Estimation]:
    """By an ensemble, and by derivatives."""
    start, measurements = measured(level)
    priors = {name: Gaussian(0.0, deviation) for name in TRUE}
    begin = amounts(**dict.fromkeys(TRUE, 0.0))
    ensemble = EnsembleKalman(seed=seed, **asked)
    one, other = (estimate(begin, start, measurements, priors=priors, search=by) for by in (ensemble, None))
    return one, other


@pytest.mark.parametrize("deviation", [0.1, 1e3])
def test_linear_problems_have_the_map_and_nearly_without_a_prior_the_least_squares_solution(deviation: float) -> None:
    """And the intervals of these: with any number of members beyond the unknowns, from the first regression on."""
    for members in (4, 5, 16):
        mine, right = searched(deviation, members=members)
        assert mine.converged
        assert torch.allclose(mine.z, right.z, rtol=0, atol=1e-6)
        for name, interval in right.intervals.items():
            assert torch.allclose(mine.intervals[name].deviation, interval.deviation, rtol=1e-4)
        assert mine.cost == pytest.approx(right.cost, rel=1e-8)


def test_the_least_squares_solution_without_any_prior_is_that_of_the_normal_equations() -> None:
    start, measurements = measured()
    begin = sources(
        line(12, "neumann"), **{name: Bounded(torch.tensor(0.0, dtype=F64), -50.0, 50.0) for name in TRUE}
    )
    found = estimate(begin, start, measurements, search=EnsembleKalman(tolerance=1e-4))
    columns = [measurements.observation(rollout(amounts(**one), start, 5).detach()) for one in _units()]
    design = torch.stack(columns, dim=1)
    right = torch.linalg.lstsq(design, measurements.values[:, None]).solution[:, 0]
    deviation = LEVEL * torch.linalg.inv(design.mT @ design).diagonal().sqrt()
    for index, name in enumerate(TRUE):
        assert abs(float(found.intervals[name].value - right[index])) < 1e-3 * float(deviation[index])
        assert float(found.intervals[name].deviation) == pytest.approx(float(deviation[index]), rel=1e-3)


def _units() -> list[dict[str, float]]:
    return [{name: float(name == one) for name in TRUE} for one in TRUE]


def test_unknown_noise_is_found_with_the_unknowns() -> None:
    mine, right = searched(1e3, level=None)
    assert torch.allclose(mine.noise, right.noise, rtol=0.02)
    assert torch.allclose(mine.z, right.z, rtol=0, atol=1e-6)


def test_an_iteration_is_the_same_in_any_coordinates() -> None:
    """z → M z + b for every member, of residuals that are not linear in them."""
    generator = torch.Generator().manual_seed(0)
    z, wide = torch.randn(9, 3, generator=generator, dtype=F64), torch.full((3,), 1e6, dtype=F64)
    misfit, prior = torch.sin(z @ torch.randn(3, 20, generator=generator, dtype=F64)), z - 0.3
    turn, shift = torch.randn(3, 3, generator=generator, dtype=F64), torch.randn(3, generator=generator, dtype=F64)
    one, _ = _stepped(Regression.of(z, misfit, prior), wide, 1.0)
    other, _ = _stepped(Regression.of(z @ turn.mT + shift, misfit, prior), wide, 1.0)
    assert torch.allclose(one @ turn.mT + shift, other, rtol=0, atol=1e-9)


def test_a_seed_fixes_all() -> None:
    one, same, other = (rough_estimate(seed).z for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def rough(rate: float = 0.5, capacity: float = 2.0) -> ExternalStepper:
    """Logistic growth, each result rounded to two digits and off by a percent, as a hash of what went in has it."""

    def program(u: Any, dt: float, values: dict[str, Any]) -> Any:
        grown = u + dt * values["rate"] * u * (1 - u / values["capacity"])
        mixed = zlib.crc32(np.ascontiguousarray(u).tobytes() + np.array(list(values.values())).tobytes())
        return np.round(grown * (1 + 0.01 * np.random.default_rng(mixed).standard_normal(u.shape)), 2)

    parameters = {
        "rate": Positive(torch.tensor(rate, dtype=F64)),
        "capacity": Positive(torch.tensor(capacity, dtype=F64)),
    }
    return ExternalStepper(line(24), program, parameters)


def growth() -> tuple[Tensor, Measurements]:
    """Of a program without noise."""
    start = torch.linspace(0.1, 1.2, 24, dtype=F64)[None, None]
    states, seen = [start], Grid(line(24), 1, 8, first=1)
    for _ in range(8):
        states.append(states[-1] + 0.1 * 1.0 * states[-1] * (1 - states[-1] / 1.5))
    values = seen(torch.stack(states, dim=1))
    return start, Measurements(seen, values + 0.02 * noise(seen.size), 0.02)


def rough_estimate(seed: int = 0, search: EnsembleKalman | None = None) -> Estimation:
    return estimate(rough(), *growth(), search=search or EnsembleKalman(seed=seed))


def test_a_program_with_noise_and_steps_is_estimated_where_differences_see_noise_alone() -> None:
    found, by_differences = rough_estimate(), estimate(rough(), *growth())
    for name, true in {"rate": 1.0, "capacity": 1.5}.items():
        off = abs(float(found.intervals[name].value) / true - 1)
        assert off < 0.05
        assert off < abs(float(by_differences.intervals[name].value) / true - 1)
    assert "by_ensemble" in [note.code for note in found.warnings]


def test_an_ensemble_that_cannot_span_the_unknowns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ensemble of 3 members stays in the 2 directions .* 3 unknowns; give 4"):
        searched(1.0, members=3)


def test_estimated_starts_are_refused() -> None:
    start, measurements = measured()
    noisy = NoisyStarts(start, torch.ones(1, dtype=F64))
    with pytest.raises(ValueError, match="take starts as exact"):
        estimate(amounts(**TRUE), noisy, measurements, search=EnsembleKalman())


def test_a_program_that_dies_leaves_the_best_of_what_was_finished() -> None:
    calls = [0]
    whole = rough()

    def program(u: Any, dt: float, values: dict[str, Any]) -> Any:
        calls[0] += 1
        if calls[0] > 16 * 8 * 2 + 3:
            raise OSError("killed by signal 9")
        return whole.program(u, dt, values)

    dying = ExternalStepper(line(24), program, {"rate": Positive(0.5), "capacity": Positive(2.0)})
    with pytest.raises(ProgramError, match=r"program.* failed in call 260.*signal 9.*finished: rate .*, capacity "):
        estimate(dying, *growth(), search=EnsembleKalman())


def test_many_points_are_searched_each_by_an_ensemble() -> None:
    start, measurements = measured()
    problem = LeastSquares(amounts(**TRUE), start, measurements, {name: Gaussian(0.0, 1.0) for name in TRUE})
    z = problem.present() + torch.tensor([[0.0], [1.0]], dtype=F64)
    solution = EnsembleKalman()(problem, z)
    assert bool(solution.converged.all())
    assert torch.allclose(solution.z[0], solution.z[1], rtol=0, atol=1e-6)
