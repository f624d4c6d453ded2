"""What is minimised: residuals, costs and Jacobians of every kind of model, in batches of any size."""

from __future__ import annotations

import pytest
import torch
from estimation_cases import burgers, clean, colony, fisher, heat, measured, noise, positive, starts
from physics_cases import CASES, Case, smooth
from torch import Tensor

from cotwin.estimation import Grid, LeastSquares, Measurements, NoisyStarts, estimate
from cotwin.estimation.priors import LogNormal

SEVERAL = [
    case
    for case in CASES
    if case.name
    in {
        "spectral Burgers 1-D, field",
        "Burgers 2-D, scalar, walls",
        "heat 2-D, field, two fields",
        "Kuramoto-Sivashinsky 1-D",
        "Gray-Scott 2-D, walls",
        "Fisher 1-D, networks",
        "linear shallow water 2-D, walls",
        "smoke, closed",
        "refined 1-D",
    }
]


def problem_of(case: Case, noisy: bool = False) -> LeastSquares:
    """Of values that the model does not fit, so that residuals are not zero."""
    stepper = case.stepper()
    states = smooth(stepper.layout, count=2)
    seen = Grid(stepper.layout, 2, 3)
    values = seen(clean(stepper, states, 3)) + 0.1 * noise(seen.size)
    given = NoisyStarts(states, torch.full((stepper.layout.channels,), 0.3, dtype=torch.float64))
    return LeastSquares(stepper, given if noisy else states, Measurements(seen, values, 0.1))


def points_near(problem: LeastSquares, count: int) -> Tensor:
    return problem.present() + 0.02 * noise(count, problem.size)


@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.name)
def test_jacobians_by_differences_are_those_of_forward_differentiation(case: Case) -> None:
    problem = problem_of(case)
    (z,) = points_near(problem, 1)
    exact = torch.func.jacfwd(problem.differentiable_misfit)(z)
    by_differences = problem.linearise(z[None]).by_raw[0]
    # Central differences of 1e-5 are good for ten digits, of the largest entries.
    torch.testing.assert_close(by_differences, exact, rtol=1e-6, atol=1e-7 * float(exact.abs().max()))
    sketched = problem.sketch(z[None], problem.paces(z[None])).by_raw[0]
    torch.testing.assert_close(sketched, exact, rtol=1e-4, atol=1e-5 * float(exact.abs().max()))


def test_jacobians_to_noisy_starts_are_those_of_forward_differentiation() -> None:
    case = next(case for case in CASES if case.name == "spectral Burgers 1-D, scalar")
    problem = problem_of(case, noisy=True)
    (z,) = points_near(problem, 1)
    exact = torch.func.jacfwd(problem.differentiable_misfit)(z)[:, len(problem.unknowns) :]
    linear = problem.linearise(z[None])
    found = torch.zeros_like(exact)
    for start in range(2):
        own = slice(start * problem.starts.size, (start + 1) * problem.starts.size)
        found[linear.trajectory == start, own] = linear.by_white[0, linear.trajectory == start]
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-7 * float(exact.abs().max()))


@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.name)
def test_costs_are_the_same_for_the_batch_and_for_reverse_mode(case: Case) -> None:
    problem = problem_of(case)
    points = points_near(problem, 3)
    one_by_one = torch.stack([problem.differentiable_cost(point).detach() for point in points])
    torch.testing.assert_close(problem.cost(points), one_by_one)
    torch.testing.assert_close(problem.linearise(points).cost, one_by_one)


def test_priors_and_noisy_starts_count_in_every_cost_alike() -> None:
    model = heat()
    given = NoisyStarts(starts(model.layout), torch.tensor([0.2], dtype=torch.float64))
    problem = LeastSquares(model, given, measured(model, given.guess, 4, 0.1), {"diffusivity": LogNormal(0.03, 2.0)})
    points = problem.present() + 0.1 * noise(2, problem.size)
    one_by_one = torch.stack([problem.differentiable_cost(point).detach() for point in points])
    torch.testing.assert_close(problem.cost(points), one_by_one)
    torch.testing.assert_close(problem.linearise(points).cost, one_by_one)


@pytest.mark.parametrize("noisy", [False, True])
def test_batches_in_small_parts_give_the_same(monkeypatch: pytest.MonkeyPatch, noisy: bool) -> None:
    problem = problem_of(next(case for case in CASES if case.name == "heat 1-D, scalar"), noisy)
    points = points_near(problem, 3)
    cost, linear = problem.cost(points), problem.linearise(points)
    for module in ("problem", "prediction"):
        monkeypatch.setattr(f"cotwin.estimation.{module}.AT_ONCE", 1)
    torch.testing.assert_close(problem.cost(points), cost)
    in_parts = problem.linearise(points)
    torch.testing.assert_close(in_parts.by_raw, linear.by_raw)
    torch.testing.assert_close(in_parts.by_white, linear.by_white)


def test_a_point_costs_the_same_whichever_others_are_in_its_batch() -> None:
    """Of a model whose number of stages follows from its parameters, which a batch must not share."""
    model = heat()
    problem = LeastSquares(model, starts(model.layout), measured(model, starts(model.layout), 4, 0.01))
    points = problem.present() + torch.tensor([[0.0], [5.0]], dtype=torch.float64)
    alone = torch.cat([problem.cost(point[None]) for point in points])
    torch.testing.assert_close(problem.cost(points), alone, rtol=1e-10, atol=0.0)


def test_values_of_their_own_and_repeats_give_each_point_its_own_problem() -> None:
    model = fisher()
    states = colony(model.layout)
    problem = LeastSquares(model, states, measured(model, states, 4, 0.1))
    points = problem.present() + 0.1 * noise(2, 3)
    values = problem.values + noise(2, len(problem.values))
    repeats = torch.arange(2.0)[:, None].expand_as(values) + 1
    each = [
        problem.with_values(values[i : i + 1]).resampled(repeats[i : i + 1]).cost(points[i : i + 1]) for i in (0, 1)
    ]
    both = problem.with_values(values).resampled(repeats)
    torch.testing.assert_close(both.cost(points), torch.cat(each))
    torch.testing.assert_close(both[torch.tensor([1])].cost(points[1:]), each[1])
    # Twice the value is twice its part of the cost.
    once = problem.with_values(values[1:]).cost(points[1:])
    torch.testing.assert_close(each[1], 2 * once)


def test_rollouts_that_diverge_cost_infinity_and_leave_the_others_as_they_are() -> None:
    model = burgers()
    states = 3 * starts(model.layout)
    problem = LeastSquares(model, states, measured(model, states, 5, 0.01))
    beyond = torch.tensor([[0.0], [-900.0], [900.0]], dtype=torch.float64)
    cost = problem.cost(problem.present() + beyond)
    assert cost.isfinite().tolist() == [True, False, False] or cost.isfinite().tolist() == [True, True, False]
    torch.testing.assert_close(cost[:1], problem.cost(problem.present()))


def test_a_single_precision_adapter_is_estimated_in_its_own_precision() -> None:
    """A model that computes in one precision only is given states in it, and compared in double."""
    model = heat()
    states = starts(model.layout)
    measurements = measured(model, states, 3, 0.01)
    assert LeastSquares(model.float(), states.float(), measurements).dtype == torch.float64
    found = estimate(heat(0.03).float(), states.float(), measurements)
    expected = estimate(heat(0.03), states, measurements)
    # The starts are rounded to single precision, nothing else is.
    torch.testing.assert_close(
        found.intervals["diffusivity"].value, expected.intervals["diffusivity"].value, rtol=1e-5, atol=0.0
    )
    assert positive(1.0)().dtype == torch.float64
