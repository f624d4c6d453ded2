"""Noise has the size asked for, in each channel that changes, and an owner."""

import pytest
import torch

from cotwin.data.noise import add_noise
from cotwin.data.trajectories import Trajectories
from cotwin.layout import Field, Layout


@pytest.fixture
def data():
    fields = [Field("u"), Field("k", static=True), Field("p")]
    layout = Layout.box(fields, grid=(64,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    states = torch.randn(4, 50, 3, 64, generator=torch.Generator().manual_seed(0))
    states[:, :, 2] = 100 * states[:, :, 2] + 1e3
    return Trajectories(states, layout)


def noise_of(data, noisy):
    return (noisy.states - data.states).double()


def test_the_size_is_relative_to_each_channel(data):
    noise = noise_of(data, add_noise(data, 0.1, torch.Generator().manual_seed(1)))
    for channel in (0, 2):
        spread = data.states[:, :, channel].std(correction=0)
        assert float(noise[:, :, channel].std() / spread) == pytest.approx(0.1, rel=0.02)
        assert abs(float(noise[:, :, channel].mean() / spread)) < 0.005
    assert (noise[:, :, 1] == 0).all()


def test_a_known_start_stays(data):
    noise = noise_of(data, add_noise(data, 0.1, torch.Generator().manual_seed(1), keep_start=True))
    assert (noise[:, 0] == 0).all()
    assert (noise[:, 1:, 0] != 0).float().mean() > 0.99


def test_the_generator_fixes_it_and_the_data_stay_clean(data):
    before = data.states.clone()
    one = add_noise(data, 0.1, torch.Generator().manual_seed(1))
    other = add_noise(data, 0.1, torch.Generator().manual_seed(1))
    assert torch.equal(one.states, other.states)
    assert not torch.equal(one.states, add_noise(data, 0.1, torch.Generator().manual_seed(2)).states)
    assert torch.equal(data.states, before)
    assert torch.equal(add_noise(data, 0.0, torch.Generator()).states, before)
    assert one.notes == ("noise of 0.1 standard deviations added",)


def test_only_observed_values_count(data):
    mask = torch.ones_like(data.states, dtype=torch.bool)
    mask[:, :, 0, :32] = False
    states = data.states.clone()
    states[~mask] = 1e6
    hidden = Trajectories(states, data.layout, mask)
    noise = noise_of(hidden, add_noise(hidden, 0.1, torch.Generator().manual_seed(1)))
    assert float(noise[:, :, 0, 32:].std()) == pytest.approx(0.1, rel=0.05)
    assert (noise[~mask] == 0).all()


def test_negative_noise_is_refused(data):
    with pytest.raises(ValueError, match="relative is -1"):
        add_noise(data, -1.0, torch.Generator())
