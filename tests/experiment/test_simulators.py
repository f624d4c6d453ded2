"""Simulators named in a configuration, and what their settings become; each has a preset too (test_presets.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import SMALL

from cotwin.experiment.load import ConfigError, load, validate
from cotwin.experiment.settings import Experiment
from cotwin.experiment.simulators import build_physical
from cotwin.experiment.train import prepare
from cotwin.layout import Field, Layout
from cotwin.parameters import estimated, estimates
from cotwin.physics import SpectralStepper, random_fourier
from cotwin.rollouts import Refined
from cotwin.stepper import Stepper

P = {"initial": 0.1}
MODELS: dict[str, tuple[dict[str, Any], tuple[int, ...], list[str]]] = {
    # settings, grid, fields
    "burgers": ({"viscosity": P}, (16,), ["u"]),
    "spectral_burgers": ({"viscosity": P, "refine": 2}, (16,), ["u"]),
    "inviscid_burgers": ({"potential": {"initial": 0.1, "bounds": [-1, 1], "grid": [4]}}, (16,), ["u"]),
    "heat": ({"diffusivity": P}, (8, 8), ["u"]),
    "advection": ({"velocity": [P, P]}, (8, 8), ["u"]),
    "advection_diffusion": ({"velocity": [P], "diffusivity": P}, (16,), ["u"]),
    "korteweg_de_vries": ({"steepening": P, "dispersion": {"initial": 0.01}}, (16,), ["u"]),
    "kuramoto_sivashinsky": ({"steepening": P, "production": P, "hyperviscosity": P}, (16,), ["u"]),
    "allen_cahn": ({"diffusivity": P, "reaction": P}, (16,), ["u"]),
    "fisher": ({"diffusivity": P, "growth": P, "capacity": P, "exponent": P}, (16,), ["u"]),
    "gray_scott": ({"diffusivity_u": P, "diffusivity_v": P, "feed": P, "kill": P}, (8, 8), ["a", "b"]),
    "spectral_gray_scott": ({"diffusivity_u": P, "diffusivity_v": P, "feed": P, "kill": P}, (8, 8), ["a", "b"]),
    "navier_stokes": ({"viscosity": P, "forcing": P, "wavenumber": {"initial": 2, "fixed": True}}, (8, 8), ["w"]),
    "incompressible_flow": (
        {"viscosity": P, "max_speed": 1, "disc": {"centre": [3, 3], "radius": 1}},
        (8, 8),
        ["uv"],
    ),
    "smoke": (
        {"viscosity": P, "buoyancy": P, "max_speed": 1, "inflow": P, "inflow_box": [[1, 3], [0, 2]]},
        (8, 8),
        ["uv", "s"],
    ),
    "linear_shallow_water": ({"gravity": P, "depth": P, "max_speed": 1}, (8, 8), ["h", "uv"]),
    "shallow_water": ({"gravity": P, "max_speed": 9}, (8, 8), ["h", "uv"]),
    "wave": ({"speed": P, "damping": P}, (16,), ["u", "v"]),
    "darcy": (
        {"transmissivity": P, "storativity": P, "wells": {"points": [[1.0, 2.0]], "rates": [-1.0]}, "recharge": P},
        (8, 8),
        ["head"],
    ),
    "advection_diffusion_reaction": (
        {
            "rate": "lotka_volterra",
            "diffusivities": [P, P],
            "velocity": [P],
            "parameters": {"growth": P, "predation": P, "gain": P, "death": 0.3},
        },
        (16,),
        ["prey", "predators"],
    ),
    "phiflow_burgers": ({"viscosity": P}, (8, 8), ["uv"]),
    "phiflow_smoke": (
        {
            "viscosity": P,
            "buoyancy": P,
            "inflow": P,
            "inflow_box": [[1, 3], [0, 2]],
            "obstacle": {"centre": [3, 4], "radius": 1},
        },
        (8, 8),
        ["velocity", "smoke"],
    ),
}
VECTORS = ("uv", "velocity")


def data(path: Path, grid: tuple[int, ...], fields: list[str], boundary: str = "periodic") -> Path:
    """Four trajectories of five states, positive and smooth."""
    axes = {name: np.arange(n) * 2 * np.pi / n for name, n in zip("xyz", grid, strict=False)}
    waves = sum(np.sin(a) for a in np.meshgrid(*axes.values(), indexing="ij"))
    scales = 1 + 0.1 * np.arange(4 * 5).reshape(4, 5, *[1] * len(grid))
    values = 0.5 + 0.05 * waves / scales
    vector = np.stack([values] * len(grid), axis=-1)
    arrays = {name: vector if name in VECTORS else values for name in fields}
    np.savez(path, **arrays, **axes, t=np.arange(5) * 0.05, boundary=boundary)
    return path


# PhiFlow's pressure takes some seconds, eagerly.
SLOW = {"phiflow_smoke": pytest.mark.slow}


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in MODELS])
def test_a_model_is_built_from_its_settings_and_takes_a_step(tmp_path: Path, name: str) -> None:
    model, grid, fields = MODELS[name]
    settings = [setting for setting in SMALL if not setting.startswith(("data.", "physical."))]
    base = load("burgers", settings).model_dump()
    ends = "dirichlet" if name == "phiflow_smoke" else "periodic"
    path = data(tmp_path / "mine.npz", grid, fields, ends)
    # It is no flow between walls, and its points are no nodes of one.
    base["data"] = {"kind": "file", "path": str(path), "walls": "trusted", "points": "cells"}
    training = {"window": 2, "optimizer": {"kind": "adam"}, "warmup_steps": 1, "steps": 1}
    base["physical"] = {"model": name, **training, **model}
    base["synthetic"]["starts"] = "real"
    base["store"]["cache_dir"] = str(tmp_path / "cache")
    session = prepare(validate(base))
    trainer = session.trainings["together"].learners["physical"].trainer
    before = {name: value.clone() for name, value in trainer.stepper.named_parameters()}
    trainer.fit(session.trainings["together"].learners["physical"].real, 1)
    assert all(value.isfinite().all() for value in trainer.stepper.parameters())
    assert any(not torch.equal(value, before[name]) for name, value in trainer.stepper.named_parameters())


def test_a_fixed_parameter_is_known() -> None:
    experiment = load("burgers", [*SMALL, "physical.viscosity={initial: 0.1, fixed: true}"])
    assert isinstance(experiment, Experiment)
    with pytest.raises(ConfigError, match="not strictly inside"):
        load("burgers", [*SMALL, "physical.viscosity={initial: 3, bounds: [0, 1]}"])


def advected(*velocity: dict[str, Any], model: str = "advection_diffusion", grid: tuple[int, ...] = (16,)) -> Stepper:
    training = {"window": 2, "optimizer": {"kind": "adam"}, "warmup_steps": 1, "steps": 1}
    own = {"model": model, "velocity": list(velocity), "diffusivity": P, **training}
    physical = validate({**load("burgers", SMALL).model_dump(), "physical": own}).physical
    extent = [(0, 1.0)] * len(grid)
    layout = Layout.box([Field("u")], grid=grid, extent=extent, boundary="periodic", dt=0.1)
    return build_physical(physical, layout, torch.ones(1, 2, *layout.state_shape))


def test_each_component_of_a_vector_may_be_a_field_or_bounded_by_itself() -> None:
    """Before, a grid of a component was dropped without a word."""
    field = advected({"initial": 1.0, "bounds": [-3, 3], "grid": [10]})
    assert {name: value.numel() for name, value in field.named_parameters()} == {
        "velocity.0.coefficients.raw": 10,
        "diffusivity.raw": 1,
    }
    assert field.velocity().shape == (1, 16)
    mixed = advected({"initial": 0.5, "grid": [4, 4]}, {"initial": -0.2, "bounds": [-1, 1]}, grid=(8, 8))
    assert mixed.velocity().shape == (2, 8, 8)
    assert torch.allclose(mixed.velocity()[1].detach(), torch.tensor(-0.2))
    held = advected({"initial": 0.5}, {"initial": 0.0, "fixed": True}, model="advection", grid=(8, 8))
    assert [name for name, _ in held.named_parameters()] == ["velocity.0.raw", "diffusivity.raw"]
    assert list(estimates(held)) == ["velocity", "diffusivity"]


def test_a_component_that_differs_is_told_group_by_group() -> None:
    """Before, of a vector the group of largest size alone was told."""
    groups = {"per": "lab", "groups": [0, 1], "labels": ["lab 0", "lab 1"]}
    for model in ("advection", "advection_diffusion"):
        stepper = advected({"initial": 0.5, **groups}, model=model)
        assert estimates(stepper)["velocity.0"].shape == (2,)
        each = stepper.get_submodule(estimated(stepper)["velocity.0"])
        assert each.rows == ("lab 0", "lab 1")
    course = advected({"initial": 0.5, "times": 4, "duration": 1.0}, {"initial": 0.1}, grid=(8, 8))
    assert {name: value.numel() for name, value in estimates(course).items()} == {
        "velocity.0": 4,
        "velocity.1": 1,
        "diffusivity": 1,
    }


def test_what_a_model_cannot_read_is_refused() -> None:
    with pytest.raises(ValueError, match="a field needs AdvectionDiffusion"):
        advected({"initial": 1.0, "grid": [10]}, model="advection")
    with pytest.raises(ConfigError, match=r"physical\.velocity\.0\.prior: there is no such setting"):
        advected({"initial": 1.0, "prior": {"kind": "gaussian", "mean": 1.0, "deviation": 0.1}})
    refused = load("gray_scott", ["physical.diffusivity_u={initial: 0.1, grid: [3, 3]}"]).physical
    fields = [Field("a"), Field("b")]
    layout = Layout.box(fields, grid=(8, 8), extent=[(0, 1.0)] * 2, boundary="periodic", dt=0.1)
    with pytest.raises(ValueError, match="diffusivity_u"):
        build_physical(refused, layout, torch.ones(1, 2, 2, 8, 8))


def test_a_prior_beside_an_unknown_is_as_one_in_priors() -> None:
    prior = "{kind: log_normal, median: 0.1, factor: 2}"
    beside = load("heat", [f"physical.diffusivity.prior={prior}"]).known_beforehand
    assert beside == load("heat", [f"priors.diffusivity={prior}"]).known_beforehand
    with pytest.raises(ConfigError, match="both given"):
        load("heat", [f"physical.diffusivity.prior={prior}", f"priors.diffusivity={prior}"])
    with pytest.raises(ConfigError, match="is fixed, so it has no prior"):
        load("heat", [f"physical.diffusivity.prior={prior}", "physical.diffusivity.fixed=true"])


SPECTRAL = ["spectral_burgers", "korteweg_de_vries", "kuramoto_sivashinsky", "allen_cahn", "navier_stokes"]


@pytest.mark.parametrize("name", [*SPECTRAL, "spectral_gray_scott"])
def test_substeps_left_open_follow_from_the_states(name: str) -> None:
    """Twice those that the stepper itself estimates; larger states, which N amplifies more, need more."""
    model, grid, fields = MODELS[name]
    training = {"window": 2, "optimizer": {"kind": "adam"}, "warmup_steps": 1, "steps": 1}
    base = load("burgers", SMALL).model_dump()
    physical = validate({**base, "physical": {"model": name, **training, **model, "substeps": None}}).physical
    layout = Layout.box(
        [Field(name) for name in fields], grid=grid, extent=[(0, 6.0)] * len(grid), boundary="periodic", dt=4.0
    )
    states = random_fourier(layout, 6, torch.Generator().manual_seed(0), modes=2).unflatten(0, (2, 3))
    few, many = (substeps(build_physical(physical, layout, size * states)) for size in (3, 12))
    assert 1 < few < many
    states[0, 0, 0, 0] = torch.nan  # missing values are no speed
    assert substeps(build_physical(physical, layout, 3 * states)) >= 1


def substeps(stepper: Stepper) -> int:
    solver = stepper.inner if isinstance(stepper, Refined) else stepper
    assert isinstance(solver, SpectralStepper)
    return solver.substeps
