"""The loss is zero for the truth, one for no change, and blind to units and to what nobody saw."""

from __future__ import annotations

import pytest
import torch
from tiny import windows
from torch import Tensor

from cotwin.training.loss import RolloutLoss
from cotwin.windows import Batch, SlidingWindows


def walks(channels: int = 2) -> Tensor:
    """Channels of very different size."""
    steps = torch.randn(3, 8, channels, 6, generator=torch.Generator().manual_seed(0))
    return steps.cumsum(dim=1) * 100.0 ** torch.arange(float(channels)).reshape(-1, 1)


def every(data: SlidingWindows) -> Batch:
    return data.__getitems__(range(len(data)))


def persistent(batch: Batch) -> Tensor:
    return batch.states[:, :1].expand_as(batch.states)


@pytest.mark.parametrize("num_steps", [1, 3, 7])
def test_zero_for_the_truth_and_one_for_no_change(num_steps: int) -> None:
    data = SlidingWindows(walks(), num_steps)
    loss, batch = RolloutLoss.by_persistence(data, (False, False)), every(data)
    assert loss(batch.states, batch) == 0.0
    assert float(loss(persistent(batch), batch)) == pytest.approx(1.0, rel=1e-5)


def test_units_do_not_matter() -> None:
    units = torch.tensor([1e3, 1e-4]).reshape(2, 1)
    one, other = SlidingWindows(walks(), 3), SlidingWindows(walks() * units, 3)
    prediction = torch.randn(len(one), *one.window_shape)
    losses = [
        RolloutLoss.by_persistence(data, (False, False))(prediction * scale, every(data))
        for data, scale in ((one, 1.0), (other, units))
    ]
    torch.testing.assert_close(losses[0], losses[1])


def test_weights_are_the_influence_of_each_window() -> None:
    data = SlidingWindows(walks(), 3)
    loss, batch = RolloutLoss.by_persistence(data, (False, False)), every(data)
    prediction = torch.randn_like(batch.states)
    single = torch.stack([loss(prediction[[i]], data[i]) for i in range(len(data))])
    weight = torch.rand(len(data))
    torch.testing.assert_close(loss(prediction, batch._replace(weight=weight)), (weight * single).mean())


def test_what_was_not_observed_does_not_matter() -> None:
    states = walks()
    mask = torch.rand(states.shape, generator=torch.Generator().manual_seed(1)) > 0.3
    mask[:, ::2] = True  # windows start from whole states
    values, gradients = [], []
    for missing in (torch.nan, 0.0, 1e30, torch.inf):
        data = SlidingWindows(torch.where(mask, states, missing), 2, mask)
        batch = every(data)
        prediction = torch.zeros_like(batch.states).requires_grad_()
        value = RolloutLoss.by_persistence(data, (False, False))(prediction, batch)
        value.backward()
        values.append(value.detach())
        gradients.append(prediction.grad)
    assert torch.isfinite(gradients[0]).all()
    assert not gradients[0][~every(data).mask].any()
    for value, gradient in zip(values[1:], gradients[1:], strict=True):
        assert torch.equal(value, values[0])
        assert torch.equal(gradient, gradients[0])


def test_a_mask_that_is_true_everywhere_changes_nothing() -> None:
    states = walks()
    bare, masked = SlidingWindows(states, 3), SlidingWindows(states, 3, torch.ones_like(states, dtype=torch.bool))
    prediction = torch.randn_like(every(bare).states)
    for static in ((False, False), (False, True)):
        losses = [RolloutLoss.by_persistence(data, static)(prediction, every(data)) for data in (bare, masked)]
        torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("masked", [False, True])
def test_static_channels_do_not_count(masked: bool) -> None:
    states = walks()
    states[:, :, 1] = states[:, :1, 1]
    alone = SlidingWindows(states[:, :, :1].contiguous(), 3)
    mask = torch.ones_like(states, dtype=torch.bool) if masked else None
    both = SlidingWindows(states, 3, mask)
    prediction = torch.randn_like(every(both).states)
    torch.testing.assert_close(
        RolloutLoss.by_persistence(both, (False, True))(prediction, every(both)),
        RolloutLoss.by_persistence(alone, (False,))(prediction[:, :, :1], every(alone)),
    )


def test_a_channel_that_changes_by_rounding_alone_counts_as_static() -> None:
    states = walks()
    states[:, :, 1] = 1e5 * (1 + 5e-8 * torch.randn(states[:, :, 1].shape))
    data = SlidingWindows(states, 3)
    prediction = torch.randn_like(every(data).states)
    losses = [RolloutLoss.by_persistence(data, (False, still))(prediction, every(data)) for still in (False, True)]
    assert torch.equal(*losses)


def test_data_that_never_change_are_refused() -> None:
    states = walks()
    states[:, :, :] = 3.0
    with pytest.raises(ValueError, match="no field that moves changes over any training window"):
        RolloutLoss.by_persistence(SlidingWindows(states, 3), (False, False))
    states = walks()
    states[0, 4, 1, 2] = torch.nan
    with pytest.raises(ValueError, match="training windows are not finite; set a mask"):
        RolloutLoss.by_persistence(SlidingWindows(states, 3))
    for scale in ([0.0, 1.0], [-1.0, 1.0], [torch.inf, torch.inf], [torch.nan, 1.0]):
        with pytest.raises(ValueError, match="must be positive"):
            RolloutLoss(torch.tensor(scale))


def test_the_scale_does_not_depend_on_how_windows_are_read() -> None:
    # More windows than are read at once.
    data = windows(count=40)
    states = every(data).states
    change = (states[:, 1:] - states[:, :1]).square().mean()
    assert float(RolloutLoss.by_persistence(data, (False,)).inverse_scale) == pytest.approx(
        1 / float(change), rel=1e-5
    )
