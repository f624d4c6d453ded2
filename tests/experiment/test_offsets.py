"""The same curves in other units give the same diffusivity: with a large offset, in tiny and in large numbers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cotwin.cli import app

POINTS, DIFFUSIVITY = 16, 0.1


def heat_file(path: Path, offset: float, size: float, length: float, time: float) -> None:
    """Cosines between insulated walls, decaying as second differences on the grid let them, with noise of 0.3 %."""
    rng = np.random.default_rng(0)
    s, t, modes = (np.arange(POINTS) + 0.5) / POINTS, np.arange(9) * 0.04, np.arange(3)
    rates = DIFFUSIVITY * 4 * POINTS**2 * np.sin(modes * math.pi / (2 * POINTS)) ** 2
    shapes = np.cos(modes[:, None] * math.pi * s)
    u = np.einsum("nj,tj,jx->ntx", rng.normal(size=(2, 3)), np.exp(-np.outer(t, rates)), shapes)
    u += 0.003 * rng.normal(size=u.shape)
    np.savez(path, x=s * length, t=t * time, u=offset + size * u, boundary="neumann")


def estimated(folder: Path, offset: float, size: float, length: float, time: float) -> tuple[list[float], str]:
    """Value and ends of the 99.9 % interval of the diffusivity, in the unit of the first file; what was said."""
    path, unit = folder / "heat.npz", length**2 / time
    heat_file(path, offset, size, length, time)
    command = ["estimate", "heat", "--run-dir", str(folder / "run"), f"store.cache_dir={folder / 'cache'}"]
    command += [f"data={{kind: file, path: {path}, validation: 1, test: 0}}", "estimation.level=0.999"]
    command += [f"physical.diffusivity={{initial: {DIFFUSIVITY * unit / 2}, bounds: null, grid: null}}"]
    # They decay as the model's own grid lets them, so a finer one would not be righter.
    command += ["estimation.resolution=check"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    (found,) = json.loads((folder / "run/estimation.json").read_text())["estimates"]
    return [value / unit for value in (found["value"], *found["interval"])], " ".join(result.output.split())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    found, said = estimated(tmp_path_factory.mktemp("plain"), 0, 1, 1, 1)
    assert found[1] < DIFFUSIVITY < found[2] < 1.05 * found[1]
    assert "precision" not in said
    return found


@pytest.mark.parametrize(
    ("offset", "size", "length", "time"),
    [
        pytest.param(101_325, 0.05, 1, 1, id="pascal"),
        pytest.param(293.15, 0.5, 1, 1, id="kelvin", marks=pytest.mark.slow),
        pytest.param(0, 1e-6, 1e-3, 50, id="small", marks=pytest.mark.slow),
        pytest.param(0, 1e8, 1, 1e-5, id="large", marks=pytest.mark.slow),
    ],
)
def test_the_diffusivity_is_the_same_in_every_unit_system(
    tmp_path: Path, plain: list[float], offset: float, size: float, length: float, time: float
) -> None:
    found, said = estimated(tmp_path, offset, size, length, time)
    assert found == pytest.approx(plain, rel=1e-4)
    assert ("Computed in double precision: single precision rounds u by" in said) == (offset > 0)
