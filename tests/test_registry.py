"""Names: found without importing, those of other packages too; what is wrong with one concerns that one alone."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import cotwin.networks
import cotwin.physics
from cotwin.experiment.load import ConfigError, load
from cotwin.experiment.simulators import build_physical
from cotwin.layout import Field, Layout
from cotwin.registry import Registry, RegistryError, made_by, network, sampler, simulator, summary

REGISTRIES = [simulator, network, sampler]
PLUGIN = """
from cotwin import Layout, Parameter
from cotwin.physics import FunctionStepper
from cotwin.registry import simulator

@simulator("decay")
def decay(layout: Layout, rate: Parameter, order: int = 1) -> FunctionStepper:
    '''∂u/∂t = −rate · u^order.

    rate: in 1/time. order: of the reaction.
    '''
    return FunctionStepper(layout, lambda u, dt, p: u - dt * p["rate"] * u**order, {"rate": rate})
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a package with an entry point where packages are installed."""

    def installed(package: str, text: str, entry: str) -> None:
        folder = tmp_path / package
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{package}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[cotwin.simulators]\n{entry}\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, package, raising=False)

    monkeypatch.setattr(simulator, "declared", dict(simulator.declared))
    return installed


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_what_the_source_says_is_what_the_decorators_say(registry: Registry) -> None:
    pytest.importorskip("phi")
    for package in (cotwin.physics, cotwin.networks):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "jax" not in module.name:
                importlib.import_module(module.name)
    read = {name: (home.module, home.thing, home.made, home.summary) for name, home in registry.own().items()}
    declared = {
        name: (
            thing.__module__,
            thing.__qualname__,
            getattr(made_by(thing), "__name__", thing.__qualname__),
            summary(thing),
        )
        for name, thing in registry.declared.items()
        if thing.__module__.startswith("cotwin.")
    }
    if registry is sampler:  # which make tensors, of no class of ours
        declared = {name: (module, thing, thing, said) for name, (module, thing, _, said) in declared.items()}
    assert read == declared


def test_only_what_is_named_is_imported() -> None:
    code = (
        "import sys; from cotwin.experiment.load import load; from cotwin.registry import simulator; load('heat');"
        "simulator.names(); assert 'cotwin.physics.heat' in sys.modules;"
        "assert not {'cotwin.physics.navier_stokes', 'cotwin.physics.smoke', 'phi', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_installed_simulator_is_a_name_in_a_configuration(install: Any, tmp_path: Path) -> None:
    install("others", PLUGIN, "decay = others:decay")
    assert "decay" in simulator.names()
    assert "others" not in sys.modules
    own = tmp_path / "own.yaml"
    own.write_text("defaults: [heat]\nphysical: {model: decay, rate: {initial: 0.5, bounds: [0, 2]}, order: 2}\n")
    layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    stepper = build_physical(load(str(own)).physical, layout, torch.ones(1, 2, 1, 4))
    assert torch.allclose(stepper(torch.full((1, 1, 4), 2.0)), torch.tensor(2 - 0.1 * 0.5 * 4))
    assert [setting.meaning for setting in simulator.settings(simulator.find("decay"))] == [
        "in 1/time",
        "of the reaction",
    ]
    assert summary(simulator.find("decay")) == "∂u/∂t = −rate · u^order."
    with pytest.raises(ConfigError, match=r"physical\.rat: there is no such setting; did you mean rate"):
        load(str(own), ["physical.rat=1"])


def test_a_broken_package_concerns_its_own_name_alone(install: Any) -> None:
    install("broken", "import no_such_library", "broken = broken:thing")
    install("others", PLUGIN, "decay = others:decay")
    message = "physical.model: simulator 'broken' of the package broken 1.0 .* cannot be loaded: .*no_such_library"
    with pytest.raises(ConfigError, match=message):
        load("heat", ["physical.model=broken"])
    assert simulator.find("decay").__module__ == "others"
    assert load("heat").physical.model == "heat"


@pytest.mark.parametrize("name", ["decay", "heat"])
def test_two_owners_of_one_name_are_refused_and_both_named(install: Any, name: str) -> None:
    install("others", PLUGIN, f"{name} = others:decay")
    install("further", PLUGIN, f"{name} = further:decay" if name == "decay" else "else = further:decay")
    owners = "further 1.0.*others 1.0|others 1.0.*further 1.0" if name == "decay" else "cotwin and by .*others 1.0"
    with pytest.raises(RegistryError, match=owners):
        simulator.find(name)
    assert simulator.find("burgers").__name__ == "Burgers"


def test_an_argument_that_no_setting_can_give_says_so(install: Any) -> None:
    text = "def thing(layout, table: dict): ...\ndef other(layout, steps: int): ..."
    install("odd", text, "odd = odd:thing\nclash = odd:other")
    with pytest.raises(ConfigError, match=r"argument 'table' of odd\.thing is a .*dict.*no setting can give it"):
        load("heat", ["physical.model=odd"])
    with pytest.raises(ConfigError, match="'clash' has an argument 'steps', which is a setting of every simulator"):
        load("heat", ["physical.model=clash"])


def test_simulators_and_samplers_are_in_physics_by_their_names() -> None:
    assert cotwin.physics.Heat is simulator.find("heat")
    assert cotwin.physics.random_patches is sampler.find("patches")
    assert {"Fisher", "random_smoke", "SpectralStepper"} <= set(dir(cotwin.physics))
    with pytest.raises(AttributeError, match="no attribute 'PhiFlowSmoke'"):
        _ = cotwin.physics.PhiFlowSmoke


def test_a_name_of_cotwins_is_not_declared_again_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "declared", dict(simulator.declared))
    mine = simulator("my_heat")(lambda layout: None)
    assert simulator.find("my_heat") is mine
    simulator("heat")(mine)
    with pytest.raises(
        RegistryError, match=f"declared by cotwin and by the module {__name__}; take one of them away"
    ):
        simulator.find("heat")


def test_what_takes_any_argument_has_no_setting_of_that_name() -> None:
    def thing(layout: Layout, *rates: float, order: int = 1, **options: float) -> None: ...

    assert [setting.name for setting in simulator.settings(thing)] == ["order"]


def test_a_list_of_names_imports_none_of_them() -> None:
    code = (
        "import sys; from cotwin.experiment.lookup import overview, part; overview(); part('physical');"
        "homes = {f'cotwin.physics.{name}' for name in ('heat', 'burgers', 'phiflow')};"
        "assert not {*homes, 'phi', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
