"""Whatever stops an estimation, going on with it ends with exactly the numbers of the uninterrupted one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from test_command import cotwin, refusal
from torch import Tensor

from cotwin.estimation.stages import Stages, Tensors
from cotwin.experiment import calibrate, kept_stages
from cotwin.experiment.kept_stages import KeptStages
from cotwin.experiment.load import dump, load
from cotwin.run import Run
from cotwin.stepper import Effort

QUICK = ["name=quick", "data.grid=[16]", "data.num_steps=8", "data.refine=1", "estimation.points=2"]
EVERYTHING = [*QUICK, "estimation.profile=true", "estimation.bootstrap=20", "estimation.level=0.8"]


class PowerCutError(Exception):
    """Stops an estimation within a stage."""


class Counted(Stages):
    """Names of the stages."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def take(self, name: str, begin: Sequence[Tensor], compute: Callable[[], Tensors]) -> Tensors:
        self.names.append(name)
        return compute()


@pytest.fixture(autouse=True)
def often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage is written at once."""
    monkeypatch.setattr(kept_stages, "SELDOM", 0.0)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_a_resumed_estimation_ends_with_the_same_numbers_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off within every third stage, one attempt after the other."""
    task = calibrate.prepare(load("fisher", EVERYTHING))
    counted = Counted()
    undisturbed = calibrate.run(task, counted).as_json()
    assert {"search", "slope", "profile"} == set(counted.names)
    computed: list[str] = []

    def cut(self: Stages, name: str, begin: Sequence[Tensor], compute: Callable[[], Tensors]) -> Tensors:
        def until_it_is_cut() -> Tensors:
            if len(computed) % 3 == 2:
                computed.append("cut")
                raise PowerCutError
            computed.append(name)
            return compute()

        return taken(self, name, begin, until_it_is_cut)

    taken = KeptStages.take
    monkeypatch.setattr(KeptStages, "take", cut)
    result = None
    with Run.create(tmp_path / "run", dump(task.experiment)) as run:
        while result is None:
            before = run.load_checkpoint() if run.checkpoints() else None
            try:
                with KeptStages(run, lambda stage: None, {}, None, before) as stages:
                    result = calibrate.run(task, stages)
            except PowerCutError:
                pass
    assert result.as_json() == undisturbed
    assert computed.count("cut") >= 2
    assert [name for name in computed if name != "cut"] == counted.names


def test_a_finished_estimate_gets_other_intervals_without_a_new_search(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cotwin("estimate", "fisher", *QUICK).exit_code == 0
    before, computed, taken = written(), list[str](), KeptStages.take

    def noted(self: KeptStages, name: str, begin: Sequence[Tensor], compute: Callable[[], Tensors]) -> Tensors:
        return taken(self, name, begin, lambda: (computed.append(name), compute())[1])

    monkeypatch.setattr(KeptStages, "take", noted)
    result = cotwin("estimate", "fisher", *QUICK, "estimation.profile=true", "estimation.level=0.8", "--resume")
    assert result.exit_code == 0, result.output
    assert computed == ["profile"]
    after = written()
    assert [one["value"] for one in after["estimates"]] == [one["value"] for one in before["estimates"]]
    assert all("profile_interval" in one for one in after["estimates"])
    refused = refusal("estimate", "fisher", *QUICK, "data.num_steps=9", "--resume")
    assert "data.num_steps is 8 in the run, 9 was asked for" in refused
    assert "estimation.points is 2" in refusal("estimate", "fisher", *QUICK, "estimation.points=3", "--resume")
    assert "is no training" in refusal("train", "fisher", *QUICK, "--run-dir", "runs/quick-estimate", "--resume")


def written() -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(Path("runs/quick-estimate/estimation.json").read_text())
    return found


def test_an_interrupted_estimate_says_how_to_go_on() -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "run", interrupted)
        result = cotwin("estimate", "fisher", *QUICK)
    assert result.exit_code == 130
    assert "Interrupted; what was finished is kept" in result.output
    assert "cotwin estimate fisher name=quick" in result.output
    assert result.output.rstrip().endswith("--resume")
    # Nothing was finished yet: it begins anew.
    assert cotwin("estimate", "fisher", *QUICK, "--resume").exit_code == 0


def test_calls_of_a_stage_that_is_taken_again_count(tmp_path: Path) -> None:
    here, begin = Effort(), [torch.ones(2)]

    def compute() -> Tensors:
        here.calls += 3
        return {"found": torch.zeros(1)}

    with Run.create(tmp_path / "run", "") as run:
        with KeptStages(run, print, {}, here) as stages:
            stages.take("search", begin, compute)
        here.calls = 0
        with KeptStages(run, print, {}, here, run.load_checkpoint()) as stages:
            assert stages.take("search", begin, compute) == {"found": torch.zeros(1)}
            assert here.calls == 3
            # What begins elsewhere is computed, and nothing after it is taken.
            stages.take("search", [torch.zeros(2)], compute)
    assert here.calls == 6
