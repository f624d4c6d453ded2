"""A comparison over seeds: cells are functions of settings and seed, and what is there is not computed again."""

from __future__ import annotations

import json
import math
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
import torch
from small import SMALL

from cotwin import Trajectories, write_trajectories
from cotwin.cli.compare import _plan
from cotwin.experiment.arms import Cell, sized, work
from cotwin.experiment.build import build_store
from cotwin.experiment.calibrate import estimated, prepare
from cotwin.experiment.compare import Plan, compare
from cotwin.experiment.load import dump, load, validate
from cotwin.experiment.loading import load_dataset
from cotwin.parameters import estimates
from cotwin.run import Run
from cotwin.study.outcome import Outcome
from cotwin.training.hybrid import HybridTrainer, Phase, PhaseResult
from cotwin.training.safe_steps import TrainingDivergedError

FEW = [*SMALL, "data.noise=0.005", "data.points=48", "data.num_steps=20", "physical.viscosity.grid=[2]"]


class Here(Executor):
    """Computes in this process, at once, and counts."""

    def __init__(self) -> None:
        self.computed = 0

    def submit(self, work: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.computed += 1
        try:
            future.set_result(work(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def plan(*changes: str, **options: Any) -> Plan:
    return Plan(load("burgers", [*FEW, *changes]), **options)


def outcome_of(plan: Plan, arm: str, **options: Any) -> dict[str, Any]:
    values = work(plan.cells(arm, seeds=1, **options)[0]).as_json()
    for measured in ("seconds", "fixed", "shared", "memory", "forward"):
        del values[measured]
    return values


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_arms_have_the_same_data_and_what_is_alone_is_the_control(inside: Path) -> None:
    of = plan()
    together, surrogate, null = (outcome_of(of, arm) for arm in ("together", "surrogate alone", "null"))
    assert together["steps"] == {"physical": 6, "synthetic": 10}
    assert surrogate["steps"] == null["steps"] == {"synthetic": 10}
    assert len({one["scores"]["synthetic"]["nrmse"] for one in (together, surrogate, null)}) == 3
    control = work(plan("hybrid.alpha.value=0").cells("together", seeds=1)[0])
    assert control.as_json()["scores"]["synthetic"] == surrogate["scores"]["synthetic"]
    assert outcome_of(of, "surrogate alone", trajectories=2) == surrogate


@pytest.mark.slow
def test_distilling_takes_equal_steps_from_the_calibrated_simulator(inside: Path) -> None:
    of = plan("hybrid.alpha={kind: auto}")
    distilled = outcome_of(of, "distilled")
    assert distilled["steps"] == {"physical": 0, "synthetic": 10}
    assert outcome_of(of, "distilled") == distilled
    task = prepare(of.experiment)
    simulator = estimated(task).solving.found.stepper.float()
    assert task.data.test is not None
    assert distilled["scores"]["physical"]["nrmse"] == task.data.test.error(simulator)
    assert distilled["estimated"] == {name: value.tolist() for name, value in estimates(simulator).items()}


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_was_interrupted(inside: Path, caplog: pytest.LogCaptureFixture) -> None:
    of = plan(seeds=3, curve=(1, 4))
    said: list[str] = []
    with Run.create(inside / "whole", dump(of.experiment)) as run:
        first = Here()
        study = compare(of, run, first, said.append)
        assert first.computed == len(said) - 1 == len(list((inside / "whole/cells").iterdir()))
        again = Here()
        assert compare(of, run, again, said.append) == study
        assert again.computed == 0
        damaged, *_ = (inside / "whole/cells").iterdir()
        damaged.write_text(damaged.read_text()[:50])
        assert compare(of, run, again, said.append).errors("steps", "null", "synthetic") == study.errors(
            "steps", "null", "synthetic"
        )
        assert again.computed == 1
        (inside / "whole/origin.json").write_text(json.dumps({"code": "another", "data": "other"}))
        compare(of, run, again, said.append)
    assert "another version" in caplog.text
    assert "not to the last digit" in caplog.text
    values = json.loads(json.dumps(study.as_json()))
    assert values["seeds"] == [0, 1, 2]
    assert values["training_trajectories"] == 2
    assert len(values["outcomes"]["steps"]) == 5
    assert study.ratio("steps", "physical", "simulator alone", "simulator alone").same
    assert any("Efficiency gain" in sentence for sentence in study.sentences())
    assert study.factors["together"] == 1.0
    assert study.tables["cost"]["surrogate alone"][0].steps["synthetic"] >= 10
    with pytest.raises(ValueError, match="there already"):
        plan(variants={"null": of.experiment})
    with pytest.raises(ValueError, match="three for a verdict"):
        plan(seeds=0)
    assert "too" not in " ".join(study.sentences())


@pytest.mark.slow
def test_an_arm_that_diverges_is_an_outcome(inside: Path) -> None:
    outcome = work(
        plan("physical.viscosity.initial=0.006", "physical.substeps=1", "data.dt=2.0").cells("together")[0]
    )
    assert outcome.error("physical") == math.inf
    assert Outcome.from_json(json.loads(json.dumps(outcome.as_json()).replace("Infinity", "null"))) == outcome


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_file_however_small_has_data_that_chose_nothing(inside: Path, count: int) -> None:
    simulated = load("burgers", [*FEW, "data.train=3"])
    store = build_store(simulated.store)
    data = load_dataset(simulated.data, simulated.physical, 0, store)
    assert data.test is not None
    states = torch.cat([data.train.states, data.test.states])[:count]
    write_trajectories("mine.npz", Trajectories(states, data.layout))
    of = Plan(load("burgers", ["data={kind: file, path: mine.npz}"]), seeds=4)
    seen = []
    for cell in of.cells("together"):
        experiment = validate(json.loads(cell.settings))
        fold = load_dataset(experiment.data, experiment.physical, experiment.seed, store)
        assert fold.test is not None
        frames = {
            tuple(state.flatten().tolist()) for state in fold.test.states[:, fold.test.scored_from :].flatten(0, 1)
        }
        known = [fold.train.states, fold.validation.states]
        assert not frames & {tuple(one.flatten().tolist()) for part in known for one in part.flatten(0, 1)}
        seen.append(frozenset(frames))
    assert len(set(seen)) >= min(4, max(count, 2))
    with pytest.raises(ValueError, match=r"take fewer|no 9 whole trajectories"):
        sized(fold, of.cells("surrogate alone", trajectories=9)[0], experiment, store)


def test_an_arm_with_other_data_is_refused(inside: Path) -> None:
    other = load("burgers", [*FEW, "data.noise=0.01"])
    of = plan(seeds=1, variants={"less": other})
    with Run.create(inside / "run", dump(of.experiment)) as run, pytest.raises(ValueError, match="other data"):
        compare(of, run, Here(), print)


@pytest.mark.slow
def test_a_model_that_diverges_together_is_counted_and_the_other_keeps_its_error(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = HybridTrainer.advance

    def diverging(self: HybridTrainer, phase: Phase) -> PhaseResult:
        if (phase.cycle, phase.learner) == (1, "synthetic"):
            raise TrainingDivergedError("it diverged.")
        return usual(self, phase)

    monkeypatch.setattr(HybridTrainer, "advance", diverging)
    outcome = work(plan("hybrid.alpha={kind: auto}").cells("together", seeds=1)[0])
    assert outcome.error("synthetic") == math.inf
    assert outcome.error("physical") < 1
    assert (outcome.forward, outcome.notes) == (None, ["it diverged."])


def test_settings_of_an_arm_may_stand_in_braces() -> None:
    of = _plan("burgers", [], 3, ["no gate: hybrid.alpha={kind: fixed, value: 2} synthetic.width=8"], None)
    assert of.variants["no gate"].hybrid.alpha.kind == "fixed"
    assert of.variants["no gate"].synthetic.width == 8


def test_cells_carry_all_that_decides_them() -> None:
    cells = plan(seeds=2).cells("together", factor=2.0)
    assert [json.loads(cell.settings)["seed"] for cell in cells] == [0, 1]
    assert json.loads(cells[0].settings)["synthetic"]["steps"] == 6
    assert cells[0] == Cell(cells[0].settings, "together", None)
