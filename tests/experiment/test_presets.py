"""Every preset can be used as it is, and its simulator comes nearer to the truth within a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotwin.experiment.load import load
from cotwin.experiment.presets import presets
from cotwin.experiment.settings import Simulated
from cotwin.experiment.train import prepare
from cotwin.parameters import estimates
from cotwin.registry import simulator

WITH_FILE = {"burgers_shock": ["data.path=mine.npz"]}
SIMULATED = [name for name in presets() if name != "burgers_shock" and isinstance(load(name).data, Simulated)]


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_a_preset_calibrates_its_simulator(name: str, tmp_path: Path) -> None:
    if name.startswith("phiflow"):
        pytest.importorskip("phi")
    session = prepare(load(name, [f"store.cache_dir={tmp_path / 'cache'}", "data.test=1"]))
    learner = session.trainings["together"].learners["physical"]
    before = learner.trainer.validate()
    after = learner.trainer.fit(learner.real, learner.warmup_steps).validation_error
    # The noise alone is an error of about a hundredth.
    assert after < 0.15 * before
    assert set(session.data.truth) <= set(estimates(learner.trainer.stepper))


def test_every_model_has_a_preset() -> None:
    """So that it is tried here: all but two have data of their own model."""
    used = {load(name, WITH_FILE.get(name, [])).physical.model for name in presets()}
    assert used == set(simulator.names())
    assert set(presets()) - set(SIMULATED) == {"burgers", "burgers_shock"}
