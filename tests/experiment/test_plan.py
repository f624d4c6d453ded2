"""`cotwin plan` says beforehand what training then does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from small import SMALL
from test_command import cotwin, folder, refusal
from torch import Tensor

from cotwin.experiment import calibrate
from cotwin.experiment.estimate_forecast import BESIDES, forecast
from cotwin.experiment.load import load
from cotwin.experiment.plan import plan_session
from cotwin.experiment.train import prepare
from cotwin.windows import RolloutWindows

__all__ = ["folder"]


FLY = ["store.placement=on_the_fly", "physical.optimizer.kind=adam"]


@pytest.mark.slow
@pytest.mark.parametrize("store", [[], ["store.memory_budget_gb=0.00001"], FLY])
def test_training_does_as_planned(folder: Path, store: list[str]) -> None:
    plan = plan_session(prepare(load("burgers", [*SMALL, *store])))
    assert not list(folder.glob("**/data.npy")), "a trial leaves nothing behind"
    assert not (folder / "runs").exists()
    assert cotwin("train", "burgers", *SMALL, *store).exit_code == 0
    lines = [json.loads(line) for line in (folder / "runs/small/metrics.jsonl").read_text().splitlines()]
    planned = [
        (
            phase.training,
            phase.phase.cycle,
            phase.phase.learner,
            phase.steps,
            phase.windows,
            "none" if phase.choice is None else phase.choice.placement,
            "nothing generated" if phase.choice is None else phase.choice.reason,
        )
        for phase in plan.phases
    ]
    keys = ("training", "cycle", "learner", "steps", "generated", "placement", "reason")
    assert planned == [tuple(line[key] for key in keys) for line in lines]
    if store == ["store.memory_budget_gb=0.00001"]:
        assert {phase.choice.placement for phase in plan.phases if phase.choice} == {"cache"}


def test_bytes_are_those_of_the_arrays(folder: Path) -> None:
    session = prepare(load("burgers", SMALL))
    plan = plan_session(session)
    assert [(part.name, part.num_bytes) for part in plan.real] == [
        ("training", session.data.train.states.nbytes),
        ("validation", session.data.validation.states.nbytes),
        ("test", session.data.test.states.nbytes),
    ]
    for phase in plan.phases:
        learner = session.trainings["together"].learners[phase.phase.learner]
        if phase.choice is not None:
            assert phase.choice.num_bytes == phase.windows * learner.real.window_bytes
            assert phase.held_bytes == phase.choice.num_bytes, "in memory"
    assert plan.peak_bytes == plan.base_bytes + max(phase.held_bytes for phase in plan.phases)
    assert plan.seconds == pytest.approx(sum(phase.seconds for phase in plan.phases))
    assert all(phase.seconds > 0 for phase in plan.phases)


def test_a_person_reads_it(folder: Path) -> None:
    output = cotwin("plan", "burgers", *SMALL, "hybrid.generated_per_real=50").output
    for words in ("training", "1 × 32", "together, cycles 1 to 2", "both, warm-up", "memory", "Peak memory: about"):
        assert words in output
    assert "generated windows in its 3 steps" in output, "more is generated than is read"
    assert not (folder / "runs").exists()


def test_a_trial_is_no_longer_for_more_windows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    generate = RolloutWindows.generate

    def watched(self: RolloutWindows, indices: Sequence[int]) -> Tensor:
        made.append(len(indices))
        return generate(self, indices)

    monkeypatch.setattr(RolloutWindows, "generate", watched)
    monkeypatch.setattr("cotwin.experiment.plan.TRIAL_SECONDS", 1e-9)
    plan = plan_session(prepare(load("burgers", [*SMALL, "hybrid.generated_per_real=1000"])))
    assert max(phase.windows for phase in plan.phases) == 18_000
    assert made == [16, 14], "the simulator's optimiser takes as many as there are real ones"


def test_what_cannot_be_is_refused_before_it_runs(folder: Path) -> None:
    tight = "store.memory_budget_gb=0.00001"
    assert "the memory budget is 10 kB" in refusal("plan", "burgers", *SMALL, tight, "store.placement=memory")
    assert "one window takes" in refusal("plan", "burgers", *SMALL, "store.memory_budget_gb=0.0000001")


@pytest.mark.parametrize("command", [["config", "validate"], ["train"]])
def test_a_set_without_a_place_is_refused_before_anything_is_trained(folder: Path, command: list[str]) -> None:
    tight = ["store.memory_budget_gb=0.00001", "store.placement=memory"]
    assert "the memory budget is 10 kB" in refusal(*command, "burgers", *SMALL, *tight)
    assert not (folder / "runs").exists()


def test_all_windows_in_every_step_have_to_be_kept(folder: Path) -> None:
    for option in ("store.placement=on_the_fly", "hybrid.fresh_starts=true"):
        assert "choose physical.optimizer.kind=adam" in refusal("config", "validate", "burgers", *SMALL, option)


@pytest.mark.slow
def test_a_run_may_go_on_with_another_budget(folder: Path) -> None:
    assert cotwin("train", "burgers", *SMALL).exit_code == 0
    result = (folder / "runs/small/result.json").read_text()
    assert cotwin("train", "burgers", *SMALL, "store.memory_budget_gb=3", "--resume").exit_code == 0
    assert (folder / "runs/small/result.json").read_text() == result
    assert "memory_budget_gb: 3" in (folder / "runs/small/config.yaml").read_text()
    assert "other directory" in refusal("train", "burgers", *SMALL, "seed=1", "--resume")


def test_the_forecast_of_an_estimate_counts_its_rollouts_and_is_of_the_right_size() -> None:
    task = calibrate.prepare(load("fisher", ["estimation.starts=exact", "estimation.resolution=off"]))
    found = forecast(task)
    assert found is not None
    assert (found.unknowns, found.starts, found.rollouts) == (3, 0, 4)
    assert (found.trajectories, found.steps) == (len(task.data.train.states), task.data.train.num_frames - 1)
    assert found.seconds > BESIDES


def test_a_plan_tells_of_the_estimate_too() -> None:
    assert "cotwin estimate: 4 unknown numbers" in cotwin("plan", "burgers", *SMALL).output
