"""Figures of one seed: what the numbers say, also when they flatter nobody."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import DIFFUSIVITY, LAYOUT, Growth, Network, heat, held_out, trajectories

from cotwin.parameters import CoarseField, Positive
from cotwin.physics.heat import Heat
from cotwin.rollouts import Refined
from cotwin.training.evaluation import Comparison, Estimate, Score, compare, score
from cotwin.training.held_out import HeldOut

INF = math.inf


def figures(together: list[float], alone: list[float], tested: bool = True) -> str:
    """Of a surrogate with these errors on each trajectory."""

    def of(training: str, errors: list[float]) -> Score:
        mean = sum(errors) / len(errors)
        test = mean if tested else None
        return Score("synthetic", training, 2 * mean, test, mean, test, errors, errors)

    return Comparison([of("together", together), of("alone", alone)], [], INF, {}).figures("synthetic")


@pytest.mark.parametrize(
    ("together", "alone", "expected"),
    [
        ([0.1, 0.2], [0.2, 0.4], "test NRMSE 0.15 together, 0.3 alone; smaller together on 2 of 2 trajectories."),
        ([0.3, 0.3], [0.1, 0.3], "test NRMSE 0.3 together, 0.2 alone; smaller together on 0 of 2 trajectories."),
        ([0.1, 0.2], [0.1, 0.2], "test NRMSE 0.15, together as alone: nothing generated changed it."),
        (
            [0.1, INF],
            [0.1, 0.2],
            "test NRMSE infinite together, where it diverges, 0.15 alone; smaller together on 0 ",
        ),
        (
            [0.1, 0.2],
            [INF, INF],
            "test NRMSE 0.15 together, infinite alone, where it diverges; smaller together on 2 ",
        ),
        ([INF, INF], [INF, INF], "infinite together, where it diverges, infinite alone, where it diverges; smaller "),
    ],
)
def test_the_figures_are_said_without_a_verdict(together: list[float], alone: list[float], expected: str) -> None:
    said = figures(together, alone)
    assert said.startswith("The surrogate: ")
    assert expected in said
    assert "nan" not in said


def test_without_test_data_the_figures_are_of_validation_data() -> None:
    assert "validation NRMSE 0.1 together" in figures([0.1], [0.2], tested=False)


def test_a_score_is_of_full_rollouts_and_of_the_test_set_where_there_is_one() -> None:
    validation, test = held_out(), HeldOut(trajectories(count=4, seed=5))
    tested = score("physical", "alone", heat(0.3), validation, test)
    errors = test.measure(heat(0.3))
    assert (tested.test, tested.test_nrmse) == (errors.vrmse, errors.nrmse)
    assert tested.decisive == errors.nrmse
    assert (tested.per_trajectory, tested.over_time) == (errors.nrmse_of_trajectories, errors.nrmse_over_time)
    untested = score("physical", "alone", heat(0.3), validation, None)
    assert (untested.test, untested.test_nrmse) == (None, None)
    assert untested.decisive == untested.validation_nrmse == validation.error(heat(0.3))
    assert len(untested.per_trajectory) == 2


def test_what_speaks_against_a_model_is_said() -> None:
    def compared(simulator: float, surrogate: float) -> list[str]:
        scores = [
            Score(role, "together", 1.0, None, error, None, [error], [error])
            for role, error in (("physical", simulator), ("synthetic", surrogate))
        ]
        return Comparison(scores, [], 0.4, {"the last known state": 0.3, "its mean in space": 0.8}).remarks()

    assert compared(0.1, 0.2) == []
    assert compared(0.2, 0.1) == ["The simulator is no better than the surrogate: validation NRMSE 0.2 against 0.1."]
    assert compared(0.5, 0.6) == [
        "The simulator is worse than the start: validation NRMSE 0.5, 0.4 at the start.",
        "The simulator is no better than the last known state: validation NRMSE 0.5 against 0.3.",
        "The surrogate is no better than the last known state: validation NRMSE 0.6 against 0.3.",
    ]


def test_a_model_that_diverges_scores_infinity_everywhere() -> None:
    late = HeldOut(trajectories(), scored_from=4)
    result = score("synthetic", "together", Growth(1.0, limit=0.5), held_out(), late)
    assert (result.validation, result.test) == (INF, INF)
    assert result.per_trajectory == [INF] * 3
    assert result.over_time == [INF] * 3


def test_relative_error_of_an_estimate() -> None:
    field = torch.tensor([3.0, 4.0])
    estimate = Estimate("k", "1", field, start=torch.tensor(1.0), together=field * 1.1, alone=field + 1)
    assert estimate.error(estimate.together) == pytest.approx(0.1)
    assert estimate.error(estimate.alone) == pytest.approx(math.sqrt(2) / 5)
    # A scalar start stands for the same value everywhere.
    assert estimate.error(estimate.start) == pytest.approx(math.sqrt(4 + 9) / 5)
    everywhere = Estimate("k", "1", torch.tensor(2.0), start=field, together=field, alone=torch.full((2,), 2.2))
    assert everywhere.error(everywhere.alone) == pytest.approx(0.1)
    assert Estimate("k", "1", None, field, field, field).error(field) is None


def test_estimates_stand_beside_the_truth_and_their_start() -> None:
    models = {
        ("physical", "together"): heat(0.11),
        ("physical", "alone"): heat(0.08),
        ("synthetic", "together"): Network(),
        ("synthetic", "alone"): Network(),
    }
    comparison = compare(models, heat(0.3), {"diffusivity": torch.tensor(DIFFUSIVITY)}, held_out(), None)
    (estimate,) = comparison.estimates
    assert estimate.name == "diffusivity"
    found = [float(value) for value in (estimate.start, estimate.together, estimate.alone)]
    assert found == pytest.approx([0.3, 0.11, 0.08])
    assert estimate.error(estimate.together) == pytest.approx(0.1)
    summary = comparison.as_json()
    assert summary["estimates"][0]["relative_error_alone"] == pytest.approx(0.2)
    assert "together as alone" in summary["said"][0]
    assert summary["said"][1].startswith("The simulator: ")
    assert "cotwin compare" in summary["said"][2]
    assert len(summary["scores"]) == 4


def test_a_field_on_a_refined_grid_is_compared_at_the_points_of_the_data() -> None:
    fine = LAYOUT.refined(3)

    def model(value: float) -> Refined:
        coefficients = torch.linspace(value, 2 * value, 4)
        return Refined(Heat(fine, CoarseField(Positive(coefficients), fine)), LAYOUT, 3)

    truth = CoarseField(Positive(torch.linspace(0.1, 0.2, 4)), LAYOUT)().detach()
    models = {
        ("physical", "together"): model(0.1),
        ("physical", "alone"): model(0.11),
        ("synthetic", "together"): Network(),
        ("synthetic", "alone"): Network(),
    }
    (estimate,) = compare(models, model(0.3), {"diffusivity": truth}, held_out(), None).estimates
    assert (estimate.name, estimate.together.shape) == ("diffusivity", LAYOUT.grid)
    assert estimate.error(estimate.together) == pytest.approx(0.0, abs=1e-6)
    assert estimate.error(estimate.alone) == pytest.approx(0.1, rel=1e-4)
