"""Truths of the surrogate's statistics."""

import pytest
import torch
from torch import Tensor, nn

from cotwin.layout import Field, Layout
from cotwin.networks.convolution import ResidualConvNet
from cotwin.networks.surrogate import Surrogate, measure

LAYOUT = Layout.box([Field("u"), Field("k", static=True)], grid=(32,), extent=[(0, 1)], boundary="periodic", dt=0.1)


def make_trajectories() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    moving = 5 + 2 * torch.randn(3, 8, 1, 32, generator=generator)
    still = torch.randn(3, 1, 1, 32, generator=generator).expand(3, 8, 1, 32)
    return torch.cat((moving, still), dim=2)


def test_statistics_are_the_datas() -> None:
    data = make_trajectories()
    statistics = measure(LAYOUT, data)
    torch.testing.assert_close(statistics.mean, data.mean(dim=(0, 1, 3)))
    torch.testing.assert_close(statistics.scale, data.std(dim=(0, 1, 3), correction=0))
    change = data[:, 1:, :1] - data[:, :-1, :1]
    torch.testing.assert_close(statistics.increment_scale, change.square().mean().sqrt()[None])


def test_unobserved_values_do_not_count() -> None:
    data = make_trajectories()
    mask = torch.rand(data.shape, generator=torch.Generator().manual_seed(2)) > 0.4
    garbage = data.where(mask, torch.tensor(float("nan")))
    statistics = measure(LAYOUT, garbage, mask)
    seen = data[:, :, 0][mask[:, :, 0]]
    torch.testing.assert_close(statistics.mean[0], seen.mean())
    torch.testing.assert_close(statistics.scale[0], seen.std(correction=0))
    both = mask[:, 1:, 0] & mask[:, :-1, 0]
    change = (data[:, 1:, 0] - data[:, :-1, 0])[both]
    torch.testing.assert_close(statistics.increment_scale[0], change.square().mean().sqrt())


def test_masking_whole_trajectories_is_leaving_them_out() -> None:
    data = make_trajectories()
    mask = torch.ones_like(data, dtype=torch.bool)
    mask[1:] = False
    for masked, alone in zip(measure(LAYOUT, data, mask), measure(LAYOUT, data[:1]), strict=True):
        assert torch.equal(masked, alone)


def test_a_channel_that_is_never_observed_is_refused() -> None:
    data = make_trajectories()
    mask = torch.ones_like(data, dtype=torch.bool)
    mask[:, ::2, 0] = False
    with pytest.raises(ValueError, match="'u' is never observed at two successive times"):
        measure(LAYOUT, data, mask)
    mask[:, :, 0] = False
    with pytest.raises(ValueError, match="'u' is never observed;"):
        measure(LAYOUT, data, mask)


@pytest.mark.parametrize("constant", [0.0, 0.3, -7e5])
def test_channels_that_do_not_vary_stay_finite(constant: float) -> None:
    data = torch.full((2, 5, 2, 32), constant)
    statistics = measure(LAYOUT, data)
    torch.testing.assert_close(statistics.mean, torch.full((2,), constant))
    assert statistics.scale.tolist() == [1, 1]
    assert statistics.increment_scale.tolist() == [1]
    surrogate = Surrogate.fitted(ResidualConvNet(LAYOUT, width=4, kernel_size=3), LAYOUT, data)
    torch.testing.assert_close(surrogate(data[:, 0]), data[:, 0], rtol=0, atol=0.03)


def test_steady_drift_is_predicted_in_units_of_itself() -> None:
    data = make_trajectories()
    data[:, :, 0] = data[:, :1, 0] + 0.5 * torch.arange(8)[:, None]
    torch.testing.assert_close(measure(LAYOUT, data).increment_scale, torch.tensor([0.5]))


def test_state_dict_carries_the_statistics() -> None:
    fitted = Surrogate.fitted(ResidualConvNet(LAYOUT, width=4, seed=1), LAYOUT, make_trajectories())
    loaded = Surrogate(ResidualConvNet(LAYOUT, width=4, seed=2), LAYOUT)
    loaded.load_state_dict(fitted.state_dict())
    state = make_trajectories()[:, 0]
    assert torch.equal(loaded(state), fitted(state))
    assert {"mean", "scale", "increment_scale"} <= fitted.state_dict().keys()


def test_a_network_of_another_layout_is_refused() -> None:
    surrogate = Surrogate(nn.Identity(), LAYOUT)
    with pytest.raises(ValueError, match="gives 2 channels"):
        surrogate(make_trajectories()[:, 0])
