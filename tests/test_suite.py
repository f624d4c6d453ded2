"""The suite of benchmarks/suite: its configurations can be used, and its truths are what they promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tables
import torch
import truth
from problems import MAIN, WHOLE, Problem
from truth.scratch_assay import FILE
from truth.solved import Truth

from cotwin.experiment.arms import ARMS, ROLES
from cotwin.experiment.load import load
from cotwin.study.outcome import Outcome, Scored
from cotwin.study.study import Study

SUITE = Path(__file__).parents[1] / "benchmarks/suite"
SOLVED = [name for name in truth.MODULES if not name.startswith("scratch_assay")]


@pytest.mark.parametrize("problem", WHOLE, ids=lambda problem: problem.name)
def test_each_setting_can_be_used_and_tests_with_what_comes_last_in_its_data(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(SUITE.parents[1])
    experiment = load(str(SUITE / problem.config), list(problem.overrides))
    assert experiment.name == Path(problem.config).stem
    assert Path(experiment.data.path).stem == problem.data
    assert experiment.data.test == getattr(truth.source(problem.data), "test", 3)


def test_no_problem_and_no_data_are_forgotten() -> None:
    assert {one.config for one in MAIN} == {path.name for path in SUITE.glob("*.yaml")}
    assert {one.data for one in WHOLE} == truth.MODULES.keys()
    assert len({one.name for one in WHOLE}) == len(WHOLE)


@pytest.mark.parametrize("name", SOLVED)
def test_what_tests_is_clean_and_whole_and_comes_last(name: str) -> None:
    made: Truth = truth.source(name)
    few = replace(made, steps=1, pool=1, test=1)
    data, clean = few.trajectories(), replace(few, noise=0.0).trajectories()
    assert data.states.shape == (2, 2, data.layout.channels, *data.layout.grid)
    assert torch.equal(data.states[1], clean.states[1])
    assert torch.equal(data.states[0], clean.states[0]) == (made.noise == 0)
    assert (data.mask is None) == (made.seen is None)
    if data.mask is not None:
        # Few enough that rollouts start from the first state alone.
        assert data.mask[1].all()
        assert data.mask[0, 0].all()
        assert 0 < data.mask[0, 1].float().mean() < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SOLVED if name != "burgers_semi_lagrangian"])
def test_finer_grids_and_steps_move_the_truth_much_less_than_its_noise(name: str) -> None:
    made: Truth = truth.source(name)
    assert made.unresolved(count=2) < (made.noise / 6 or 1e-3)


@pytest.mark.skipif(not FILE.exists(), reason=f"third-party data are not there: {FILE.name}")
def test_the_wells_of_one_initial_number_come_last() -> None:
    held_out = [truth.source(f"scratch_assay_{number}").trajectories().states for number in range(4)]
    assert torch.equal(torch.cat([wells[9:] for wells in held_out[1:]]), held_out[0][:9])


def outcome(arm: str, error: float) -> Outcome:
    roles = ROLES[arm]
    return Outcome(
        scores={role: Scored(error, error, [error]) for role in roles},
        validation=dict.fromkeys(roles, error),
        missed={},
        steps=dict.fromkeys(roles, 10),
        seconds=7.0,
    )


def test_a_line_says_what_cooperating_changed_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    errors = {"distilled": 0.2, "together": 0.1}
    arms = {arm: [outcome(arm, errors.get(arm, 0.4) * (1 + 0.01 * seed)) for seed in range(3)] for arm in ARMS}
    cost = {arm: outcomes for arm, outcomes in arms.items() if arm != "null"}
    curve = dict.fromkeys((1, 2), arms["surrogate alone"])
    tables.show({"Fisher": Study([0, 1, 2], {"steps": arms, "cost": cost}, dict.fromkeys(arms, 1.0), 2, curve)})
    said = capsys.readouterr().out
    assert "| Fisher | 0.404 | 0.404 | 0.202 | 0.101 | 0.25 (0.25 to 0.25) | 0.50 (0.50 to 0.50) |" in said
    assert "against distilled it is better (0.50 (0.50 to 0.50)) at equal steps" in said
    assert "at least 1" in said
    few = {
        "steps": {arm: outcomes[:2] for arm, outcomes in arms.items()},
        "cost": {a: o[:2] for a, o in cost.items()},
    }
    tables.show({"Fisher": Study([0, 1], few, dict.fromkeys(arms, 1.0), 2, {})})
    assert "Fewer than 3 seeds: no verdict" in capsys.readouterr().out
