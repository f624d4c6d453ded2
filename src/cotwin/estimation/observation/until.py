"""The first part of an observation."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation.observation import Observation

AHEAD = 2
"""Steps after a time that its interpolation may use."""


class Until(Observation):
    """What another observation sees up to a time, of rollouts as short as that allows.

    rows: which of its values these are, (M,).
    Raises ValueError if nothing is seen up to then.
    """

    rows: Tensor

    def __init__(self, whole: Observation, time: float) -> None:
        rows = (whole.time <= time).nonzero().flatten()
        if not len(rows):
            raise ValueError(f"nothing is observed up to {time:g}, the first is at {float(whole.time.min()):g}.")
        last = float(whole.time[rows].max()) / whole.layout.dt
        steps = min(whole.num_steps, math.ceil(last - 1e-6) + AHEAD)
        super().__init__(
            whole.layout, whole.num_trajectories, steps, whole.trajectory[rows], whole.time[rows], whole.channel[rows]
        )
        self.whole = whole
        self.register_buffer("rows", rows, persistent=False)

    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        self.require_states(states)
        missing = self.whole.num_steps - self.num_steps
        # What comes later is not seen, so it may be anything.
        later = states[:, -1:].expand(-1, missing, *states.shape[2:])
        seen: Tensor = self.whole(torch.cat([states, later], dim=1))
        return seen.index_select(0, self.rows)
