"""Means over boxes of space, each with a place and a time of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.estimation.observation.interpolation import (
    Stencil,
    gathered,
    lagrange,
    periodic_lagrange,
    places_of,
    trimmed,
)
from cotwin.estimation.observation.lattice import Lattice, ranked
from cotwin.estimation.observation.observation import Observation, require_trajectories
from cotwin.estimation.observation.points import require_fit, require_inside, states_at
from cotwin.estimation.observation.times import steps_at, time_notes, time_of
from cotwin.layout import Layout

WEIGHTS = 2**28
"""Entries of all stencils, at most."""


class Boxes(Observation):
    """The mean over one box of one channel at one time for each value, y_m = ⟨u_c(·, t_m)⟩ over [lower_m, upper_m].

    lower, upper: (M, dims), in `layout.space_unit`; where both are the same along an axis, the value there, as
    `Points` has it. Across the ends of a periodic axis upper lies above the domain, by less than a period.
    times, channel, trajectory, num_trajectories: as of `Points`.

    Each cell, or control volume of a node, counts by the part of it that lies in the box: second order.
    Raises ValueError as `Points` does, and for boxes of more cells than there is memory for.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 2)], boundary="neumann", dt=0.1)
    >>> ends, time = torch.tensor([[0.0], [1.25]]), torch.tensor([0.1])
    >>> Boxes(layout, ends[:1], ends[1:], time, torch.tensor([0]))(torch.arange(8.0).view(1, 2, 1, 4))
    tensor([4.8000])
    """

    index: Tensor
    weight: Tensor
    lower: Tensor
    upper: Tensor

    def __init__(
        self,
        layout: Layout,
        lower: Float[Tensor, "M dims"],
        upper: Float[Tensor, "M dims"],
        times: Float[Tensor, " M"],
        channel: Int[Tensor, " M"],
        trajectory: Int[Tensor, " M"] | None = None,
        num_trajectories: int = 1,
        points: tuple[int, int] = (4, 4),
    ) -> None:
        require_trajectories(num_trajectories)
        steps, num_steps = steps_at(times, layout)
        which = torch.zeros_like(channel) if trajectory is None else trajectory.long()
        require_fit(layout, lower, times, channel, which, num_trajectories)
        _require_boxes(layout, lower, upper)
        stencil = states_at(layout, which, lagrange(steps, num_steps + 1, points[0]), num_steps, channel)
        for axis, count in enumerate(layout.grid):
            stencil = stencil.inside(_along(layout, axis, lower[:, axis], upper[:, axis], points[1]), count)
        super().__init__(
            layout,
            num_trajectories,
            num_steps,
            which,
            time_of(steps, layout),
            channel.clone(),
            time_notes(steps, num_steps, layout),
        )
        self.points = points
        self.between = (bool((steps != steps.round()).any()), bool((lower == upper).any()))
        self.register_buffer("index", stencil.index, persistent=False)
        self.register_buffer("weight", stencil.weight, persistent=False)
        self.register_buffer("lower", lower.double(), persistent=False)
        self.register_buffer("upper", upper.double(), persistent=False)

    def through(self, in_time: int, in_space: int) -> Boxes:
        between = self.between
        points = (in_time if between[0] else self.points[0], in_space if between[1] else self.points[1])
        if points == self.points:
            return self
        return Boxes(
            self.layout,
            self.lower,
            self.upper,
            self.time,
            self.channel,
            self.trajectory,
            self.num_trajectories,
            points,
        )

    def lattices(self) -> list[tuple[slice, Lattice]]:
        middle = (self.lower + self.upper) / 2
        places = {f"along {'xyz'[axis]}": ranked(own) for axis, own in enumerate(middle.unbind(1))}
        series = self.trajectory * self.layout.channels + self.channel
        return [(slice(0, self.size), Lattice.of(series, {"in time": ranked(self.time), **places}))]

    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        self.require_states(states)
        return gathered(states, Stencil(self.index, self.weight))


def _along(layout: Layout, axis: int, low: Float[Tensor, " M"], high: Float[Tensor, " M"], points: int) -> Stencil:
    """Of the points along one axis, by the part of their cells that lies between; of a place the polynomial there."""
    count, spacing, first = layout.grid[axis], layout.spacing[axis], layout.points(axis)[0]
    places = places_of(low, first, spacing)
    there = periodic_lagrange(places, count, points) if layout.is_periodic(axis) else lagrange(places, count, points)
    begin = ((low - first) / spacing + 0.5).floor().clamp(min=0)
    most = int(((high - first) / spacing + 0.5 - begin).max().ceil()) + 1
    cells = begin[:, None] + torch.arange(max(most, there.index.shape[1]), device=low.device)
    edges = [first + (cells + half) * spacing for half in (-0.5, 0.5)]
    if layout.has_nodes(axis):
        edges = [one.clamp(layout.lower[axis], layout.upper[axis]) for one in edges]
    share = (edges[1].minimum(high[:, None]) - edges[0].maximum(low[:, None])).clamp(min=0)
    point = low == high
    weight = share / torch.where(point, 1.0, high - low)[:, None]
    index = cells.long() % count if layout.is_periodic(axis) else cells.long().clamp(max=count - 1)
    pad = (0, index.shape[1] - there.index.shape[1])
    own = [torch.nn.functional.pad(one, pad) for one in (there.index, there.weight)]
    return trimmed(torch.where(point[:, None], own[0], index), torch.where(point[:, None], own[1], weight))


def _require_boxes(layout: Layout, lower: Tensor, upper: Tensor) -> None:
    """Raise ValueError for boxes that leave the domain, and for more weights than there is memory for."""
    require_inside(layout, lower)
    ends = upper
    for axis in range(layout.dims):
        if layout.is_periodic(axis):
            period = layout.upper[axis] - layout.lower[axis]
            ends = ends.clone()
            ends[:, axis] -= torch.where(upper[:, axis] > layout.upper[axis], period, 0.0)
            if bool((upper[:, axis] - lower[:, axis] > period).any()):
                raise ValueError(f"a box is longer than the period along {'xyz'[axis]}; give at most {period:g}.")
    require_inside(layout, ends)
    if bool((upper < lower).any()):
        raise ValueError("a box ends below where it begins; give the lower end first.")
    spacing = lower.new_tensor(layout.spacing)
    entries = 4 * ((upper - lower) / spacing + 4).max(dim=0).values.prod() * len(lower)
    if float(entries) > WEIGHTS:
        raise ValueError(
            f"means over {len(lower):,} boxes take up to {float(entries):.2g} weights, of at most {WEIGHTS:.2g}; "
            "choose a coarser grid, or fewer of them."
        )
