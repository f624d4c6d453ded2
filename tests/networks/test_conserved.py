"""A surrogate keeps the means that it is to keep, and is to keep those that data do not contradict."""

import pytest
import torch
from torch import Tensor, nn

from cotwin.layout import Field, Layout
from cotwin.networks.drift import keeps_means
from cotwin.networks.surrogate import Surrogate, measure, volumes
from cotwin.stepper import rollout

LAYOUT = Layout.box(
    [Field("k", static=True), Field("h"), Field("u")],
    grid=(6, 5),
    extent=[(0, 1), (0, 2)],
    boundary=("neumann", "periodic"),
    dt=0.1,
    centring="nodes",
)


class Wild(nn.Module):
    def forward(self, state: Tensor) -> Tensor:
        return (3 * state[:, 1:]).sin() + state[:, :1].exp()


def test_means_by_control_volumes_stay_in_conserved_channels_alone() -> None:
    data = torch.randn(2, 5, *LAYOUT.state_shape, generator=torch.Generator().manual_seed(0))
    surrogate = Surrogate.fitted(Wild(), LAYOUT, data, conserved=[1])
    states = rollout(surrogate, data[:, 0], 3)
    means = (states * volumes(LAYOUT)).sum(dim=(3, 4))
    torch.testing.assert_close(means[:, :, 1], means[:, :1, 1].expand(-1, 4), rtol=0, atol=1e-5)
    assert (means[:, 1:, 2] - means[:, :1, 2]).abs().min() > 0.05
    assert torch.equal(states[:, -1, 0], data[:, 0, 0])


def data(drift: Tensor, noise: float) -> Tensor:
    """A wave whose mean moves so, with noise."""
    generator = torch.Generator().manual_seed(0)
    wave = torch.sin(torch.arange(30.0)).view(1, 1, 1, 6, 5).expand(2, len(drift), 3, 6, 5)
    return wave + drift.view(-1, 1, 1, 1) + noise * torch.randn(wave.shape, generator=generator)


@pytest.mark.parametrize(
    ("drift", "noise", "kept"),
    [
        (torch.zeros(20), 0.0, True),
        (torch.zeros(20), 0.05, True),
        (torch.linspace(0, 2e-4, 20), 0.0, True),  # less than a thousandth of the deviation
        (torch.linspace(0, 0.1, 20), 0.0, False),
        (torch.linspace(0, 0.1, 20), 0.05, False),
        (0.05 * torch.sin(torch.linspace(0, 6, 20)), 0.05, False),
        (torch.zeros(5), 0.05, False),  # too few frames to tell
    ],
)
def test_data_say_whether_a_mean_drifts(drift: Tensor, noise: float, kept: bool) -> None:
    trajectories = data(drift, noise)
    assert keeps_means(LAYOUT, trajectories, measure(LAYOUT, trajectories)) == [kept] * 3


def test_frames_with_holes_tell_nothing() -> None:
    trajectories = data(torch.zeros(20), 0.05)
    mask = torch.ones_like(trajectories, dtype=torch.bool)
    mask[:, ::2, 1, 0, 0] = False
    mask[:, :, 2, 0, 0] = False
    trajectories = torch.where(mask, trajectories, torch.nan)
    assert keeps_means(LAYOUT, trajectories, measure(LAYOUT, trajectories, mask), mask) == [True, True, False]
