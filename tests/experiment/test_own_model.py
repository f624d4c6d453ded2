"""A user's own model, named in a configuration."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small import SMALL
from test_command import cotwin
from test_resume import StopAt

from cotwin import registry
from cotwin.estimation import Grid, LeastSquares, Measurements
from cotwin.estimation.multi_start import sobol_points
from cotwin.estimation.unknowns import Unknowns
from cotwin.experiment import lookup
from cotwin.experiment.load import ConfigError, dump, load, validate
from cotwin.experiment.priors import build_priors
from cotwin.experiment.resume import models_code
from cotwin.experiment.settings import Experiment
from cotwin.experiment.simulated import set_parameters
from cotwin.experiment.simulators import build_physical
from cotwin.experiment.train import prepare, train
from cotwin.experiment.trained import load_run
from cotwin.layout import Field, Layout
from cotwin.parameters import estimates
from cotwin.run import Run
from cotwin.store.version import sources_version
from cotwin.training.penalty import Penalty

LAYOUT = Layout.box([Field("u")], grid=(16,), extent=[(0, 1)], boundary="periodic", dt=0.1)
STATES = torch.zeros(1, 2, 1, 16)
MODEL = """
from torch import nn
from cotwin import Layout, Parameter
from cotwin.physics import FunctionStepper

NUMBER = 3

def reaction(u, dt, parameters):
    return u + dt * parameters["rate"] * u * (parameters["capacity"] - u)

def build(layout: Layout, rate: Parameter, capacity: Parameter, substeps: int = 2):
    return FunctionStepper(layout, reaction, {"rate": rate, "capacity": capacity}, substeps)

def vague(layout, rate):
    return None

def nothing(layout):
    return None

def placeless(rate: Parameter):
    return None

def drift(speeds: tuple[Parameter, ...], layout: Layout):
    return FunctionStepper(layout, reaction, {f"speed_{i}": speed for i, speed in enumerate(speeds)})

class Kept(FunctionStepper):
    def __init__(self, layout: Layout, rate: Parameter, capacity: Parameter):
        super().__init__(layout, lambda u, dt, _: reaction(u, dt, {n: p() for n, p in self.kept.items()}), {})
        self.kept = nn.ModuleDict({"rate": rate, "capacity": capacity})

def elsewhere(layout):
    from dataclasses import replace
    return FunctionStepper(replace(layout, dt=9.0), reaction, {})
"""
PARAMETERS = {"rate": {"initial": 0.5}, "capacity": {"initial": 1.5, "fixed": True}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a model in it; each test imports it anew."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text(MODEL)
    (tmp_path / "mine" / "lacking.py").write_text("import no_such_library\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine", "mine.own", "mine.lacking"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def configured(model: str, **settings: Any) -> Any:
    base = load(
        "burgers", [setting for setting in SMALL if not setting.startswith("physical.viscosity")]
    ).model_dump()
    shared = {key: base["physical"][key] for key in ("window", "optimizer", "warmup_steps", "steps")}
    base["physical"] = {"model": model, **settings, **shared}
    return validate(base)


def test_a_function_in_the_current_folder_builds_the_simulator(folder: Path) -> None:
    experiment = configured("mine.own:build", **PARAMETERS, substeps=3)
    stepper = build_physical(experiment.physical, LAYOUT, STATES)
    assert list(estimates(stepper)) == ["rate"]
    grown = stepper(torch.full((1, 1, 16), 0.1))
    assert torch.allclose(grown, torch.tensor(0.1 + 0.1 * 0.5 * 0.1 * 1.4), rtol=0.01)
    (folder / "own.yaml").write_text(dump(experiment))
    assert load("own.yaml") == experiment
    session = prepare(load("own.yaml"))
    learner = session.trainings["together"].learners["physical"]
    before = learner.trainer.validate()
    assert learner.trainer.fit(learner.real, 3).validation_error <= before


def test_an_unknown_has_the_configurations_name_wherever_the_stepper_keeps_it() -> None:
    """In a folder of its own, `kept.rate` would be the name that the table shows and priors ask for."""
    prior = {"kind": "log_normal", "median": 0.5, "factor": 2.0}
    experiment = configured("mine.own:Kept", rate={"initial": 0.5, "prior": prior}, capacity={"initial": 1.5})
    stepper = build_physical(experiment.physical, LAYOUT, STATES)
    assert list(estimates(stepper)) == Unknowns(stepper).labels == ["rate", "capacity"]
    priors = build_priors(experiment.known_beforehand, stepper)
    measurements = Measurements(Grid(LAYOUT, 1, 1), torch.zeros(16), noise=0.1)
    problem = LeastSquares(stepper, torch.zeros(1, 1, 16), measurements, priors)
    assert list(problem.priors) == ["rate"]
    assert sobol_points(problem, 3, seed=0).isfinite().all()
    assert Penalty(priors, 16).residuals(stepper).abs().max() < 1e-5
    set_parameters(stepper, {"rate": 0.25})
    assert list(estimates(stepper)) == ["capacity"]


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (
            "nowhere.own:build",
            PARAMETERS,
            "physical.model: there is no module nowhere for nowhere.own:build; install it",
        ),
        ("mine.other:build", PARAMETERS, "there is no module mine.other for"),
        (
            "mine.own:built",
            PARAMETERS,
            "has no 'built'; in it are Kept, build, drift, elsewhere, nothing, placeless, reaction, vague",
        ),
        ("mine.own:NUMBER", PARAMETERS, "something that cannot be called under the name 'NUMBER'"),
        ("mine.own:vague", {}, "argument 'rate' of mine.own.vague says no type.*rate: Parameter for an unknown"),
        ("mine.own:build", {"rate": {"initial": 1}}, "physical.capacity: is required"),
        ("mine.own:build", {**PARAMETERS, "speed": 1}, "physical.speed: there is no such setting"),
        ("mine.own:placeless", {"rate": {"initial": 1}}, "takes no layout; write layout: Layout among its arguments"),
        ("mine.own:nothing", {}, "returned a NoneType; it must return a cotwin.Stepper"),
        ("mine.own:elsewhere", {}, r"a stepper of another layout, .*dt 9.0; it must use the one .* dt 0.1"),
        ("__import__('os'):getcwd", {}, "names no simulator; write package.module:function"),
        ("python", {}, "there is no simulator 'python'.*your own is named as package.module:function"),
    ],
)
def test_mistakes_are_named_with_their_cure(model: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_physical(configured(model, **settings).physical, LAYOUT, STATES)


def test_a_tuple_of_parameters_arrives_as_a_tuple_wherever_the_layout_stands() -> None:
    model = build_physical(configured("mine.own:drift", speeds=[{"initial": 0.5}, {"initial": 2}]).physical, LAYOUT)
    # By their names in the settings, whatever the model calls them.
    assert estimates(model) == {"speeds.0": pytest.approx(0.5), "speeds.1": pytest.approx(2.0)}


def test_what_the_users_own_code_lacks_is_its_own_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        configured("mine.lacking:build")


def test_parameters_are_checked_as_those_of_a_simulator_of_ours() -> None:
    with pytest.raises(ConfigError, match=r"physical\.rate\.inital: there is no .*did you mean initial"):
        configured("mine.own:build", rate={"initial": 1.0, "inital": 2.0}, capacity={"initial": 1.0})


@pytest.mark.slow
def test_the_example_of_the_docs_trains(folder: Path) -> None:
    pytest.importorskip("exponax")
    page = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")
    section = page[page.index("## In a configuration") :]
    for name, language in (("my_model.py", "python"), ("own.yaml", "yaml")):
        block = re.search(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)
        assert block is not None
        (folder / name).write_text(block[1])
    few = [setting for setting in SMALL if not setting.startswith(("physical.viscosity", "name", "hybrid.generated"))]
    # As the installed command: the current folder is not on the path by itself.
    code = "import sys; sys.path = [p for p in sys.path if p]; from cotwin.cli import app; app()"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, "train", "own.yaml", *few], env=paths, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()
    result = json.loads((folder / "runs" / "own" / "result.json").read_text())
    (viscosity,) = result["estimates"]
    assert viscosity["name"] == "viscosity"
    assert viscosity["together"] > viscosity["start"]


def test_going_on_with_an_edited_model_is_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    experiment = configured("mine.own:build", **PARAMETERS)
    session = prepare(experiment)
    with Run.create(folder / "run", dump(experiment)) as run:
        train(session, run, StopAt(0))
        checkpoint = run.load_checkpoint()
        for text, warned in ((MODEL, False), (MODEL.replace("NUMBER = 3", "NUMBER = 4"), True)):
            (folder / "mine" / "own.py").write_text(text)
            train(prepare(experiment), run, StopAt(0), checkpoint)
            said = "The run was begun with another version of mine.own:build; the rest"
            assert (said in caplog.text) is warned
        caplog.clear()
        for text, warned in ((MODEL, True), (MODEL.replace("NUMBER = 3", "NUMBER = 4"), False)):
            (folder / "mine" / "own.py").write_text(text)
            load_run(folder / "run")
            assert ("was trained with another version of mine.own:build" in caplog.text) is warned
            caplog.clear()
    assert "another version of Cotwin" not in caplog.text


def test_of_a_package_every_file_counts(folder: Path) -> None:
    (folder / "mine" / "__init__.py").touch()
    registry.simulator.find("mine.own:build")
    before = sources_version(["mine.own"])
    (folder / "mine" / "lacking.py").write_text("# another\n")
    assert sources_version(["mine.own"]) != before


def test_an_own_model_is_explained(folder: Path) -> None:
    first, *others = lookup.part("mine.own:build").splitlines()
    assert first.startswith("physical.model=mine.own:build")
    assert "  physical.substeps: int (default 2)" in others
    assert "  physical.rate.initial: float (required)" in others


NETWORK = """
import torch

class Net(torch.nn.Module):
    def __init__(self, layout, width: int = 4):
        super().__init__()
        self.lift = torch.nn.Conv1d(2, width, 3, padding=1)
        self.project = torch.nn.Conv1d(width, 1, 1)
        self.size = float(torch.ones(3).sum()) if width == 5 else 3.0

    def forward(self, state):
        return self.project(torch.tanh(self.lift(state)))
"""


@pytest.fixture
def network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Without a seed: its layers draw from torch's own generator."""
    monkeypatch.delitem(sys.modules, "mine.nets", raising=False)
    (folder / "mine" / "nets.py").write_text(NETWORK)
    return "mine.nets:Net"


def own_network(network: str, **settings: Any) -> Experiment:
    base = load("burgers", [word for word in SMALL if not word.startswith("synthetic.")]).model_dump()
    base["synthetic"] = {"network": network, "window": 2, **settings}
    return validate(base)


# One that looks at values while it is built cannot be counted beforehand, and is built all the same.
@pytest.mark.parametrize("width", [4, 5])
def test_the_seed_decides_the_weights_of_an_own_network(network: str, width: int) -> None:
    def weights() -> list[torch.Tensor]:
        trainings = prepare(own_network(network, width=width)).trainings.values()
        models = [training.learners["synthetic"].trainer.stepper for training in trainings]
        return [torch.cat([weight.flatten() for weight in model.parameters()]) for model in models]

    first, control = weights()
    torch.rand(7)  # whatever ran before
    assert torch.equal(first, control)
    assert torch.equal(first, weights()[0])


def test_an_own_network_beyond_the_memory_is_refused_before_it_is_built(network: str) -> None:
    with pytest.raises(ValueError, match="the surrogate with its optimiser"):
        prepare(own_network(network, width=10**10))


def test_a_rate_law_of_the_docs_is_estimated(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    section = page[page.index("## Your own reactions") :]
    for name, language in (("my_rates.py", "python"), ("toggle.yaml", "yaml")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)
        (folder / name).write_text(block)
    quick = ["data.test=1", "data.refine=1", "estimation.points=1", "estimation.resolution=off"]
    prior = "physical.parameters.strength.prior={kind: log_normal, median: 2.0, factor: 2}"
    assert load("toggle.yaml", [prior]).known_beforehand.keys() == {"strength"}
    assert cotwin("estimate", "toggle.yaml", *quick).exit_code == 0
    result = json.loads((folder / "runs" / "toggle-estimate" / "estimation.json").read_text())
    found = {one["name"]: one["value"] for one in result["estimates"]}
    assert found["strength"] == pytest.approx(3.0, rel=0.01)
    assert found["diffusivities"] == pytest.approx([0.2, 0.1], rel=0.05)
    assert models_code(load("toggle.yaml")).keys() == {"my_rates:toggle"}
