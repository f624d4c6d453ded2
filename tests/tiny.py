"""The smallest steppers, data and trainers that still train."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cotwin.layout import Field, Layout
from cotwin.parameters import Positive
from cotwin.physics.heat import Heat
from cotwin.stepper import Stepper, rollout
from cotwin.store.store import Store
from cotwin.training.descent import Descent, GradientDescent
from cotwin.training.held_out import HeldOut
from cotwin.training.hybrid import HybridTrainer, Learner
from cotwin.training.loss import RolloutLoss
from cotwin.training.trainer import Trainer
from cotwin.windows import SlidingWindows
from cotwin.windows.starts import real

POINTS = 16
DIFFUSIVITY = 0.1
LAYOUT = Layout.box([Field("u")], grid=(POINTS,), extent=[(0.0, 2 * math.pi)], boundary="periodic", dt=0.2)
MB = 1_000_000


class Growth(Stepper):
    """u → rate · u, one unknown; not a number beyond `limit`."""

    def __init__(self, rate: float, limit: float = math.inf, layout: Layout = LAYOUT) -> None:
        super().__init__(layout)
        self.rate, self.limit = Positive(rate), limit

    def forward(self, state: Tensor) -> Tensor:
        rate = self.rate()
        return state * torch.where(rate > self.limit, torch.nan, rate)


class Network(Stepper):
    """A small residual network; batch statistics and dropout, so that eval mode matters, only if asked for."""

    def __init__(self, *, moody: bool = False) -> None:
        super().__init__(LAYOUT)
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.net = nn.Sequential(
                nn.Conv1d(1, 4, 3, padding=1, padding_mode="circular"),
                *((nn.BatchNorm1d(4), nn.Dropout(0.2)) if moody else ()),
                nn.Tanh(),
                nn.Conv1d(4, 1, 1),
            )

    def forward(self, state: Tensor) -> Tensor:
        return state + 0.1 * self.net(state)


def heat(diffusivity: float = DIFFUSIVITY) -> Heat:
    return Heat(LAYOUT, Positive(diffusivity))


def trajectories(count: int = 3, frames: int = 7, seed: int = 0) -> Tensor:
    """Of the heat equation, from smooth random states."""
    x = torch.tensor(LAYOUT.points(0))
    a, b = torch.randn(2, count, 1, 1, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return rollout(heat(), a * torch.sin(x) + b * torch.cos(2 * x) + 0.3, frames - 1)


def windows(num_steps: int = 2, **options: int) -> SlidingWindows:
    return SlidingWindows(trajectories(**options), num_steps)


def held_out() -> HeldOut:
    return HeldOut(trajectories(count=2, seed=1))


def adam(stepper: Stepper, lr: float = 0.05, clip: float | None = None) -> GradientDescent:
    return GradientDescent(torch.optim.Adam(stepper.parameters(), lr=lr), clip=clip)


def lbfgs(stepper: Stepper, lr: float = 1.0) -> GradientDescent:
    return GradientDescent(torch.optim.LBFGS(stepper.parameters(), lr=lr, max_iter=4, line_search_fn="strong_wolfe"))


def trainer(
    stepper: Stepper,
    descent: Callable[[Stepper], Descent] = adam,
    **options: Any,
) -> Trainer:
    loss = RolloutLoss.by_persistence(windows(), LAYOUT.static_channels)
    settings = {"batch_size": 4, "validate_every": 5, "held_out": held_out()} | options
    return Trainer(stepper, loss, descent=descent(stepper), **settings)


def hybrid(
    store: Store | None = None,
    physical: Stepper | None = None,
    synthetic: Stepper | None = None,
    seed: int = 0,
    steps: int = 6,
    warmup_steps: int = 4,
    descent: Callable[[Stepper], Descent] = adam,
    **options: Any,
) -> HybridTrainer:
    """Heat with a wrong diffusivity, and a network.

    descent: of the simulator.
    """

    def learner(stepper: Stepper, descent: Callable[[Stepper], Descent]) -> Learner:
        data = windows()
        return Learner(trainer(stepper, descent, seed=seed), data, steps, warmup_steps, real(data.starts()))

    return HybridTrainer(
        learner(physical or heat(0.3), descent),
        learner(synthetic or Network(), adam),
        store=store or Store(None, 10 * MB, 0, "memory"),
        seed=seed,
        **options,
    )


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """What comes back from disk, no pickled code allowed."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


def same(one: Any, other: Any) -> bool:
    """Whether two nested states hold the same, bit for bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
