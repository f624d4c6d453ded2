"""Muon's directions all have the same length, and a network that it trains goes on from a file."""

from __future__ import annotations

import pytest
import torch
from tiny import Network, same, through_a_file, trainer, windows
from torch import nn

from cotwin.stepper import Stepper
from cotwin.training.descent import GradientDescent
from cotwin.training.muon import Muon, is_matrix, orthogonal


def split(stepper: Stepper) -> GradientDescent:
    matrices = [weight for weight in stepper.parameters() if is_matrix(weight)]
    others = [weight for weight in stepper.parameters() if not is_matrix(weight)]
    return GradientDescent(Muon(matrices, 0.02), torch.optim.Adam(others, 0.002), clip=1.0)


class Wide(Network):
    """A network with a hidden layer of several rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.net.insert(2, nn.Conv1d(4, 4, 3, padding=1))


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_singular_values_of_all_sizes_become_alike(shape: tuple[int, int]) -> None:
    left, right = (torch.linalg.qr(torch.randn(size, 6)).Q for size in shape)
    matrices = (left * torch.logspace(-2, 0, 6) @ right.T)[None]
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.25
    assert torch.allclose(orthogonal(1000 * matrices), orthogonal(matrices), atol=1e-4)


def test_weights_of_one_shape_move_as_each_would_alone() -> None:
    together, alone = ([nn.Parameter(torch.ones(5, 4, 3)) for _ in range(2)] for _ in range(2))
    optimizers = [Muon(together, 0.1), Muon(alone[:1], 0.1), Muon(alone[1:], 0.1)]
    for seed in range(3):
        for weights in (together, alone):
            for place, weight in enumerate(weights):
                weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(10 * seed + place))
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other)
        assert (one - 1).abs().max() > 0.05


def test_a_step_is_as_long_whatever_the_unit_of_the_loss() -> None:
    steps = []
    for factor in (1.0, 1000.0):
        weight = nn.Parameter(torch.zeros(6, 8))
        weight.grad = factor * torch.randn(6, 8, generator=torch.Generator().manual_seed(3))
        Muon([weight], 0.1).step()
        steps.append(weight.detach())
    torch.testing.assert_close(*steps)


def test_goes_on_from_a_file() -> None:
    whole, resumed = trainer(Wide(), split, averaging=True), trainer(Wide(), split, averaging=True)
    whole.fit(windows(), 5)
    resumed.load_state_dict(through_a_file(whole.state_dict()))
    for one in (whole, resumed):
        one.fit(windows(), 4)
    assert same(whole.state_dict(), resumed.state_dict())
