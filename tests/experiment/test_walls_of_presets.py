"""The walls of every preset's data are what they are declared to be, with noise and without."""

import pytest
import torch

from cotwin.data.assembling.walls import contradictions
from cotwin.data.noise import add_noise
from cotwin.experiment.load import load
from cotwin.experiment.settings import Simulated
from cotwin.experiment.simulated import simulate

QUICK = ["advection_diffusion", "burgers_2d", "fisher", "gray_scott_walls", "heat", "kuramoto_sivashinsky"]
LONG = ["incompressible_flow", "linear_shallow_water", "smoke"]


@pytest.mark.parametrize("preset", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)])
def test_no_preset_contradicts_its_boundary(preset: str) -> None:
    experiment = load(preset)
    assert isinstance(experiment.data, Simulated)
    data = experiment.data.model_copy(update={"train": 1, "validation": 1, "test": 0})
    clean, _ = simulate(data, experiment.physical, 0)
    for noise in (0.0, 0.05):
        noisy = add_noise(clean, noise, torch.Generator().manual_seed(0))
        assert list(contradictions(noisy.states, None, noisy.layout)) == []
