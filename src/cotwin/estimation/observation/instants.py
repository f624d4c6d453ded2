"""All of the grid at times of each rollout's own."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.estimation.observation.interpolation import lagrange
from cotwin.estimation.observation.lattice import Lattice
from cotwin.estimation.observation.observation import Observation, moving_channels, require_trajectories
from cotwin.estimation.observation.times import time_notes, time_of
from cotwin.layout import Layout

CUBIC = 4
"""Points of a polynomial in time."""


class Instants(Observation):
    """Every moving channel at every grid point, at K times: y = (Σ_k w_k u_k)[mask], in the order of the states.

    Between two steps by the cubic polynomial through the four around, fourth order where states are smooth in time.

    num_trajectories: B. num_steps: how many steps the rollouts take.
    rollout: which one each state is of, (K,). steps: when, in steps from its start, 0 to num_steps, (K,).
    mask: true where a value is seen, (K, C, *S). Of static channels nothing is.
    points: of a polynomial; four but to see what the interpolation leaves.

    Raises ValueError where shapes or times do not fit, and if nothing is seen.
    """

    moving: Tensor
    rollout: Tensor
    steps: Tensor
    mask: Tensor
    index: Tensor
    entry: Tensor
    weight: Tensor

    def __init__(
        self,
        layout: Layout,
        num_trajectories: int,
        num_steps: int,
        rollout: Int[Tensor, " K"],
        steps: Float[Tensor, " K"],
        mask: Bool[Tensor, "K C *S"],
        points: int = CUBIC,
    ) -> None:
        require_trajectories(num_trajectories)
        if tuple(mask.shape) != (len(steps), *layout.state_shape) or rollout.shape != steps.shape:
            raise ValueError(
                f"rollout, steps and mask have the shapes {tuple(rollout.shape)}, {tuple(steps.shape)} and "
                f"{tuple(mask.shape)}; give (K,), (K,) and (K, C, *grid)."
            )
        if len(steps) and not bool(((steps >= 0) & (steps <= num_steps)).all()):
            raise ValueError(f"steps reach from {steps.min():g} to {steps.max():g}; give 0 to {num_steps}.")
        seen = torch.zeros_like(mask)
        moving = moving_channels(layout)
        seen[:, moving] = mask[:, moving]
        index = seen.flatten().nonzero()[:, 0]
        if not len(index):
            raise ValueError("nothing is seen: the mask is false for all moving channels.")
        size = math.prod(layout.state_shape)
        state = index // size
        super().__init__(
            layout,
            num_trajectories,
            num_steps,
            trajectory=rollout[state],
            time=time_of(steps.double()[state], layout),
            channel=index % size // math.prod(layout.grid),
            notes=time_notes(steps.double(), num_steps, layout),
        )
        self.points = points
        stencil = lagrange(steps.double(), num_steps + 1, points)
        self.register_buffer("rollout", rollout, persistent=False)
        self.register_buffer("steps", steps.double(), persistent=False)
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("entry", stencil.index, persistent=False)
        self.register_buffer("weight", stencil.weight, persistent=False)

    def through(self, in_time: int, in_space: int) -> Instants:
        if in_time == self.points or not bool((self.steps != self.steps.round()).any()):
            return self
        return Instants(
            self.layout, self.num_trajectories, self.num_steps, self.rollout, self.steps, self.mask, in_time
        )

    def values(self, states: Float[Tensor, "K C *S"]) -> Float[Tensor, " M"]:
        """Of states that were recorded at these times."""
        return states.reshape(-1).index_select(0, self.index)

    def places(self) -> Float[Tensor, "M dims"]:
        places = self._indices()[2:]
        axes = [self.time.new_tensor(self.layout.points(axis)) for axis in range(self.layout.dims)]
        return torch.stack([points[place] for points, place in zip(axes, places, strict=True)], dim=1)

    def lattices(self) -> list[tuple[slice, Lattice]]:
        state, channel, *places = self._indices()
        order = torch.argsort(self.steps, stable=True)
        order = order[self.rollout[order].argsort(stable=True)]
        begin = torch.searchsorted(self.rollout[order].contiguous(), self.rollout)
        turn = torch.empty_like(order)
        turn[order] = torch.arange(len(order), device=order.device)
        along = {f"along {'xyz'[axis]}": place for axis, place in enumerate(places)}
        series = self.rollout[state] * self.layout.channels + channel
        return [(slice(0, self.size), Lattice.of(series, {"in time": (turn - begin)[state], **along}))]

    def _indices(self) -> tuple[Tensor, ...]:
        """Of each value: the state, the channel, and the point axis by axis."""
        return torch.unravel_index(self.index, (len(self.steps), *self.layout.state_shape))

    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        self.require_states(states)
        weight = self.weight.to(states.dtype).view(*self.weight.shape, *[1] * (states.dim() - 2))
        return self.values((states[self.rollout[:, None], self.entry] * weight).sum(dim=1))
