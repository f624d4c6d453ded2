"""What a surrogate is told beside the state."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cotwin import Field, Layout, rollout
from cotwin.given import Course, Given
from cotwin.networks import ResidualConvNet, Surrogate, Told, UNet
from cotwin.training.descent import GradientDescent
from cotwin.training.held_out import HeldOut
from cotwin.training.loss import RolloutLoss
from cotwin.training.trainer import Trainer
from cotwin.windows import SlidingWindows

LAYOUT = Layout.box([Field("u")], grid=(24,), extent=[(0, 1)], boundary="neumann", dt=0.05)
X = torch.tensor(LAYOUT.points(0))


def cooling(rates: Tensor, amplitudes: Tensor, steps: int = 10) -> Tensor:
    """Σ a_j cos(jπx) exp(−κ j²π² t), (N, T, 1, X), κ of each trajectory its own."""
    waves = torch.arange(1, 4) * math.pi
    time = LAYOUT.dt * torch.arange(steps + 1)
    decay = torch.exp(-rates[:, None, None] * time[:, None] * waves**2)
    return torch.einsum("nj,ntj,jx->ntx", amplitudes, decay, torch.cos(waves[:, None] * X))[:, :, None]


def both(count: int) -> Given:
    """A number and a course, of sizes that have nothing to do with each other."""
    numbers = 1000 + torch.arange(float(count))
    return Given.of(count, {"number": numbers}, {"course": Course(torch.randn(count, 7) * 1e-3)})


@pytest.mark.parametrize("network", [ResidualConvNet, UNet])
def test_numbers_change_what_a_network_says_once_it_has_learned_to_listen(network: type[ResidualConvNet]) -> None:
    given = both(3)
    told = Told.fitted(given, ["number", "course"])
    surrogate = Surrogate(network(LAYOUT, width=4, numbers=told.modulating), LAYOUT, told=told)
    start = torch.randn(3, 1, 24)
    deaf = rollout(surrogate, start, 6, given)
    torch.nn.init.normal_(surrogate.network.modulation.spread.weight)
    heard = rollout(surrogate, start, 6, given)
    assert not torch.allclose(heard, deaf)
    # Each sample hears its own, and of a course what is there at its time.
    assert torch.allclose(rollout(surrogate, start[1:2], 6, given.rows([1])), heard[1:2], atol=1e-6)
    later = given.window(torch.tensor([2]), torch.tensor([4]), 2)
    assert torch.allclose(rollout(surrogate, heard[2:3, 4], 2, later), heard[2:3, 4:], atol=1e-6)
    assert told.strange(given) == []
    assert told.strange(Given.of(1, {"number": torch.tensor([7.0])}, {"course": Course(torch.zeros(1, 2))})) == [
        "number is 7 to 7, in the training data 1000 to 1002"
    ]


@pytest.mark.slow
def test_a_surrogate_predicts_between_the_values_that_it_was_trained_on() -> None:
    rates = torch.tensor([0.03, 0.06, 0.12, 0.24]).repeat(6)
    generator = torch.Generator().manual_seed(0)
    amplitudes = torch.randn(len(rates), 3, generator=generator)
    states = cooling(rates, amplitudes)
    between = torch.tensor([0.045, 0.085, 0.17]).repeat(2)
    unseen = cooling(between, torch.randn(len(between), 3, generator=generator))
    errors = []
    for hears in (True, False):
        given, asked = Given.of(len(rates), {"kappa": rates}), Given.of(len(between), {"kappa": between})
        told = Told.fitted(given, ["kappa"]) if hears else None
        network = ResidualConvNet(LAYOUT, width=16, depth=2, seed=0, numbers=1 if hears else 0)
        surrogate = Surrogate.fitted(network, LAYOUT, states, told=told)
        windows = SlidingWindows(states, 2, given=given)
        held_out = HeldOut(unseen, given=asked)
        optimiser = torch.optim.Adam(surrogate.parameters(), lr=3e-3)
        loss = RolloutLoss.by_persistence(windows)
        trainer = Trainer(
            surrogate,
            loss,
            held_out,
            descent=GradientDescent(optimiser, clip=1.0),
            batch_size=32,
            validate_every=1000,
        )
        trainer.fit(windows, 800)
        errors.append(held_out.error(surrogate))
    assert errors[0] < 0.15
    assert errors[0] < errors[1] / 3
