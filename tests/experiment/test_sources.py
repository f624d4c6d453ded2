"""Sources in a configuration: fields, rates at points, places that are looked for; obstacles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_command import cotwin

from cotwin.experiment.load import ConfigError, load, validate
from cotwin.experiment.simulators import build_physical
from cotwin.experiment.train import prepare
from cotwin.layout import Field, Layout
from cotwin.parameters import estimates
from cotwin.stepper import Stepper

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
FREE = {"initial": 0.5, "bounds": [-1, 1]}


def heated(source: Any) -> Stepper:
    base = load("heat").model_dump()
    base["physical"] = {"model": "heat", "diffusivity": {"initial": 0.1}, "source": source}
    layout = Layout.box([Field("u")], grid=(10, 10), extent=[(0.0, 1.0)] * 2, boundary="neumann", dt=0.1)
    return build_physical(validate(base).physical, layout)


def test_the_leak_of_the_docs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block, *_ = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("leak.yaml").write_text(block)
    quick = ["data.test=1", "data.refine=1", "estimation.points=1", "estimation.resolution=off"]
    assert cotwin("estimate", "leak.yaml", *quick).exit_code == 0
    found = {
        one["name"]: one for one in json.loads(Path("runs/leak-estimate/estimation.json").read_text())["estimates"]
    }
    assert torch.allclose(torch.tensor(found["source.rates"]["value"]), torch.tensor([1.2, -0.3]), atol=0.02)
    assert torch.allclose(
        torch.tensor(found["source.places"]["value"]), torch.tensor([[0.31, 0.62], [0.8, 0.1]]), atol=0.005
    )


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (FREE, ["diffusivity", "source"]),
        ({**FREE, "grid": [3, 3]}, ["diffusivity", "source"]),
        ({"points": [[0.3, 0.2], [1, 1]], "rates": [FREE, FREE]}, ["diffusivity", "source.rates"]),
        ({"points": [[0.3, 0.2]], "rates": [1]}, ["diffusivity"]),
    ],
)
def test_unknown_sources_go_by_the_words_of_the_settings(source: Any, names: list[str]) -> None:
    stepper = heated(source)
    assert sorted(estimates(stepper)) == names
    assert bool((stepper(torch.zeros(1, 1, 10, 10)) != 0).any())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"points": [[0.5, FREE]], "rates": [1]}, "unknown places .* Give a width, of two cells or more, 0.2"),
        ({"points": [[0.5]], "rates": [1]}, "give each point 2 numbers and one rate"),
        ({"points": [[0.5, 0.5]], "rates": [1, 2]}, "1 points of 2 numbers and 2 rates do not fit"),
        ({"points": [[0.5, 1.5]], "rates": [1]}, "not all within the domain"),
        ({"points": [[0.5, 0.5]], "rates": [{**FREE, "grid": [3, 3]}]}, "places and rates are numbers"),
        ({"points": [[0.5, 0.5]], "rates": [1], "widht": 1}, r"physical\.source\.widht: .*did you mean width"),
        ({"points": [[0.5, 0.5]]}, r"physical\.source\.rates: is required"),
        ({"initial": 0}, "without bounds the parameter is positive"),
        ("three", r"physical\.source: is a block of settings, \{initial: "),
    ],
)
def test_sources_that_cannot_be_are_refused_with_the_cure(source: Any, message: str) -> None:
    with pytest.raises((ValueError, ConfigError), match=message):
        heated(source)


@pytest.mark.parametrize("model", ["heat", "incompressible_flow", "smoke"])
def test_an_obstacle_is_a_field_of_the_file(model: str, tmp_path: Path) -> None:
    solid = np.zeros((10, 10))
    solid[4:6, 2:7] = solid[7, 7] = 1.0
    x, t = (np.arange(10) + 0.5) / 10, np.arange(5) * 0.1
    flow = model != "heat"
    states = np.random.default_rng(0).random((3, 5, 10, 10, 2) if flow else (3, 5, 10, 10))
    ends = "dirichlet" if flow else "neumann"
    carried = {"smoke": states[..., 0]} if model == "smoke" else {}
    np.savez(tmp_path / "mine.npz", u=states, **carried, solid=solid, x=x, y=x, t=t, boundary=ends)
    base = load("heat").model_dump()
    base["data"] = {"kind": "file", "path": str(tmp_path / "mine.npz"), "walls": "trusted"}
    unknown: dict[str, Any] = {"viscosity" if flow else "diffusivity": {"initial": 0.1}}
    unknown |= {"buoyancy": 1.0} if model == "smoke" else {}
    base["physical"] = {"model": model, **unknown, "obstacle": "solid", "window": 4}
    base["synthetic"] = {"network": "resnet", "width": 4, "depth": 1}
    base["store"] = {"cache_dir": str(tmp_path / "cache")}
    trainer = prepare(validate(base)).trainings["together"].learners["physical"].trainer
    start = trainer.held_out.states[:, 0]
    end = trainer.stepper(start)
    inside = torch.from_numpy(solid).bool().expand_as(start[:, :1])
    held = torch.zeros_like(start) if flow else start
    assert torch.equal(end[:, :1][inside], held[:, :1][inside])
    assert not torch.equal(end, start)
