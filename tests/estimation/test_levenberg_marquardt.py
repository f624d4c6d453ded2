"""The search: where it ends, in batches, from bad starts, and with parameters held."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch
from estimation_cases import F64, burgers, colony, fisher, heat, line, measured, noise, starts, two_sources
from torch import Tensor

from cotwin.estimation import LeastSquares, Measurements, NoisyStarts, adam, lbfgs, levenberg_marquardt
from cotwin.estimation.levenberg_marquardt import Search
from cotwin.estimation.linear import Linearised
from cotwin.estimation.prediction import Pace
from cotwin.estimation.priors import LogNormal
from cotwin.estimation.start_search import with_starts


def growing() -> LeastSquares:
    """Three unknowns of Fisher's equation, from a start that is well off."""
    states = colony(fisher().layout)
    return LeastSquares(fisher(0.8, 0.7, 1.0), states, measured(fisher(), states, 6, 0.02))


def linear() -> LeastSquares:
    model = two_sources(0.7, -0.4)
    states = starts(model.layout)
    return LeastSquares(two_sources(), states, measured(model, states, 4, 0.05))


def numpy_residuals(problem: LeastSquares, z: np.ndarray) -> np.ndarray:
    residuals: np.ndarray = problem.misfit(torch.from_numpy(z)[None])[0].numpy()
    return residuals


def test_it_ends_in_the_minimum_that_scipy_finds() -> None:
    problem = growing()
    found = levenberg_marquardt(problem, problem.present())
    expected = scipy.optimize.least_squares(
        lambda z: numpy_residuals(problem, z), problem.present()[0].numpy(), xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    assert bool(found.converged.all())
    assert float(found.cost) == pytest.approx(expected.cost, rel=1e-9)
    torch.testing.assert_close(found.z[0], torch.from_numpy(expected.x), rtol=0.0, atol=1e-5)


@pytest.mark.slow
def test_a_batch_of_points_ends_where_each_does_alone() -> None:
    problem = growing()
    points = problem.present() + 0.3 * noise(4, 3)
    together = levenberg_marquardt(problem, points)
    alone = [levenberg_marquardt(problem, point[None]) for point in points]
    torch.testing.assert_close(together.z, torch.cat([one.z for one in alone]), rtol=1e-8, atol=1e-8)
    assert bool(together.converged.all())


def test_points_whose_jacobians_do_not_fit_in_memory_are_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with data of its own, as the replicates of a bootstrap have."""
    problem = growing()
    points = problem.present() + 0.3 * noise(5, 3)
    own = problem.resampled(1.0 + (noise(5, problem.observation.size) > 0))
    together = levenberg_marquardt(own, points)
    monkeypatch.setattr("cotwin.estimation.problem.AT_ONCE", 2 * 8 * 3 * problem.observation.size)
    seen, sketch = [], LeastSquares.sketch

    def counting(self: LeastSquares, z: Tensor, paces: list[Pace]) -> Linearised:
        seen.append(len(z))
        return sketch(self, z, paces)

    monkeypatch.setattr(LeastSquares, "sketch", counting)
    in_parts = levenberg_marquardt(own, points)
    assert max(seen) == 2
    torch.testing.assert_close(in_parts.z, together.z, rtol=1e-8, atol=1e-8)
    assert in_parts.iterations == together.iterations


def test_a_linear_problem_takes_one_step_and_a_look_whether_there_is_another() -> None:
    problem = linear()
    found = levenberg_marquardt(problem, problem.present())
    assert bool(found.converged.all())
    assert found.iterations <= 3
    slope = problem.linearise(found.z)
    gradient = torch.einsum("pmn,pm->pn", slope.by_raw, slope.misfit)
    assert float(gradient.abs().max()) < 1e-3 * float(slope.by_raw.square().sum(dim=1).sqrt().min())


def test_an_offset_of_the_data_hides_neither_the_minimum_nor_that_it_is_reached() -> None:
    """Differences keep five digits fewer of pressures in pascal, and rounding promises ever lower costs."""
    states = starts(heat().layout, 1)
    seen = measured(heat(), states, 10, 1e-4, first=0)
    without, found = (
        levenberg_marquardt(problem, problem.present())
        for problem in (
            LeastSquares(
                heat(0.015),
                NoisyStarts(states + added, torch.tensor([0.5], dtype=F64), 0.1),
                Measurements(seen.observation, seen.values + added, 1e-4),
            )
            for added in (0.0, 101325.0)
        )
    )
    assert bool(without.converged.all() & found.converged.all())
    assert found.iterations <= without.iterations + 3
    assert float(found.cost) == pytest.approx(float(without.cost), abs=1e-3)
    assert float(found.z[0, 0]) == pytest.approx(float(without.z[0, 0]), abs=1e-6)


def test_parameters_that_are_held_stay_and_the_others_make_the_best_of_it() -> None:
    problem = growing()
    points = problem.present().repeat(2, 1)
    free = torch.tensor([[True, False, True], [True, True, True]])
    found = levenberg_marquardt(problem, points, free=free)
    assert float(found.z[0, 1]) == pytest.approx(float(points[0, 1]), abs=1e-12)
    assert float(found.cost[0]) > float(found.cost[1])

    def others(z: np.ndarray) -> np.ndarray:
        return numpy_residuals(problem, np.array([z[0], float(points[0, 1]), z[1]]))

    expected = scipy.optimize.least_squares(others, points[0, [0, 2]].numpy(), xtol=1e-12)
    assert float(found.cost[0]) == pytest.approx(expected.cost, rel=1e-8)


def test_parameters_that_are_held_stay_whatever_a_prior_says_of_them() -> None:
    states = colony(fisher().layout)
    priors = {"growth.rate": LogNormal(1.0, 1.1)}
    problem = LeastSquares(fisher(0.8, 0.7, 1.0), states, measured(fisher(), states, 6, 0.02), priors)
    free = torch.tensor([["growth.rate" not in label for label in problem.unknowns.labels]])
    assert int(free.sum()) == 2
    found = levenberg_marquardt(problem, problem.present(), free=free)
    assert bool(found.converged.all())
    assert torch.allclose(found.z[~free], problem.present()[~free], rtol=0, atol=1e-12)


def test_a_start_that_diverges_costs_infinity_and_does_not_end_the_others() -> None:
    model = burgers()
    states = starts(model.layout)
    problem = LeastSquares(burgers(0.2), states, measured(model, states, 4, 0.01))
    points = problem.present() + torch.tensor([[0.0], [900.0]], dtype=F64)
    found = levenberg_marquardt(problem, points)
    alone = levenberg_marquardt(problem, points[:1])
    assert found.converged.tolist() == [True, False]
    assert float(found.cost[1]) == float("inf")
    torch.testing.assert_close(found.z, torch.cat([alone.z, points[1:]]))


class Cliff(LeastSquares):
    """A problem that is infinite everywhere but at its start: no step from there helps, however short."""

    def misfit(self, z: Tensor, paces: list[Pace] | None = None) -> Tensor:
        return torch.where((z == self.present()).all(dim=1)[:, None], super().misfit(z, paces), torch.inf)


def test_a_point_that_cannot_move_has_not_converged() -> None:
    """Ever more damping makes every promise small; that must not pass for being there."""
    states = colony(fisher().layout)
    problem = Cliff(fisher(0.8), states, measured(fisher(), states, 6, 0.02))
    found = levenberg_marquardt(problem, problem.present())
    assert not bool(found.converged.any())
    torch.testing.assert_close(found.z, problem.present())


def test_noisy_starts_move_with_the_parameters_to_where_no_derivative_is_left() -> None:
    model = heat()
    states = starts(model.layout)
    given = NoisyStarts(states + 0.1 * noise(*states.shape, seed=1), torch.tensor([0.1], dtype=F64))
    problem = LeastSquares(heat(0.03), given, measured(model, states, 5, 0.05), {"diffusivity": LogNormal(0.02, 2.0)})
    found = levenberg_marquardt(problem, problem.present())
    leaf = found.z[0].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.differentiable_cost(leaf), leaf)
    # In units of deviations: of the diffusivity's, and of at most one for each number of the starts.
    deviation = float(problem.linearise(found.z).jacobian().norm(dim=1).reciprocal())
    assert float(gradient[0].abs()) * deviation < 1e-3
    assert float(gradient[1:].abs().max()) < 1e-3
    assert bool(found.converged.all())
    assert problem.paces(found.z) != problem.paces(problem.present())  # across a jump of the cost


@pytest.mark.parametrize(("search", "problem"), [(lbfgs, growing()), (adam, linear())], ids=["L-BFGS", "Adam"])
def test_searches_along_gradients_end_in_the_same_minimum(search: Search, problem: LeastSquares) -> None:
    expected = levenberg_marquardt(problem, problem.present())
    found = search(problem, problem.present())
    assert bool(found.converged.all())
    assert float(found.cost) == pytest.approx(float(expected.cost), abs=1e-3)
    # Within a twentieth of a standard deviation; Adam stops where a hundred iterations gain a millionth of the cost.
    deviation = problem.linearise(expected.z).jacobian()[0].pinverse().norm(dim=1)
    assert float(((found.z - expected.z)[0] / deviation).abs().max()) < 0.05


@pytest.mark.parametrize("search", [levenberg_marquardt, with_starts], ids=["Levenberg-Marquardt", "with starts"])
def test_a_cost_below_zero_by_what_is_tilted_ends_like_any_other(search: Search) -> None:
    """Where the tilt is level says nothing of the minimum. From −1 on there was no accuracy that ended a search."""
    stepper, states = two_sources(0.5, -0.3), starts(line(12))
    noisy = NoisyStarts(states, torch.tensor([0.3], dtype=F64), length=0.3)
    problem = LeastSquares(stepper, noisy, measured(stepper, states, 3, 0.1))
    tilt, far = torch.tensor([1.0, 0.0], dtype=F64), torch.tensor([1e4, 0.0], dtype=F64)
    near, below = (search(problem.tilted(tilt, level), problem.present()) for level in (0 * far, far))
    assert bool(near.converged.all() & below.converged.all())
    assert float(below.cost) < -9e3
    torch.testing.assert_close(below.z, near.z, rtol=0, atol=1e-5)
