"""A small teacher with batch statistics and dropout, so that eval mode matters."""

from __future__ import annotations

from torch import Tensor, nn

from cotwin.layout import Field, Layout
from cotwin.stepper import Stepper


class Teacher(Stepper):
    def __init__(self) -> None:
        layout = Layout.box([Field("u"), Field("v")], grid=(16,), extent=[(0, 1)], boundary="periodic", dt=0.1)
        super().__init__(layout)
        self.step = nn.Sequential(
            nn.Conv1d(2, 8, 3, padding=1, padding_mode="circular"),
            nn.BatchNorm1d(8),
            nn.Dropout(0.5),
            nn.Tanh(),
            nn.Conv1d(8, 2, 1),
        )

    def forward(self, state: Tensor) -> Tensor:
        return state + 0.1 * self.step(state)
