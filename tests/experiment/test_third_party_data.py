"""Data that nobody here made: Burgers with a shock, as published by Raissi, Perdikaris and Karniadakis (2019)."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cotwin.cli import app

FILE = Path(__file__).parents[3] / "shared/data/raissi_burgers.npz"
TRUTH = 0.01 / math.pi

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILE.exists(), reason=f"third-party data are not there: {FILE}"),
]


def estimated_viscosity(data: Path, folder: Path) -> tuple[float, str]:
    """What `cotwin train burgers_shock` says of a file, with a surrogate trained only as far as it must be."""
    command = ["train", "burgers_shock", f"data.path={data}", "--run-dir", str(folder / "run")]
    command += [f"store.cache_dir={folder / 'cache'}", "synthetic.warmup_steps=2", "synthetic.steps=2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    (estimate,) = json.loads((folder / "run/result.json").read_text())["estimates"]
    return estimate["together"], " ".join(result.output.split())


def test_clean_data_give_the_viscosity_within_a_fifth_of_a_percent(tmp_path: Path) -> None:
    viscosity, output = estimated_viscosity(FILE, tmp_path)
    assert viscosity == pytest.approx(TRUTH, rel=0.002)
    assert "held out in time: of 100 states the first 80 train" in output.replace("Held", "held")


@pytest.mark.parametrize("seed", range(3))
def test_one_percent_noise_gives_the_viscosity_within_one_percent(tmp_path: Path, seed: int) -> None:
    with np.load(FILE) as arrays:
        data = dict(arrays)
    # The initial state, -sin(πx), is known; noise is on all that was measured after it.
    noise = np.random.default_rng(seed).normal(scale=0.01 * data["u"].std(), size=data["u"].shape)
    noise[0] = 0
    np.savez(tmp_path / "noisy.npz", **{**data, "u": data["u"] + noise})
    viscosity, _ = estimated_viscosity(tmp_path / "noisy.npz", tmp_path)
    assert viscosity == pytest.approx(TRUTH, rel=0.01)
