"""What estimates say about themselves where they cannot be trusted."""

from __future__ import annotations

import pytest
import torch
from estimation_cases import F64, colony, fisher, heat, line, measured, noise, positive, starts
from torch import Tensor

from cotwin.estimation import (
    Estimation,
    Grid,
    LeastSquares,
    Measurements,
    NoisyStarts,
    Solution,
    estimate,
)
from cotwin.estimation.notes import on_minima
from cotwin.layout import Layout
from cotwin.parameters import Real
from cotwin.physics.function import FunctionStepper
from cotwin.physics.heat import Heat


def said(found: Estimation, words: str) -> list[str]:
    return [warning for warning in found.warnings if words in warning]


def constant(layout: Layout) -> FunctionStepper:
    """u stays as it is, but for a drift: what noise is alike in is all that its residuals show."""
    drift = Real(torch.tensor(0.0, dtype=F64))
    return FunctionStepper(layout, lambda u, dt, v: u + dt * v["drift"], {"drift": drift})


def from_several(diffusivities: list[float], noisy: bool) -> Estimation:
    """One common diffusivity for trajectories, each with its own."""
    layout = line(24, "neumann")
    states = starts(layout, count=len(diffusivities))
    model = Heat(layout, positive(0.02))
    seen = Grid(layout, len(states), 4, first=0 if noisy else 1)
    with torch.no_grad():
        rolled = [Heat(layout, positive(d)).rollout(s[None], 4) for d, s in zip(diffusivities, states, strict=True)]
    values = seen(torch.cat(rolled)) + 0.02 * noise(seen.size)
    given = NoisyStarts(0 * states, torch.tensor([2.0], dtype=F64)) if noisy else states
    return estimate(model, given, Measurements(seen, values, 0.02))


@pytest.mark.parametrize("noisy", [False, True], ids=["exact starts", "noisy starts"])
def test_trajectories_that_ask_for_other_values_are_named(noisy: bool) -> None:
    (note,) = said(from_several([0.02, 0.02, 0.06, 0.02], noisy), "trajectories disagree")
    assert "fitted to all 4" in note
    asked = float(note.partition("2 alone asks for a diffusivity of about ")[2].split(",")[0])
    assert 0.03 < asked < 0.12
    assert not said(from_several([0.03] * 4, noisy), "trajectories disagree")


def test_a_positive_number_that_runs_to_zero_is_no_estimate() -> None:
    """Data that grow, where diffusion can only flatten them."""
    layout = line(24, "neumann")
    states = starts(layout)
    seen = Grid(layout, 2, 4)
    growing = states[:, None] * (1 + 0.2 * torch.arange(5, dtype=F64)).view(5, 1, 1)
    found = estimate(Heat(layout, positive(0.02)), states, Measurements(seen, seen(growing), 0.01))
    (note,) = said(found, "at the end of its range: diffusivity = ")
    assert "no estimate" in note


def test_a_problem_that_is_not_linear_within_its_intervals_says_so() -> None:
    """Fisher's capacity before it shows: its profile reaches ten times as far up as down."""
    model = fisher()
    states = 0.3 * colony(model.layout)
    assert said(estimate(fisher(), states, measured(model, states, 4, 0.03)), "not linear within the intervals")
    precise = estimate(heat(0.03), starts(heat().layout), measured(heat(), starts(heat().layout), 4, 0.01))
    assert precise.warnings == []


def test_a_search_that_ends_beside_the_best_fit_is_found_out() -> None:
    """Of one that claims to rest a standard deviation and a half from it."""
    model, states = heat(), starts(heat().layout)
    measurements = measured(model, states, 4, 0.05)
    best = estimate(heat(0.03), states, measurements)
    (interval,) = best.intervals.values()
    off = best.z + 1.5 * interval.deviation / interval.value

    def beside(problem: LeastSquares, z: Tensor) -> Solution:
        there = off[None].expand_as(z)
        return Solution(there, problem.cost(there), torch.ones(len(z), dtype=torch.bool), 1)

    (note,) = said(estimate(heat(0.03), states, measurements, search=beside), "did not end at the best fit")
    lower = float(note.partition("lower by ")[2].split(". ")[0])
    assert lower == pytest.approx(0.5 * 1.5**2, rel=0.1)


@pytest.mark.parametrize(
    ("agreeing", "behind", "told"),
    [(3, 100.0, None), (1, 100.0, "lone_minimum"), (3, 2.0, "second_minimum"), (1, 2.0, "second_minimum")],
)
def test_a_minimum_that_may_not_be_the_right_one_is_told(agreeing: int, behind: float, told: str | None) -> None:
    notes = list(on_minima(agreeing, 8, behind, {"rate": 0.5}))
    assert [note.code for note in notes] == ([] if told is None else [told])
    assert all(("rate 0.5" in note) == (told == "second_minimum") for note in notes)
