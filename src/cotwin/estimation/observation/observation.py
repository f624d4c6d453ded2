"""The contract of all observations, and what their constructors check alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cotwin.estimation.observation.lattice import Lattice, ranked
from cotwin.layout import Layout


class Observation(nn.Module, ABC):
    """What is seen of rollouts: y = H u, a linear map of their states to M values.

    u: states (B, T, C, *S) of B rollouts, T = num_steps + 1, the start included. H is a pure function of them, in
    their precision and on their device; forward and reverse derivatives and `torch.func.vmap` see through it.

    layout: of the states.
    num_trajectories: B. num_steps: how many steps the rollouts must take.
    trajectory, time, channel: for each value, which rollout it is from; when, in `layout.time_unit`, zero at the
    start and in double precision; and which channel it has the unit, and the noise, of.
    Buffers: moved by `.to(device)`, and not to be converted, since times in single precision would be rounded.
    notes: what a person should be told, such as that times lie between two steps.

    The values of states that were recorded are found in the same way: `values = observation(recorded)`.
    """

    layout: Layout
    num_trajectories: int
    num_steps: int
    trajectory: Int[Tensor, " M"]
    time: Float[Tensor, " M"]
    channel: Int[Tensor, " M"]
    notes: tuple[str, ...]

    def __init__(
        self,
        layout: Layout,
        num_trajectories: int,
        num_steps: int,
        trajectory: Int[Tensor, " M"],
        time: Float[Tensor, " M"],
        channel: Int[Tensor, " M"],
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.layout, self.num_trajectories, self.num_steps = layout, num_trajectories, num_steps
        self.register_buffer("trajectory", trajectory, persistent=False)
        self.register_buffer("time", time.double(), persistent=False)
        self.register_buffer("channel", channel, persistent=False)
        self.notes = tuple(notes)

    @property
    def size(self) -> int:
        """M, the number of values."""
        return len(self.time)

    @property
    def states_shape(self) -> tuple[int, ...]:
        """Shape of the states it is given, (B, T, C, *S)."""
        return (self.num_trajectories, self.num_steps + 1, *self.layout.state_shape)

    def lattices(self) -> list[tuple[slice, Lattice]]:
        """Which values lie beside each other, for parts of the values that follow each other.

        Here in time, and in their order those of one rollout, channel and time.
        """
        series, time = self.trajectory * self.layout.channels + self.channel, ranked(self.time)
        places = {"in time": time, "in the order of the values": _turns(torch.stack([series.double(), self.time]))}
        return [(slice(0, self.size), Lattice.of(series, places))]

    def places(self) -> Float[Tensor, "M dims"]:
        """Where each value is, in `layout.space_unit`. Raises ValueError where values have no place of their own."""
        raise ValueError(
            f"{type(self).__name__} sees no points, and a discrepancy has to know where each value is: leave the "
            "discrepancy out, or observe by Grid or Points (a class of yours: give it places())."
        )

    def through(self, in_time: int, in_space: int) -> Observation:
        """The same, interpolated by polynomials through so many points; itself where that interpolates nothing."""
        return self

    @abstractmethod
    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        """The values. Raises ValueError as `require_states` does."""

    def require_states(self, states: Tensor) -> None:
        """Raise ValueError unless states have the shape `states_shape`, and the device of the observation."""
        if tuple(states.shape) != self.states_shape:
            raise ValueError(
                f"states of shape {tuple(states.shape)} were given, {type(self).__name__} sees {self.states_shape}: "
                f"{self.num_trajectories} rollouts of {self.num_steps} steps, with their start. "
                f"Make them by rollout(stepper, starts, num_steps={self.num_steps})."
            )
        if states.device != self.time.device:
            raise ValueError(
                f"the states are on {states.device}, {type(self).__name__} on {self.time.device}; move one of them: "
                f"observation.to(states.device)."
            )

    if TYPE_CHECKING:  # torch declares that calling a module may return anything

        def __call__(self, states: Tensor) -> Tensor: ...


def _turns(columns: Float[Tensor, "K M"]) -> Int[Tensor, " M"]:
    """How many of the columns before each are equal to it."""
    _, which, count = torch.unique(columns, dim=1, return_inverse=True, return_counts=True)
    order = which.argsort(stable=True)
    turns = torch.empty_like(order)
    turns[order] = torch.arange(len(order), device=order.device) - (count.cumsum(0) - count)[which[order]]
    return turns


def require_trajectories(num_trajectories: int) -> None:
    """Raise ValueError unless there is a rollout."""
    if num_trajectories < 1:
        raise ValueError(f"num_trajectories is {num_trajectories}; observe at least one rollout.")


def moving_channels(layout: Layout) -> list[int]:
    """The channels of the fields that change in time."""
    return [channel for channel, static in enumerate(layout.static_channels) if not static]


def named_channels(layout: Layout, names: Sequence[str]) -> Int[Tensor, " N"]:
    """The channels of these names. Raises ValueError for a name that no moving channel has, or for none at all."""
    moving = {layout.channel_names[channel]: channel for channel in moving_channels(layout)}
    for name in names:
        if name not in moving:
            what = "static, thus given and nothing to observe" if name in layout.channel_names else "unknown"
            raise ValueError(f"channel {name!r} is {what}; give a list of names among {', '.join(moving)}.")
    if not names:
        raise ValueError(f"no channel is observed; give a list of names among {', '.join(moving)}.")
    return torch.tensor([moving[name] for name in names])
