"""All of the grid, or the part of it that a mask leaves."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation.observation.lattice import Lattice
from cotwin.estimation.observation.observation import Observation, moving_channels, require_trajectories
from cotwin.estimation.observation.times import time_of
from cotwin.layout import Layout


class Grid(Observation):
    """Every moving channel at every grid point and step, y = u[mask], in the order of the states.

    num_trajectories: B. num_steps: how many steps are recorded. first: the first step that is seen; 0 to see the
    start too, for when it is estimated.
    mask: (B, T, C, *S), T = num_steps + 1, true where a value is seen; None for everywhere. Of static channels and
    of steps before the first nothing is seen, whatever it says.

    What is masked is never read: `Grid(layout, B, T - 1, mask=recorded.isfinite())(recorded)` are the values of
    recorded states with gaps of NaN. Raises ValueError if all is masked or the mask has another shape.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    >>> seen = Grid(layout, num_trajectories=1, num_steps=1)
    >>> seen(torch.arange(8.0).view(1, 2, 1, 4))
    tensor([4., 5., 6., 7.])
    """

    moving: Tensor
    index: Tensor | None

    def __init__(
        self,
        layout: Layout,
        num_trajectories: int,
        num_steps: int,
        mask: Bool[Tensor, "B T C *S"] | None = None,
        first: int = 1,
    ) -> None:
        require_trajectories(num_trajectories)
        if not 0 <= first <= num_steps:
            raise ValueError(f"the first step seen is {first} of a rollout of {num_steps}; give 0 to {num_steps}.")
        shape = (num_trajectories, num_steps + 1, *layout.state_shape)
        if mask is not None and (tuple(mask.shape) != shape or mask.dtype != torch.bool):
            raise ValueError(
                f"the mask has the shape {tuple(mask.shape)} and type {mask.dtype}; give (B, T, C, *grid) = {shape} "
                "of torch.bool, true where a value is seen."
            )
        seen = torch.zeros(shape, dtype=torch.bool) if mask is None else torch.zeros_like(mask)
        moving = torch.tensor(moving_channels(layout), device=seen.device)
        seen[:, first:, moving] = True if mask is None else mask[:, first:, moving]
        index = seen.flatten().nonzero()[:, 0]
        if not len(index):
            raise ValueError(
                "all observations are masked; give a mask that is true for at least one value of a moving channel at "
                f"steps {first} to {num_steps}."
            )
        points = seen[0, 0, 0].numel()
        step = index // (layout.channels * points) % (num_steps + 1)
        super().__init__(
            layout,
            num_trajectories,
            num_steps,
            trajectory=index // (layout.channels * points * (num_steps + 1)),
            time=time_of(step.double(), layout),
            channel=index // points % layout.channels,
        )
        self.first = first
        self.register_buffer("moving", moving, persistent=False)
        self.register_buffer("index", None if mask is None else index, persistent=False)

    def places(self) -> Float[Tensor, "M dims"]:
        _, _, _, *places = self._indices()
        axes = [self.time.new_tensor(self.layout.points(axis)) for axis in range(self.layout.dims)]
        return torch.stack([points[place] for points, place in zip(axes, places, strict=True)], dim=1)

    def lattices(self) -> list[tuple[slice, Lattice]]:
        trajectory, step, channel, *places = self._indices()
        along = {f"along {'xyz'[axis]}": place for axis, place in enumerate(places)}
        lattice = Lattice.of(trajectory * self.layout.channels + channel, {"in time": step - self.first, **along})
        return [(slice(0, self.size), lattice)]

    def _indices(self) -> tuple[Tensor, ...]:
        """Of each value in the states, axis by axis."""
        index = self.index
        if index is None:
            seen = torch.zeros(self.states_shape, dtype=torch.bool, device=self.time.device)
            seen[:, self.first :, self.moving] = True
            index = seen.flatten().nonzero()[:, 0]
        return torch.unravel_index(index, self.states_shape)

    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        self.require_states(states)
        if self.index is not None:
            return states.reshape(-1).index_select(0, self.index)
        return states[:, self.first :].index_select(2, self.moving).flatten()
