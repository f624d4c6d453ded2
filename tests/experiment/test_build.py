"""What settings say of training is what the trainers do."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import SMALL

from cotwin.experiment.load import load
from cotwin.experiment.train import prepare


def test_a_simulator_without_unknowns_is_not_trained_and_may_teach(tmp_path: Path) -> None:
    known = "physical.viscosity={initial: 0.1, fixed: true, bounds: null, grid: null}"
    session = prepare(load("burgers", [*SMALL, known, f"store.cache_dir={tmp_path}"]))
    steps = {turn.phase.learner: 0 for turn in session.turns}
    for turn in session.turns:
        steps[turn.phase.learner] += turn.hybrid.steps(turn.phase)
    assert steps == {"physical": 0, "synthetic": 4 + 2 * 2 * 3}
    together = session.trainings["together"]
    taught = {turn.phase.learner for turn in session.turns if together.most_generated_windows(turn.phase)}
    assert taught == {"synthetic"}


def test_priors_weigh_against_each_scored_value_once(tmp_path: Path) -> None:
    prior = "priors={viscosity: {kind: log_gaussian_field, median: 0.05, factor: 3, length: 1}}"
    session = prepare(load("burgers", [*SMALL, prior, f"store.cache_dir={tmp_path}"]))
    trainer = session.trainings["alone"].learners["physical"].trainer
    assert trainer.penalty is not None
    # Two trajectories of ten steps on 32 points; the first frames only start windows.
    assert trainer.penalty.values == 2 * 10 * 32
    assert session.trainings["alone"].learners["synthetic"].trainer.penalty is None


def test_starts_that_a_layout_does_not_have_are_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"synthetic\.starts: perturbed starts are shifted along periodic axes"):
        prepare(load("heat", ["data.boundary=neumann", "synthetic.starts=perturbed", f"store.cache_dir={tmp_path}"]))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("{kind: smooth, change: 1, length: 1}", r"viscosity has shape \(\), its prior is for a field on the grid"),
        ("{kind: log_gaussian_field, median: 1, factor: 2, length: 1}", "its prior is for a field on the grid"),
        ("{kind: gaussian, mean: 1, deviation: 1e-9}", "standard deviations from the centre of its prior"),
    ],
)
def test_a_prior_that_does_not_fit_its_unknown_is_refused_before_a_training(
    prior: str, message: str, tmp_path: Path
) -> None:
    scalar = ["physical.viscosity.grid=null", f"physical.viscosity.prior={prior}"]
    with pytest.raises(ValueError, match=message):
        prepare(load("burgers", [*SMALL, *scalar, f"store.cache_dir={tmp_path}"]))
