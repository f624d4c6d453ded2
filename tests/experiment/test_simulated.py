"""Data that a physical model makes of itself: their initial states and their truth."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cotwin.experiment.load import ConfigError, load
from cotwin.experiment.settings import Simulated
from cotwin.experiment.simulated import set_parameters, simulate
from cotwin.experiment.train import prepare
from cotwin.layout import Field, Layout
from cotwin.parameters import CoarseField, Positive
from cotwin.physics import Heat
from cotwin.physics.projection import divergence, with_end_face

SMALL = ["data.train=1", "data.test=1", "data.num_steps=2"]


def first_states(preset: str, *overrides: str) -> tuple[Tensor, Layout]:
    experiment = load(preset, [*SMALL, *overrides])
    assert isinstance(experiment.data, Simulated)
    trajectories, _ = simulate(experiment.data, experiment.physical, experiment.seed)
    return trajectories.states[:, 0], trajectories.layout


@pytest.mark.parametrize("name", ["incompressible_flow", "smoke"])
def test_flow_and_smoke_begin_and_stay_without_divergence(name: str) -> None:
    """Between walls on a grid twice as fine, on periodic axes three times."""
    for overrides in (["data.boundary=dirichlet", "data.refine=2"], ["data.boundary=periodic", "data.refine=3"]):
        experiment = load(name, [*SMALL, "data.grid=[16, 16]", "data.starts.amplitude=0.5", *overrides])
        assert isinstance(experiment.data, Simulated)
        made, _ = simulate(experiment.data, experiment.physical, experiment.seed)
        velocity = made.states[:, :, :2].flatten(0, 1)
        assert divergence(with_end_face(velocity, made.layout), made.layout).abs().max() < 1e-4
        assert 0.2 < float(velocity.square().sum(dim=1).mean().sqrt()) < 1


def test_patches_and_colonies() -> None:
    u, v = first_states("gray_scott", "data.starts={kind: patches, patches: 2}")[0].unbind(1)
    assert torch.allclose(u + 2 * v, torch.ones_like(u), atol=1e-5)
    density, _ = first_states("fisher", "data.starts={kind: colonies, density: 0.6}")
    assert 0 <= float(density.min()) < 1e-3
    assert 0.4 < float(density.max()) <= 0.6


def test_sizes_without_effect_are_refused() -> None:
    with pytest.raises(ConfigError, match="have no effect on flow"):
        load("heat", ["data.starts={kind: flow}", "data.fields=[{name: u, components: 2, mean: 1.0}]"])
    with pytest.raises(ConfigError, match="patches have none"):
        load("gray_scott", ["data.starts={kind: patches}", "data.fields=[{name: U}, {name: V}]", "data.modes=4"])


def test_truth_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="no unknown 'viscosity'; the physical model's unknowns are steepening, dispersion"
    ):
        prepare(load("korteweg_de_vries", ["data.truth={viscosity: 1.0}", f"store.cache_dir={tmp_path / 'cache'}"]))


def test_true_coefficients_are_a_field_and_replace_the_unknown_everywhere() -> None:
    layout = Layout.box([Field("u")], grid=(12,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    shared = Positive(0.3)
    model = Heat(layout, shared)
    model.also = shared
    set_parameters(model, {"diffusivity": [0.1, 0.2, 0.4, 0.2]})
    assert isinstance(model.diffusivity, CoarseField)
    assert model.also is model.diffusivity
    assert not list(model.parameters())
