"""What is seen at other times of the same rollouts."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation.interpolation import lagrange
from cotwin.estimation.observation.observation import Observation

SLACK = 1e-6
"""Of a step, within which two times are the same."""


class Shifted(Observation):
    """What another observation sees, so many steps later: y = H u(· + steps · dt), and of that some of the values.

    steps: may lie between two steps, and is then interpolated in time as `Points` does.
    rows: which of the values, (M,). Raises ValueError if there are none.
    """

    rows: Tensor
    index: Tensor
    weight: Tensor

    def __init__(self, whole: Observation, steps: float, rows: Tensor) -> None:
        if not len(rows):
            raise ValueError(f"of what is seen {steps:g} steps later nothing is left; give rows of it.")
        super().__init__(
            whole.layout,
            whole.num_trajectories,
            math.ceil(whole.num_steps + steps - SLACK),
            whole.trajectory[rows],
            whole.time[rows] + steps * whole.layout.dt,
            whole.channel[rows],
        )
        self.whole = whole
        places = torch.arange(whole.num_steps + 1, dtype=torch.float64, device=rows.device) + steps
        stencil = lagrange(places, self.num_steps + 1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("index", stencil.index, persistent=False)
        self.register_buffer("weight", stencil.weight, persistent=False)

    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        self.require_states(states)
        parts = states.index_select(1, self.index.flatten()).unflatten(1, self.index.shape)
        weight = self.weight.to(states.dtype).view(*self.weight.shape, *[1] * (states.dim() - 2))
        seen: Tensor = self.whole((parts * weight).sum(dim=2))
        return seen.index_select(0, self.rows)


def going_on(whole: Observation, steps: int, ending: Tensor) -> Shifted:
    """The same observation, so many steps longer: the pattern of its last steps again, of the trajectories `ending`.

    steps: at most as many as it has. Where it has not seen all steps of that time, perhaps nothing: ValueError.
    """
    after = steps * whole.layout.dt
    last = whole.time.max() + SLACK * whole.layout.dt
    return Shifted(whole, steps, ((whole.time + after > last) & ending[whole.trajectory]).nonzero().flatten())


def in_between(whole: Observation) -> Shifted:
    """Values in the middle between the times that are seen, which are as far apart as their median says.

    Raises ValueError where there is one time alone.
    """
    times = whole.time.unique()
    apart = float(times.diff().median()) / whole.layout.dt if len(times) > 1 else 0.0
    last = times[-1] + SLACK * whole.layout.dt
    rows = (whole.time + apart / 2 * whole.layout.dt <= last).nonzero().flatten()
    return Shifted(whole, apart / 2, rows if apart else rows[:0])
