"""Priors weigh against what was measured, and generated windows measure nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.optimize import brentq, minimize_scalar
from tiny import lbfgs
from torch import Tensor

from cotwin.estimation.priors import Gaussian
from cotwin.layout import Field, Layout
from cotwin.parameters import Real
from cotwin.stepper import Stepper
from cotwin.training.descent import Descent
from cotwin.training.gauss_newton import GaussNewton
from cotwin.training.held_out import HeldOut
from cotwin.training.loss import RolloutLoss
from cotwin.training.penalty import Penalty
from cotwin.training.trainer import Trainer
from cotwin.windows import JoinedWindows, SlidingWindows

LAYOUT = Layout.box([Field("u"), Field("k", static=True)], grid=(4,), extent=[(0, 1)], boundary="periodic", dt=0.1)
MEAN, DEVIATION, TAUGHT = 0.0, 0.3, 1.5


class Drift(Stepper):
    """u → u + a k, with k given; one unknown, in which the loss is a parabola."""

    def __init__(self, rate: float) -> None:
        super().__init__(LAYOUT)
        self.rate = Real(rate)

    def forward(self, state: Tensor) -> Tensor:
        return torch.stack([state[:, 0] + self.rate() * state[:, 1], state[:, 1]], dim=1)


def drifting(rate: float, noise: float, frames: int = 4) -> Tensor:
    """Three trajectories (k = 1) of which each step is off by a noise of its own."""
    steps = rate + noise * torch.randn(3, frames - 1, 4, generator=torch.Generator().manual_seed(0))
    u = torch.cat([torch.zeros(3, 1, 4), steps.cumsum(dim=1)], dim=1)
    return torch.stack([u, torch.ones_like(u)], dim=2)


@pytest.mark.parametrize("alpha", [0.0, 0.7, 4.0])
@pytest.mark.parametrize("descent", [lbfgs, GaussNewton])
def test_the_maximum_a_posteriori_is_that_of_the_closed_form(
    descent: Callable[[Stepper], Descent], alpha: float
) -> None:
    """With L the mean of (a − d)² over M steps d, F′ = 0 where (a − d̄) + α (a − a′) + L(a)/M (a − μ)/σ² = 0."""
    data = drifting(0.5, noise=1.0)
    real = SlidingWindows(data, 1)
    generated = SlidingWindows(drifting(TAUGHT, noise=0.0), 1)
    d = (data[:, 1:, 0] - data[:, :-1, 0]).double()
    values = d.numel()
    assert real.scored_values(LAYOUT.static_channels) == values

    def loss(a: float) -> float:
        return float((a - d).square().mean())

    def slope(a: float) -> float:
        return a - float(d.mean()) + alpha * (a - TAUGHT) + loss(a) / values * (a - MEAN) / DEVIATION**2

    expected = brentq(slope, -5, 5)
    if alpha == 0:

        def posterior(a: float) -> float:
            return values / 2 * float(torch.tensor(loss(a)).log()) + (a - MEAN) ** 2 / (2 * DEVIATION**2)

        assert expected == pytest.approx(minimize_scalar(posterior, bounds=(-5, 5), method="bounded").x, rel=1e-3)
    model = Drift(0.1)
    fitting = Trainer(
        model,
        RolloutLoss.by_persistence(real, LAYOUT.static_channels),
        HeldOut(data),
        descent=descent(model),
        batch_size=4,
        penalty=Penalty({"rate": Gaussian(MEAN, DEVIATION)}, values),
    )
    fitting.fit(JoinedWindows(real, generated, alpha), 30)
    assert model.rate().item() == pytest.approx(expected, rel=2e-3)
    assert abs(expected - float(d.mean())) > 0.05, "the prior matters"


def test_each_scored_value_counts_once() -> None:
    states = torch.zeros(2, 7, 2, 4)
    static = LAYOUT.static_channels
    assert SlidingWindows(states, 3).scored_values(static) == 2 * 6 * 4
    # Steps 1, 2 and 6 are scored from starts 0 and 5; 3 to 5 lie between, or start a window.
    assert SlidingWindows(states, 2, stride=5).scored_values(static) == 2 * 2 * 4
    mask = torch.ones_like(states, dtype=torch.bool)
    mask[0, 2, 0, 1] = False
    mask[1, 3:] = False
    assert SlidingWindows(states, 2, mask).scored_values(static) == 6 * 4 - 1 + 2 * 4
