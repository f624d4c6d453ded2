"""Unknowns that the data push to a bound: where they rest, what is said of them, and that no other is disturbed."""

from __future__ import annotations

import math

import pytest
import torch
from estimation_cases import F64, heat, line, measured, noise, positive, sources, starts

from cotwin.estimation import EnsembleKalman, Estimation, LeastSquares, NoisyStarts, Solution, estimate, lbfgs
from cotwin.estimation.ends import in_sight, kept_in_reach
from cotwin.estimation.levenberg_marquardt import Search, levenberg_marquardt
from cotwin.estimation.start_search import with_starts
from cotwin.parameters import Bounded, CoarseField, Known, Parameter, Positive, Real
from cotwin.physics.function import FunctionStepper
from cotwin.physics.heat import Heat

ZERO = torch.tensor(0.0, dtype=F64)
PUSHED = {
    "lower": (-0.3, Bounded(0.5 + ZERO, 0.1, 1.0), 0.1, "on_bound"),
    "upper": (2.0, Bounded(0.5 + ZERO, 0.1, 1.0), 1.0, "on_bound"),
    "zero": (-0.3, Positive(0.5 + ZERO), 0.0, "out_of_range"),
}
"""The true amount, its unknown, the bound to which the data push it, and the note of that."""
SEARCHES = {"exact starts": None, "L-BFGS": lbfgs, "ensemble": EnsembleKalman(), "noisy starts": None}


def with_first(true: float, first: Parameter, which: str) -> Estimation:
    """Two amounts, in which predictions are linear."""
    layout, noisy = line(12), which == "noisy starts"
    model = sources(layout, first=Real(true + ZERO), second=Real(ZERO - 0.4))
    states = starts(layout)
    values = measured(model, states, 4, 0.05, first=0 if noisy else 1)
    given = NoisyStarts(states, torch.tensor([0.3], dtype=F64), length=0.3) if noisy else states
    begin = sources(layout, first=first, second=Real(ZERO))
    return estimate(begin, given, values, search=SEARCHES[which], points=1)


PAIRS = [
    ("lower", "exact starts"),
    ("zero", "exact starts"),
    ("upper", "noisy starts"),
    ("zero", "noisy starts"),
    ("upper", "L-BFGS"),
    ("lower", "ensemble"),
]


@pytest.mark.parametrize(("end", "which"), PAIRS)
def test_at_its_bound_a_number_is_open_and_the_others_are_as_if_it_were_known(end: str, which: str) -> None:
    true, first, bound, note = PUSHED[end]
    found = with_first(true, first, which)
    assert note in found.reasons
    assert not {"blind", "hardly_determined"} & set(found.reasons)
    own, other = found.intervals["first"], found.intervals["second"]
    assert float(own.value) == pytest.approx(bound, abs=1e-4)
    assert bound in (float(own.low), float(own.high))
    if which == "ensemble":  # which does not come to rest where what it sees falls from one iteration to the next
        return
    assert found.converged
    known = with_first(true, Known(bound), "exact starts" if which == "L-BFGS" else which).intervals["second"]
    assert float(other.value) == pytest.approx(float(known.value), abs=0.02 * float(known.deviation))


def test_the_interval_of_a_number_at_its_bound_is_that_of_the_linear_problem_cut_off() -> None:
    layout = line(12)
    states = starts(layout)
    values = measured(sources(layout, first=Real(ZERO + 0.1)), states, 4, 0.05, seed=1)
    free, cut = (
        estimate(sources(layout, first=first), states, values, points=1).intervals["first"]
        for first in (Real(ZERO), Bounded(0.5 + ZERO, 0.12, 1.0))
    )
    assert float(free.value) < 0.12
    assert float(cut.low) == 0.12
    reach = float(free.high) - float(free.value)
    assert float(cut.high) - 0.12 == pytest.approx(reach, rel=0.01)


def still(diffusivity: Parameter) -> LeastSquares:
    """Noisy states that do not change otherwise: there is no diffusion."""
    layout = line(24, "neumann")
    states = starts(layout)
    given = NoisyStarts(states + 0.05 * noise(*states.shape, seed=1), torch.tensor([0.05], dtype=F64), 0.2)
    return LeastSquares(Heat(layout, diffusivity), given, measured(heat(1e-9), states, 6, 0.05, first=0))


@pytest.mark.parametrize("kind", ["bounded", "positive"])
def test_a_field_whose_coefficients_go_to_their_bounds_comes_to_rest(kind: str) -> None:
    """The tilt, of what integrating the starts out adds, was a line along which coefficients went on for ever."""
    begin = torch.full((4,), 0.05, dtype=F64)
    layout = line(24, "neumann")
    coefficients = Bounded(begin, 0.01, 1.0) if kind == "bounded" else Positive(begin)
    problem = still(CoarseField(coefficients, layout))
    values = measured(heat(1e-9), starts(layout), 6, 0.05, first=0)
    found = estimate(problem.stepper, problem.starts.noisy, values, points=1)  # type: ignore[arg-type]
    assert found.converged
    assert math.isfinite(found.cost)
    assert found.cost > 0
    assert bool(found.z.isfinite().all())
    assert float(found.z[:4].abs().max()) < 30
    assert all(bool(one.isfinite().all()) for own in found.intervals.values() for one in (own.value, own.deviation))
    assert ("on_bound" in found.reasons) == (kind == "bounded")


def test_a_number_that_nothing_sees_is_named_and_leaves_the_others_their_intervals() -> None:
    layout = line(12)
    x = torch.cos(2 * math.pi * torch.tensor(layout.points(0), dtype=F64))

    def model(*amounts: float) -> FunctionStepper:
        each = {"amounts": Positive(torch.tensor(amounts, dtype=F64))}
        return FunctionStepper(layout, lambda u, dt, v: u + dt * (v["amounts"][0] + v["amounts"][1] * x), each)

    states = starts(layout)
    found = estimate(model(1.0, 1.0, 1.0), states, measured(model(0.7, 1.4, 1.0), states, 4, 0.01), points=1)
    (own,) = found.intervals.values()
    assert found.reasons == ["blind"]
    assert any("amounts[2]" in note for note in found.warnings)
    assert bool((own.low[:2] < torch.tensor([0.7, 1.4])).all())
    assert bool((own.high[:2] > torch.tensor([0.7, 1.4])).all())
    assert (float(own.value[2]), float(own.low[2]), float(own.high[2])) == (1.0, 0.0, math.inf)


@pytest.mark.parametrize("search", [levenberg_marquardt, with_starts], ids=["Levenberg-Marquardt", "with starts"])
@pytest.mark.parametrize("raw", [-20.0, -400.0])
def test_a_tilt_along_what_nothing_depends_on_has_an_end(search: Search, raw: float) -> None:
    problem = still(positive(0.02))
    z = problem.present()
    z[0, 0] = raw
    found = search(problem.tilted(torch.tensor([2.0], dtype=F64), z[0, :1]), z)
    assert bool(found.z.isfinite().all())
    assert float(found.cost) > 0
    assert abs(float(found.z[0, 0]) - raw) < 60


def at(problem: LeastSquares, raw: float) -> Solution:
    z = problem.present()
    z[0, 0] = raw
    return Solution(z, problem.cost(z), torch.ones(1, dtype=torch.bool), 1)


def test_what_is_far_beyond_its_bound_is_brought_back_where_that_changes_nothing() -> None:
    problem = still(Bounded(0.1 + ZERO, 0.01, 1.0))
    there = at(problem, -588.0)
    back = kept_in_reach(problem, there)
    assert -24 < float(back.z[0, 0]) < -16
    assert float(back.cost) == pytest.approx(float(there.cost), abs=1e-3)
    near = at(problem, -5.0)
    assert kept_in_reach(problem, near) is near or torch.equal(kept_in_reach(problem, near).z, near.z)
    # A number that is that small in truth: what would be brought back would fit no more.
    small = sources(line(12), first=positive(1e12))
    states = starts(line(12))
    precise = LeastSquares(small, states, measured(sources(line(12), first=positive(0.5)), states, 4, 0.01))
    right = at(precise, math.log(0.5))
    assert torch.equal(kept_in_reach(precise, right).z, right.z)


def test_from_in_sight_of_its_bound_a_number_has_a_deviation_of_about_a_factor_e() -> None:
    problem = still(Bounded(0.1 + ZERO, 0.01, 1.0))
    z = at(problem, -20.0).z
    seen = in_sight(problem, z[0], problem.linearise(z))
    assert 0.3 < float(problem.linearise(seen[None]).jacobian()[0].norm()) < 3
    assert torch.equal(seen[1:], z[0, 1:])
    determined = at(problem, -2.0).z
    assert torch.equal(in_sight(problem, determined[0], problem.linearise(determined)), determined[0])


def test_one_number_on_which_little_depends_does_not_hold_the_others() -> None:
    """A step towards its bound was shortened to a millionth, and with it that of all."""
    layout = line(12)
    states = starts(layout)
    values = measured(sources(layout, first=Real(ZERO - 0.3), second=Real(ZERO + 1.5)), states, 4, 0.05)
    near = Bounded(torch.tensor(0.1 + 1e-9, dtype=F64), 0.1, 1.0)
    problem = LeastSquares(sources(layout, first=near, second=Real(ZERO)), states, values)
    found = levenberg_marquardt(problem, problem.present())
    known = LeastSquares(sources(layout, first=Known(0.1 + ZERO), second=Real(ZERO)), states, values)
    assert bool(found.converged.all())
    assert float(found.z[0, 1]) == pytest.approx(float(levenberg_marquardt(known, known.present()).z[0, 0]), abs=1e-4)
