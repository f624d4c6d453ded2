"""A teacher and a learner that cost next to nothing, so that what is measured is the placement."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from windows import BATCH, SHAPE

from cotwin.layout import Field, Layout
from cotwin.parameters import Positive
from cotwin.physics import Heat
from cotwin.stepper import Stepper
from cotwin.training.descent import GradientDescent
from cotwin.training.held_out import HeldOut
from cotwin.training.loss import RolloutLoss
from cotwin.training.trainer import Trainer
from cotwin.windows import PickedStates, RolloutWindows, SlidingWindows

STEPS = SHAPE[0] - 1
LAYOUT = Layout.box(
    [Field("a"), Field("b"), Field("c")], grid=(64, 64), extent=[(0, 1), (0, 1)], boundary="periodic", dt=0.01
)


class Drift(Stepper):
    """u(t + dt) = u + one number."""

    def __init__(self) -> None:
        super().__init__(LAYOUT)
        self.rate = nn.Parameter(torch.zeros(()))

    def forward(self, state: Tensor) -> Tensor:
        return state + self.rate


def new_trainer() -> Trainer:
    learner = Drift()
    return Trainer(
        learner,
        RolloutLoss(torch.ones(LAYOUT.channels)),
        HeldOut(torch.randn(1, 2, *LAYOUT.state_shape)),
        descent=GradientDescent(torch.optim.Adam(learner.parameters(), lr=1e-3)),
        batch_size=BATCH,
        validate_every=1_000_000,
    )


def teach(real: SlidingWindows, count: int, substeps: int = 1) -> RolloutWindows:
    """So many windows that a heat equation generates, from real states, each as often as need be."""
    teacher = Heat(LAYOUT, Positive(torch.tensor(0.01)), substeps).eval().requires_grad_(False)
    states = real.starts()
    order = torch.arange(count) % len(states)
    return RolloutWindows(teacher, PickedStates(states.states, states.order[order]), STEPS)
