"""Every preset can be used as it is, and its simulator comes nearer to the truth within a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cotwin.experiment.load import load, presets
from cotwin.experiment.settings import Simulated
from cotwin.experiment.simulated import coarsened, set_parameters
from cotwin.experiment.train import prepare
from cotwin.layout import Field, Layout
from cotwin.parameters import CoarseField, Positive
from cotwin.physics import Heat, random_fourier

SIMULATED = [name for name in presets() if name != "burgers_shock" and isinstance(load(name).data, Simulated)]


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_a_preset_calibrates_its_simulator(name: str, tmp_path: Path) -> None:
    session = prepare(load(name, [f"store.cache_dir={tmp_path / 'cache'}", "data.test=1"]))
    learner = session.trainings["together"].learners["physical"]
    before = learner.trainer.validate()
    after = learner.trainer.fit(learner.real, learner.warmup_steps).validation_error
    # The noise alone is an error of about a hundredth.
    assert after < 0.15 * before
    assert set(session.data.truth) <= {name for name, _ in learner.trainer.stepper.named_modules()}


def test_every_preset_with_data_of_its_own_model_is_tried() -> None:
    assert len(SIMULATED) == 11


def test_truth_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="names 'viscosity'; the physical model's unknowns are steepening, dispersion"
    ):
        prepare(load("korteweg_de_vries", ["data.truth={viscosity: 1.0}", f"store.cache_dir={tmp_path / 'cache'}"]))


def test_true_coefficients_are_a_field_and_replace_the_unknown_everywhere() -> None:
    layout = Layout.box([Field("u")], grid=(12,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    shared = Positive(0.3)
    model = Heat(layout, shared)
    model.also = shared
    set_parameters(model, {"diffusivity": [0.1, 0.2, 0.4, 0.2]}, layout)
    assert isinstance(model.diffusivity, CoarseField)
    assert model.also is model.diffusivity
    assert not list(model.parameters())


def test_coarse_states_are_at_the_points_of_the_data() -> None:
    """Along a periodic axis the same points, between walls the means of cells, equal to second order."""
    layout = Layout.box([Field("u")], grid=(64, 32), extent=[(0, 1)] * 2, boundary=("neumann", "periodic"), dt=0.1)
    fine, coarse = (
        random_fourier(one, 2, torch.Generator().manual_seed(0), modes=2)[:, None]
        for one in (layout.refined(3), layout)
    )
    found = coarsened(fine, layout, 3)
    assert found.shape == coarse.shape
    assert (found - coarse).abs().max() < 2e-3
    assert torch.allclose(found.mean(dim=3), coarse.mean(dim=3), atol=1e-5)
