"""Members learn as each would alone, and predict together."""

import torch
from torch import Tensor

from cotwin.experiment.build import build_network
from cotwin.experiment.load import load
from cotwin.layout import Field, Layout
from cotwin.networks import Ensemble, ResidualConvNet, Surrogate
from cotwin.stepper import rollout
from cotwin.training.descent import GradientDescent
from cotwin.training.held_out import HeldOut
from cotwin.training.loss import RolloutLoss
from cotwin.training.trainer import Trainer
from cotwin.windows import SlidingWindows

LAYOUT = Layout.box([Field("u")], grid=(16,), extent=[(0, 1)], boundary="periodic", dt=0.1)


def network(seed: int) -> ResidualConvNet:
    return ResidualConvNet(LAYOUT, width=4, depth=1, seed=seed)


def data() -> Tensor:
    waves = [torch.sin(torch.arange(16) * (2 * torch.pi / 16) - 0.3 * t) for t in range(9)]
    return torch.stack(waves)[None, :, None]


def trained(surrogate: Surrogate) -> Surrogate:
    windows = SlidingWindows(data(), 2)
    trainer = Trainer(
        surrogate,
        RolloutLoss.by_persistence(windows),
        HeldOut(data()),
        descent=GradientDescent(torch.optim.Adam(surrogate.parameters(), lr=1e-2)),
        batch_size=3,
    )
    trainer.fit(windows, 8)
    return surrogate


def test_a_member_learns_as_it_would_alone() -> None:
    both = trained(Surrogate.fitted(Ensemble([network(1), network(2)]), LAYOUT, data()))
    for seed, member in zip((1, 2), both.members, strict=True):
        alone = trained(Surrogate.fitted(network(seed), LAYOUT, data()))
        for there, here in zip(member.parameters(), alone.parameters(), strict=True):
            assert torch.equal(there, here)


def test_a_step_is_the_mean_of_the_members_steps() -> None:
    both = Surrogate.fitted(Ensemble([network(1), network(2)]), LAYOUT, data())
    states = data()[0, :3]
    torch.testing.assert_close(both(states), torch.stack([one(states) for one in both.members]).mean(dim=0))
    apart = torch.stack([rollout(one, states, 4) for one in both.members])
    assert apart.std(dim=0)[:, 1:].min() > 0
    assert Surrogate(network(1), LAYOUT).members[0](states).shape == states.shape


def test_the_first_of_an_ensemble_is_the_network_alone() -> None:
    one, three = (load("burgers", [f"synthetic.ensemble={count}"]).synthetic for count in (1, 3))
    alone, together = (build_network(settings, LAYOUT, 7) for settings in (one, three))
    assert isinstance(together, Ensemble)
    first, second, _ = (list(member.parameters()) for member in together.networks)
    assert all(map(torch.equal, first, alone.parameters()))
    assert not any(map(torch.equal, first[:1], second[:1]))
