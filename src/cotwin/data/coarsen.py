"""States of a finer grid on a coarser one of the same domain."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout


def coarsened(
    states: Float[Tensor, "N T C *F"], layout: Layout, factor: int, staggered: Collection[str] = ()
) -> Float[Tensor, "N T C *S"]:
    """States of a grid `factor` times finer, on the layout's.

    Points of periodic axes, and nodes, are among the fine ones; elsewhere they are centres of cells, whose mean is
    taken.
    staggered: vector fields whose component a lies on the face below its cell along axis a, as `Stepper.staggered`
    names them. With any, all else is a mean of cells along every axis, and a face the mean of those that make it up:
    what passes is kept, so a flow without divergence has none on the coarse grid.
    Raises ValueError for states of another grid than the layout's refined by the factor.
    """
    if tuple(states.shape[3:]) != layout.refined(factor).grid:
        raise ValueError(
            f"states on the grid {tuple(states.shape[3:])} are not {factor} times as fine as {layout.grid}; a rest "
            "would be dropped."
        )
    if staggered:
        return _flow(states, layout, factor, staggered)
    for axis, ends in enumerate(layout.boundary, start=3):
        if layout.has_nodes(axis - 3):
            states = states.index_select(axis, torch.arange(0, states.shape[axis], factor, device=states.device))
            continue
        cells = states.unflatten(axis, (-1, factor))
        states = cells.select(axis + 1, 0) if ends == "periodic" else cells.mean(dim=axis + 1)
    return states.contiguous()


def _flow(
    states: Float[Tensor, "N T C *F"], layout: Layout, factor: int, staggered: Collection[str]
) -> Float[Tensor, "N T C *S"]:
    require_cells(layout, factor)
    channels = []
    for channel, normal in zip(states.unbind(2), normal_axes(layout, staggered), strict=True):
        for axis in range(layout.dims):
            if layout.is_periodic(axis):
                # The fine cells of the first coarse one begin before the first point.
                channel = channel.roll(factor // 2, axis + 2)
            cells = channel.unflatten(axis + 2, (-1, factor))
            channel = cells.select(axis + 3, 0) if axis == normal else cells.mean(dim=axis + 3)
        channels.append(channel)
    return torch.stack(channels, dim=2)


def require_cells(layout: Layout, factor: int) -> None:
    """Raise ValueError unless the cells of a staggered grid can be made up of `factor` along each axis."""
    if "periodic" in layout.kinds and factor % 2 == 0:
        raise ValueError(
            f"a cell of a staggered grid cannot be made up of {factor} along a periodic axis: its middle is that of "
            f"a fine one; take an odd number of them, such as {factor + 1} (refine)."
        )


def normal_axes(layout: Layout, staggered: Collection[str]) -> list[int | None]:
    """For each channel the axis across whose faces it lies; None for those at centres."""
    return [axis if field.name in staggered else None for field in layout.fields for axis in range(field.components)]
