"""Sums and means over regions of space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation.interpolation import lagrange
from cotwin.estimation.observation.observation import Observation, named_channels, require_trajectories
from cotwin.estimation.observation.times import steps_at, time_notes, time_of
from cotwin.layout import Layout


class Regions(Observation):
    """Weighted sums over the grid at some times, y = Σ_x w_r(x) u_c(x, t).

    `Regions.sums` and `Regions.means` make the weights of integrals and of means; here they are any numbers.

    weights: w (R, *S), one value for each of a channel's grid points, wherever those lie in their cells.
    times: t (T,), in `layout.time_unit`, 0 at the start; between two steps by cubic polynomials, as `Points` has
    them. channels: names. Every rollout is seen, and of them all grid points of those steps: NaN anywhere in a
    state is NaN in all of its values.
    Values in the order of (B, T, R, channels), into which they may be viewed.

    Raises ValueError for weights of another shape, not finite or zero throughout a region, and for a time before the
    start or a channel that there is not.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 2)], boundary="neumann", dt=0.1)
    >>> half = box_region(layout, [(0, 1)])[None]
    >>> states = torch.arange(8.0).view(1, 2, 1, 4)
    >>> Regions.means(layout, half, torch.tensor([0.1]), ["u"])(states)
    tensor([4.5000])
    >>> Regions.sums(layout, half, torch.tensor([0.1]), ["u"])(states)
    tensor([4.5000])
    """

    weights: Tensor
    seen: Tensor
    steps: Tensor
    in_time: Tensor

    def __init__(
        self,
        layout: Layout,
        weights: Float[Tensor, "R *S"],
        times: Float[Tensor, " T"],
        channels: Sequence[str],
        num_trajectories: int = 1,
    ) -> None:
        require_trajectories(num_trajectories)
        _require_regions(layout, weights)
        steps, num_steps = steps_at(times, layout)
        seen = named_channels(layout, channels).to(times.device)
        shape = (num_trajectories, len(times), len(weights), len(seen))
        rollouts = torch.arange(num_trajectories, device=times.device)[:, None, None, None]
        super().__init__(
            layout,
            num_trajectories,
            num_steps,
            trajectory=rollouts.expand(shape).flatten(),
            time=time_of(steps, layout)[:, None, None].expand(shape).flatten(),
            channel=seen.expand(shape).flatten(),
            notes=time_notes(steps, num_steps, layout),
        )
        stencil = lagrange(steps, num_steps + 1)
        needed, place = torch.unique(stencil.index, return_inverse=True)
        in_time = torch.zeros(len(times), len(needed), dtype=torch.float64, device=times.device)
        self.register_buffer("weights", weights.double().flatten(1), persistent=False)
        self.register_buffer("seen", seen, persistent=False)
        self.register_buffer("steps", needed, persistent=False)
        self.register_buffer("in_time", in_time.scatter_add_(1, place, stencil.weight), persistent=False)

    @classmethod
    def sums(
        cls,
        layout: Layout,
        weights: Float[Tensor, "R *S"],
        times: Float[Tensor, " T"],
        channels: Sequence[str],
        num_trajectories: int = 1,
    ) -> Regions:
        """Integrals over regions, Σ_x w_r(x) u(x) ΔV, ΔV = Π Δx; in the field's unit times length^dims.

        weights: the share of each cell that is in the region (`box_region`), not negative.
        """
        _require_shares(layout, weights)
        return cls(layout, weights.double() * _volumes(layout).to(weights.device), times, channels, num_trajectories)

    @classmethod
    def means(
        cls,
        layout: Layout,
        weights: Float[Tensor, "R *S"],
        times: Float[Tensor, " T"],
        channels: Sequence[str],
        num_trajectories: int = 1,
    ) -> Regions:
        """Means over regions, Σ_x w_r(x) u(x) ΔV / Σ_x w_r(x) ΔV, in the field's unit; weights as for `sums`."""
        _require_shares(layout, weights)
        parts = weights.double() * _volumes(layout).to(weights.device)
        whole = parts.flatten(1).sum(dim=1).view(-1, *[1] * layout.dims)
        return cls(layout, parts / whole, times, channels, num_trajectories)

    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        self.require_states(states)
        weights, in_time = self.weights.to(states.dtype), self.in_time.to(states.dtype)
        chosen = states.index_select(1, self.steps).index_select(2, self.seen).flatten(3)
        return torch.einsum("tu,bucr->btrc", in_time, chosen @ weights.mT).flatten()


def box_region(layout: Layout, ends: Sequence[tuple[float, float]]) -> Float[Tensor, "*S"]:
    """The share of each cell that lies in a box, 0 to 1; Σ ΔV over them is the box's volume.

    ends: (low, high) along each axis, in `layout.space_unit`. A box may lie across the ends of a periodic axis:
    (0.9, 1.2) on [0, 1). The cells of periodic axes have the grid points in their middles too.
    Raises ValueError for an empty box, one that leaves the domain, or not one pair for each axis.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 4)], boundary="neumann", dt=0.1)
    >>> box_region(layout, [(0.5, 2)])
    tensor([0.5000, 1.0000, 0.0000, 0.0000], dtype=torch.float64)
    """
    if len(ends) != layout.dims:
        raise ValueError(f"the box has {len(ends)} pairs of ends, the layout {layout.dims} axes; give one for each.")
    shares = torch.ones((), dtype=torch.float64)
    for axis, (low, high) in enumerate(ends):
        bottom, length = layout.lower[axis], layout.upper[axis] - layout.lower[axis]
        periodic = layout.is_periodic(axis)
        latest = low + length if periodic else layout.upper[axis]
        if not (bottom <= low < high <= latest and low <= layout.upper[axis]):
            raise ValueError(
                f"the box reaches from {low} to {high} along axis {axis}, the domain from {bottom} to "
                f"{layout.upper[axis]}; give ends inside, the lower one first"
                + (", or up to one period above it." if periodic else ".")
            )
        dx = torch.tensor(layout.widths(axis), dtype=torch.float64)
        below = torch.tensor(layout.points(axis), dtype=torch.float64) - layout.spacing[axis] / 2
        below = below.clamp(min=bottom) if layout.has_nodes(axis) else below
        share = torch.zeros_like(below)
        for turn in range(3 if periodic else 1):
            cell = below + turn * length
            share += (cell + dx).clamp(max=high).sub(cell.clamp(min=low)).clamp(min=0) / dx
        shares = shares[..., None] * share
    return shares


def _volumes(layout: Layout) -> Float[Tensor, "*S"]:
    """Of the points' cells."""
    volumes = torch.ones((), dtype=torch.float64)
    for axis in range(layout.dims):
        volumes = volumes[..., None] * torch.tensor(layout.widths(axis), dtype=torch.float64)
    return volumes


def _require_regions(layout: Layout, weights: Tensor) -> None:
    if not len(weights) or tuple(weights.shape[1:]) != layout.grid:
        raise ValueError(
            f"weights have the shape {tuple(weights.shape)}; give (regions, *grid), here (regions, "
            f"{', '.join(map(str, layout.grid))}), for one region or more: torch.stack([box_region(…), …])."
        )
    bad = ~weights.isfinite().flatten(1).all(dim=1)
    if bad.any():
        raise ValueError(f"region {int(bad.nonzero()[0])} has weights that are not finite; give zero outside of it.")
    empty = (weights == 0).flatten(1).all(dim=1)
    if empty.any():
        raise ValueError(
            f"region {int(empty.nonzero()[0])} is empty: its weight is zero in every cell; leave it out, or let it "
            "reach into a cell."
        )


def _require_shares(layout: Layout, weights: Tensor) -> None:
    _require_regions(layout, weights)
    negative = (weights < 0).flatten(1).any(dim=1)
    if negative.any():
        raise ValueError(
            f"region {int(negative.nonzero()[0])} has negative weights; a weight is the share of a cell that is in "
            "the region. For other sums give them to Regions itself."
        )
