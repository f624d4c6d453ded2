"""physical.rollout: the same numbers under the same names, in less memory or compiled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import SMALL
from test_resume import finish

from cotwin.experiment.load import ConfigError, load
from cotwin.experiment.simulators import build_physical
from cotwin.experiment.train import prepare
from cotwin.layout import Field, Layout
from cotwin.parameters import estimates
from cotwin.rollouts import Checkpointed, Compiled, Refined
from cotwin.stepper import Stepper


@pytest.mark.parametrize("checkpoint", ["sqrt", "2"])
@pytest.mark.parametrize("refine", [1, 2])
def test_a_checkpointed_training_has_the_same_numbers_and_names(checkpoint: str, refine: int, tmp_path: Path) -> None:
    overrides = [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", f"physical.refine={refine}"]
    trained: list[Stepper] = []
    for rollout in ("{}", f"{{checkpoint: {checkpoint}}}"):
        session = prepare(load("burgers", [*overrides, f"physical.rollout={rollout}"]))
        learner = session.trainings["together"].learners["physical"]
        learner.trainer.fit(learner.real, 3)
        trained.append(learner.trainer.stepper)
    plain, checked = trained
    assert isinstance(checked.inner if isinstance(checked, Refined) else checked, Checkpointed)
    assert checked.state_dict().keys() == plain.state_dict().keys()
    assert estimates(checked).keys() == estimates(plain).keys()
    for name, value in estimates(plain).items():
        assert torch.allclose(estimates(checked)[name], value, rtol=1e-4)


@pytest.mark.slow
def test_a_checkpointed_run_resumes_and_its_weights_are_the_plain_models(tmp_path: Path) -> None:
    overrides = [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", "physical.rollout={checkpoint: sqrt}"]
    finish(tmp_path / "whole", overrides)
    finish(tmp_path / "stopped", overrides, stops=(5, 9))
    whole, stopped = (json.loads((tmp_path / run / "result.json").read_text()) for run in ("whole", "stopped"))
    assert whole == stopped
    assert [estimate["name"] for estimate in whole["estimates"]] == ["viscosity"]
    plain = prepare(load("burgers", [*SMALL, f"store.cache_dir={tmp_path / 'cache'}"]))
    stepper = plain.trainings["alone"].learners["physical"].trainer.stepper
    stepper.load_state_dict(load_file(tmp_path / "whole" / "physical.safetensors"))


def test_true_parameters_are_given_under_their_own_names(tmp_path: Path) -> None:
    cache = f"store.cache_dir={tmp_path / 'cache'}"
    session = prepare(load("heat", [cache, "data.test=1", "data.num_steps=8", "physical.rollout={checkpoint: sqrt}"]))
    assert set(session.data.truth) == {"diffusivity"}


def test_finite_volumes_are_compiled_and_others_refused() -> None:
    layout = Layout.box([Field("u")], grid=(16,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    states = torch.zeros(1, 2, 1, 16)
    settings = load("fisher", ["physical.rollout={compile: true, checkpoint: 3}"]).physical
    stepper = build_physical(settings, layout, states)
    assert isinstance(stepper, Checkpointed)
    assert isinstance(stepper.inner, Compiled)
    assert "growth" in estimates(stepper)
    with pytest.raises(ValueError, match="SpectralBurgers is made otherwise: leave it false"):
        build_physical(load("burgers", ["physical.rollout.compile=true"]).physical, layout, states)
    with pytest.raises(ConfigError, match=r"physical\.rollout: there is no such|checkpoints"):
        load("burgers", ["physical.rollout.checkpoints=3"])


def test_another_model_keeps_the_way_of_rolling_out() -> None:
    changed = load("heat", ["physical.rollout.checkpoint=sqrt", "physical={model: burgers, viscosity: {initial: 1}}"])
    assert changed.physical.rollout.checkpoint == "sqrt"


@pytest.mark.slow
def test_a_compiled_training_ends_with_the_same_estimate(tmp_path: Path) -> None:
    """In processes of their own: what checks shapes in tests cannot be compiled."""
    few = ["data.test=1", "data.train=1", "data.num_steps=8", "physical.window=4", "physical.warmup_steps=2"]
    few += ["physical.steps=1", "hybrid.cycles=1", "synthetic.warmup_steps=1", "synthetic.steps=1"]
    few += ["hybrid.alpha={kind: fixed, value: 0}", "hybrid.generated_per_real=1"]
    found = []
    for compiled in ("false", "true"):
        path = tmp_path / compiled
        arguments = ["fisher", *few, f"physical.rollout.compile={compiled}", f"store.cache_dir={path / 'cache'}"]
        subprocess.run(
            [sys.executable, "-m", "cotwin", "train", *arguments, "--run-dir", path / "run"],
            check=True,
            capture_output=True,
        )
        found.append(json.loads((path / "run" / "result.json").read_text())["estimates"])
    for plain, other in zip(*found, strict=True):
        assert plain["name"] == other["name"]
        assert plain["together"] == pytest.approx(other["together"], rel=1e-3)
