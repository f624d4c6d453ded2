"""Whatever stops an estimation, going on with it ends with exactly the numbers of the uninterrupted one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_command import cotwin, refusal
from torch import Tensor

from cotwin.estimation import estimate
from cotwin.estimation.stages import Stages, Tensors
from cotwin.experiment import calibrate, kept_stages
from cotwin.experiment.kept_stages import KeptStages
from cotwin.experiment.load import dump, load
from cotwin.experiment.resolution import Solving
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


def test_a_search_with_one_finer_model_is_not_taken_for_that_with_another(tmp_path: Path) -> None:
    """They begin from the same numbers, and which one is needed hangs on the level of the intervals."""
    task = calibrate.prepare(load("fisher", [*QUICK, "estimation.starts=exact"]))
    physical, source = task.experiment.physical, task.experiment.data
    found = estimate(task.stepper, task.starts, task.measurements, points=1)
    solving = Solving(physical, task.data, source, found)
    alone = solving.again({"substeps": 3}).found.z
    with Run.create(tmp_path / "run", "") as run:
        with KeptStages(run, print, {}) as stages:
            other = replace(solving, stages=stages).again({"substeps": 2}).found.z
        with KeptStages(run, print, {}, None, run.load_checkpoint()) as stages:
            resumed = replace(solving, stages=stages).again({"substeps": 3}).found.z
    assert not torch.equal(other, alone)
    assert torch.equal(resumed, alone)


def test_what_follows_other_settings_is_kept_though_it_has_fewer_stages(tmp_path: Path) -> None:
    def taken(run: Run, names: str, before: dict[str, Any] | None) -> list[str]:
        computed: list[str] = []
        with KeptStages(run, print, {}, None, before) as stages:
            for name in names:
                stages.take(name, [torch.ones(1)], lambda name=name: (computed.append(name), {})[1])  # type: ignore[misc]
        return computed

    with Run.create(tmp_path / "run", "") as run:
        taken(run, "abcde", None)
        assert taken(run, "abx", run.load_checkpoint()) == ["x"]
        assert taken(run, "abx", run.load_checkpoint()) == []
        assert taken(run, "aby", run.load_checkpoint()) == ["y"]
        assert taken(run, "aby", run.load_checkpoint()) == []


def test_from_a_damaged_checkpoint_the_one_before_is_gone_on_from() -> None:
    assert cotwin("estimate", "fisher", *QUICK).exit_code == 0
    undisturbed = written()
    newest = max(Path("runs/quick-estimate/checkpoints").glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:-1])
    refused = refusal("estimate", "fisher", *QUICK, "--resume")
    (number,) = re.findall(r"--resume --checkpoint (\d+)", refused)
    assert cotwin("estimate", "fisher", *QUICK, "--resume", "--checkpoint", number).exit_code == 0
    assert written() == undisturbed
    assert cotwin("estimate", "fisher", *QUICK, "--resume").exit_code == 0


def test_what_an_estimate_was_asked_goes_with_it_and_a_refusal_changes_nothing() -> None:
    run = Path("runs/quick-estimate")
    assert cotwin("estimate", "fisher", *QUICK).exit_code == 0
    asked = [run / name for name in ("check.json", "next.png", "posterior.nc")]
    for file in asked:
        file.write_text("of this estimate")
    assert cotwin("estimate", "fisher", *QUICK, "--resume").exit_code == 0
    assert all(file.exists() for file in asked)
    assert cotwin("estimate", "fisher", *QUICK, "estimation.level=0.8", "--resume").exit_code == 0
    assert not any(file.exists() for file in asked)
    settings = (run / "config.yaml").read_text()
    for checkpoint in run.glob("checkpoints/*.pt"):
        checkpoint.write_bytes(b"")
    assert "damaged" in refusal("estimate", "fisher", *QUICK, "estimation.level=0.7", "--resume")
    assert (run / "config.yaml").read_text() == settings


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
