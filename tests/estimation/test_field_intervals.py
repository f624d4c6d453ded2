"""Intervals of fields and fractions: nine in ten hold the truth, and none reaches beyond a bound."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch
from estimation_cases import F64, line, noise
from torch import Tensor

from cotwin.estimation import Grid, Interval, LeastSquares, Measurements, estimate, levenberg_marquardt
from cotwin.estimation.information import FullInformation
from cotwin.estimation.intervals import laplace_interval
from cotwin.parameters import Bounded, CoarseField, Parameter, Positive, Simplex
from cotwin.physics.function import FunctionStepper

DRAWS = 400
LAYOUT = line(8, dt=1.0)


def seen_by_logarithm(parameter: Parameter) -> FunctionStepper:
    """u(dt) = log p(x), so that what is measured is linear in the logarithm of the field."""
    return FunctionStepper(LAYOUT, lambda u, dt, v: u + dt * v["rate"].log(), {"rate": parameter})


def coarse(values: list[float]) -> CoarseField:
    return CoarseField(Positive(torch.tensor(values, dtype=F64)), LAYOUT)


def test_nine_in_ten_intervals_of_a_positive_field_contain_it() -> None:
    """And one in twenty lies on either side; linear in natural units it was one in fifty below, one in ten above."""
    truth, start = coarse([0.5, 1.0, 2.0, 1.0]), torch.zeros(1, 1, 8, dtype=F64)
    seen, level = Grid(LAYOUT, 1, 1), 0.5
    values = truth().detach().log() + level * noise(DRAWS, seen.size)
    problem = LeastSquares(seen_by_logarithm(coarse([1.0] * 4)), start, Measurements(seen, values[0], level))
    every = problem.with_values(values)
    found = levenberg_marquardt(every, problem.present().repeat(DRAWS, 1))
    jacobians = every.linearise(found.z).jacobian()
    quantile = float(scipy.stats.norm.ppf(0.95))

    def ends(z: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
        information = FullInformation.of(jacobian, problem.unknowns.labels)
        one = laplace_interval(problem.unknowns, "rate", z, information, quantile)
        return one.low, one.high

    low, high = torch.func.vmap(ends)(found.z, jacobians)
    below, above = ((truth() < low).double().mean(dim=0), (truth() > high).double().mean(dim=0))
    error = math.sqrt(0.05 * 0.95 / DRAWS)
    assert float(below.mean()) == pytest.approx(0.05, abs=2 * error)
    assert float(above.mean()) == pytest.approx(0.05, abs=2 * error)
    assert bool(((below + above - 0.1).abs() < 3 * math.sqrt(0.1 * 0.9 / DRAWS)).all())
    assert bool((low > 0).all())


def interval(parameter: Parameter, level: float) -> Interval:
    stepper, start = seen_by_logarithm(parameter), torch.zeros(1, 1, 8, dtype=F64)
    seen = Grid(LAYOUT, 1, 1)
    values = parameter().detach().log() + level * noise(seen.size)
    return estimate(stepper, start, Measurements(seen, values, level)).intervals["rate"]


def bounded(values: list[float]) -> CoarseField:
    return CoarseField(Bounded(torch.tensor(values, dtype=F64), 0.2, 3.0), LAYOUT)


@pytest.mark.parametrize(
    ("parameter", "lower", "upper"),
    [(bounded([0.3, 2.9, 2.9, 0.3]), 0.2, 3.0), (Simplex(torch.full((8,), 1 / 8, dtype=F64)), 0.0, 1.0)],
    ids=["bounded field", "fractions"],
)
def test_however_wide_they_stay_within_the_bounds(parameter: Parameter, lower: float, upper: float) -> None:
    found = interval(parameter, 3.0)
    reach = found.value - 1.645 * found.deviation, found.value + 1.645 * found.deviation
    assert bool((reach[0] < lower).any() or (reach[1] > upper).any())  # as they would be in natural units
    assert bool(((lower <= found.low) & (found.low <= found.value)).all())
    assert bool(((found.value <= found.high) & (found.high <= upper)).all())


def test_a_narrow_one_is_the_same_in_any_units() -> None:
    found = interval(coarse([0.5, 1.0, 2.0, 1.0]), 1e-3)
    torch.testing.assert_close(found.high - found.low, 2 * 1.6449 * found.deviation, rtol=1e-3, atol=0.0)


def test_a_field_on_its_bound_has_numbers_without_bounds_too() -> None:
    field = bounded([1.0] * 4)
    on_it: Tensor = torch.full((8,), 0.2, dtype=F64)
    assert bool(field.unbounded(on_it).isfinite().all())
    torch.testing.assert_close(field.bounded(field.unbounded(on_it)), on_it)
