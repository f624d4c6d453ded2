"""The experiment that `make demo` runs, whole."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotwin.cli import app


@pytest.mark.slow
def test_the_default_experiment_calibrates_the_simulator_and_helps_the_surrogate(tmp_path: Path) -> None:
    command = ["train", "burgers", "--run-dir", str(tmp_path / "run"), f"store.cache_dir={tmp_path / 'cache'}"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    outcome = json.loads((tmp_path / "run/result.json").read_text())
    (viscosity,) = outcome["estimates"]
    assert viscosity["relative_error_together"] < 0.05
    errors = {(score["role"], score["training"]): score["test"] for score in outcome["scores"]}
    assert errors["synthetic", "together"] < errors["synthetic", "alone"]
    # Trust is gated on held-out data, so the better-calibrated model is not spoilt by the worse one.
    assert errors["physical", "together"] <= 1.05 * errors["physical", "alone"]
