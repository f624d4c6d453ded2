"""Layouts, states and observations of every kind, for the tests of observations."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cotwin.estimation.observation import (
    Boxes,
    Grid,
    Instants,
    Joined,
    Observation,
    Points,
    Regions,
    Weighted,
    box_region,
)
from cotwin.layout import Boundary, Field, Layout

DT = 0.25


def layout(*grid: int, boundary: Boundary | tuple[Boundary, ...] = "neumann") -> Layout:
    """Of u, which moves, a static k, and v, which moves too, on [1, 3] along each axis."""
    fields = [Field("u"), Field("k", static=True), Field("v")]
    extent = [(1, 3)] * len(grid)
    return Layout.box(fields, grid=grid, extent=extent, boundary=boundary, dt=DT, space_unit="m", time_unit="s")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def random_states(observation: Observation, *batch: int) -> Tensor:
    shape = (*batch, *observation.states_shape)
    return torch.randn(shape, generator=generator(), dtype=torch.float64)


def sampled(spaces: Layout, num_steps: int, function: Callable[..., Tensor]) -> Tensor:
    """States (1, T, C, *S), all channels function(t, x, y, …)."""
    axes = [torch.arange(num_steps + 1).double() * spaces.dt]
    axes += [torch.tensor(spaces.points(axis), dtype=torch.float64) for axis in range(spaces.dims)]
    values = function(*torch.meshgrid(*axes, indexing="ij"))
    return values[None, :, None].expand(1, -1, spaces.channels, *spaces.grid)


def anywhere(spaces: Layout, count: int) -> Tensor:
    """Positions (count, dims) all over the domain."""
    share = torch.rand(count, spaces.dims, generator=generator(), dtype=torch.float64)
    return torch.tensor(spaces.lower) + share * (torch.tensor(spaces.upper) - torch.tensor(spaces.lower))


def times_up_to(last: float, count: int) -> Tensor:
    return torch.rand(count, generator=generator(), dtype=torch.float64) * last


def of_every_kind() -> dict[str, Observation]:
    spaces = layout(6, 5, boundary=("periodic", "neumann"))
    mask = torch.rand(2, 5, *spaces.state_shape, generator=generator()) < 0.3
    times = torch.tensor([0.3, 0.5, 0.9])
    boxes = torch.stack([box_region(spaces, [(1.2, 2.0), (1.0, 1.7)]), box_region(spaces, [(2.5, 3.5), (2, 3)])])
    points = Points.of_sensors(spaces, anywhere(spaces, 4), times, ["v", "u"], num_trajectories=2)
    means = Regions.means(spaces, boxes, times[:2], ["v"], num_trajectories=2)
    return {
        "grid": Grid(spaces, 2, 4),
        "masked grid": Grid(spaces, 2, 4, mask=mask, first=0),
        "instants": Instants(
            spaces, 2, 4, torch.tensor([0, 0, 1, 1]), torch.tensor([0.0, 1.3, 2.0, 3.7]), mask[:, :2].flatten(0, 1)
        ),
        "points": points,
        "sums": Regions.sums(spaces, boxes, times, ["u", "v"], num_trajectories=2),
        "means": means,
        "boxes": boxes_of(spaces),
        "weighted": Weighted(points, 0.5 + torch.rand(points.size, generator=generator())),
        "joined": Joined(means, points, Grid(spaces, 2, 3)),
    }


def boxes_of(spaces: Layout) -> Boxes:
    """In the plane, the last of no width: of points that lie in their cells, across the ends, and on one."""
    lower = torch.tensor([[1.0, 1.0], [1.3, 2.1], [2.9, 1.5], [2.2, 2.5]], dtype=torch.float64)
    upper = lower + torch.tensor([[2.0, 2.0], [0.1, 0.9], [0.7, 0.0], [0.0, 0.0]])
    times, rollout = torch.tensor([0.3, 0.5, 0.9, 1.0]), torch.tensor([0, 1, 1, 0])
    return Boxes(spaces, lower, upper, times, torch.tensor([0, 2, 2, 0]), rollout, num_trajectories=2)


def wave(kind: Boundary) -> Callable[[Tensor], Tensor]:
    """A smooth function on [1, 3] that meets the boundary; with `dirichlet` its second derivative is not zero."""
    if kind == "periodic":
        return lambda x: torch.sin(math.pi * x) + 0.3 * torch.cos(2 * math.pi * x)
    if kind == "dirichlet":
        return lambda x: (x - 1) * (3 - x) * torch.exp(x / 2)
    return lambda x: torch.cos(math.pi * (x - 1) / 2)
