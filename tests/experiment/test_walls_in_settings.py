"""What stands at walls is said in settings: known numbers, unknowns, one for each field or along the face."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from typer.testing import CliRunner

from cotwin.cli import app
from cotwin.experiment.declared import experiment_class
from cotwin.experiment.load import validate
from cotwin.experiment.priors import build_priors
from cotwin.experiment.simulators import build_physical
from cotwin.experiment.wall_settings import WallsSettings
from cotwin.layout import Field, Layout
from cotwin.parameters import estimates
from cotwin.physics.finite_volume import FiniteVolumeStepper

PAGE = Path(__file__).parents[2] / "docs" / "walls.md"
POINTS, FRAMES, DT = 40, 31, 0.05
X = (np.arange(POINTS) + 0.5) / POINTS


def diffused(start: np.ndarray, left: Any, right: Any, kappa: float = 0.1, substeps: int = 100) -> np.ndarray:
    """Explicit steps; left and right: the fluxes to the right through the walls, from the cells there."""
    u, states = start.copy(), [start.copy()]
    for _ in range(FRAMES - 1):
        for _ in range(substeps):
            flux = np.concatenate([[left(u[0])], -kappa * np.diff(u) * POINTS, [right(u[-1])]])
            u = u - DT / substeps * np.diff(flux) * POINTS
        states.append(u.copy())
    return np.array(states)


def estimated(folder: Path, monkeypatch: pytest.MonkeyPatch, data: np.ndarray, boundary: Any, walls: Any) -> Any:
    monkeypatch.chdir(folder)
    noise = 0.002 * np.random.default_rng(0).normal(size=data.shape)
    np.savez("wall.npz", x=X, t=np.arange(FRAMES) * DT, u=data + noise)
    settings = {
        "name": "wall",
        "data": {"kind": "file", "path": "wall.npz", "boundary": boundary},
        "physical": {"model": "heat", "diffusivity": {"initial": 0.05}, "walls": walls, "substeps": 4},
    }
    Path("wall.yaml").write_text(json.dumps(settings))
    done = CliRunner().invoke(app, ["estimate", "wall.yaml", "estimation.points=1", "estimation.resolution=off"])
    assert done.exit_code == 0, done.output
    written = json.loads(Path("runs/wall-estimate/estimation.json").read_text())
    return {one["name"]: one["value"] for one in written["estimates"]}


HILL = np.exp(-(((X - 0.5) / 0.15) ** 2))
CASES = {
    "value": (
        diffused(HILL, lambda u: -0.2 * POINTS * (u - 1.5), lambda _: 0.0),
        [["dirichlet", "neumann"]],
        {"x_lower": {"value": {"initial": 1.0}}},
        {"walls.x_lower.value": 1.5, "diffusivity": 0.1},
    ),
    "flux": (
        diffused(HILL, lambda _: 0.5, lambda _: 0.0),
        "neumann",
        {"x_lower": {"flux": {"initial": 0.2}}},
        {"walls.x_lower.flux": 0.5, "diffusivity": 0.1},
    ),
    "exchange": (
        # 1/h' = 1/h + Δx/(2κ)
        diffused(1 + HILL, lambda _: 0.0, lambda u: (u - 0.3) / (1 / 0.4 + 5 / POINTS)),
        [["neumann", "robin"]],
        {"x_upper": {"transfer": {"initial": 0.2}, "outside": 0.3}},
        {"walls.x_upper.transfer": 0.4, "diffusivity": 0.1},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_stands_at_a_wall_is_estimated_from_the_command_line(
    case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, boundary, walls, truth = case
    found = estimated(tmp_path, monkeypatch, data, boundary, walls)
    assert set(found) == set(truth)
    for name, value in truth.items():
        assert found[name] == pytest.approx(value, rel=0.02), name


def built(boundary: tuple[Any, ...], walls: Any, fields: tuple[str, ...] = ("u",)) -> FiniteVolumeStepper:
    layout = Layout.box([Field(name) for name in fields], grid=(8, 6), extent=[(0, 1)] * 2, boundary=boundary, dt=0.1)
    base: dict[str, Any] = {"name": "walls", "data": {"kind": "file", "path": "none.npz"}}
    base["physical"] = {"model": "heat", "diffusivity": {"initial": 0.1, "fixed": True}, "walls": walls}
    settings = experiment_class(base).model_validate(base).physical
    stepper = build_physical(settings, layout)
    assert isinstance(stepper, FiniteVolumeStepper)
    return stepper


def test_each_field_has_its_own_and_a_face_a_coarse_field() -> None:
    each = {"c": 1.0, "T": {"initial": 0.5}}
    stepper = built(("dirichlet", "neumann"), {"x_lower": {"value": each}}, ("c", "T"))
    assert list(estimates(stepper)) == ["walls.x_lower.value.T"]
    along = built(("neumann", "neumann"), {"y_upper": {"flux": {"initial": 0.5, "grid": [3]}}})
    assert {name: tuple(value.shape) for name, value in estimates(along).items()} == {"walls.y_upper.flux": (8,)}
    assert torch.isfinite(along(torch.zeros(1, 1, 8, 6))).all()


@pytest.mark.parametrize(
    ("boundary", "walls", "message"),
    [
        (("periodic", "neumann"), {"x_lower": {"flux": 1.0}}, r"walls\.x_lower\.flux: the axis is periodic"),
        (("neumann", "neumann"), {"x_lower": {"value": 1.0}}, r"neumann, which takes flux; .*make the end dirichlet"),
        (("robin", "neumann"), {"x_lower": {"transfer": 1.0}}, r"x_lower is robin, and outside of it is not given"),
        (("neumann", "neumann"), {"x_lower": {"flux": {"v": 1.0}}}, r"is given for v; give it for each of u"),
        (("neumann", "neumann"), {"z_lower": {"flux": 1.0}}, r"z_lower: the layout has 2 axes"),
        (("neumann", "neumann"), {"x_lower": {"flux": {"initial": 1.0, "grid": [2, 2]}}}, r"each of the 1 axes"),
    ],
)
def test_settings_that_contradict_the_layout_are_refused(boundary: Any, walls: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built(boundary, walls)


def test_an_empty_wall_says_nothing() -> None:
    settings = WallsSettings.model_validate({"x_lower": {}, "y_upper": {"flux": 0.0}})
    assert settings.given == ("y_upper",)


def test_the_slab_of_the_docs_is_built() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    settings = validate(OmegaConf.to_container(OmegaConf.create(block)))
    layout = Layout.box([Field("u")], grid=(8,), extent=[(0, 1)], boundary=(("dirichlet", "robin"),), dt=0.1)
    stepper = build_physical(settings.physical, layout)
    assert set(estimates(stepper)) == {"diffusivity", "walls.x_upper.transfer"}
    assert set(build_priors(settings.known_beforehand, stepper)) == {"walls.x_upper.transfer"}
