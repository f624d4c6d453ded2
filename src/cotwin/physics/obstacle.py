"""Solid cells that a field moves around: faces between solid and fluid let nothing through."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout


def require_obstacle(obstacle: str | None, layout: Layout) -> None:
    """Raise ValueError unless it is the name of a static field of one component."""
    if obstacle is None:
        return
    static = [field.name for field in layout.fields if field.static and field.components == 1]
    if obstacle not in static:
        raise ValueError(
            f"obstacle is {obstacle!r}; it names a static field, one in solid cells and zero in fluid ones, and the "
            f"layout has {', '.join(static) or 'no static field'}."
        )


def solid_cells(state: Float[Tensor, "B C *S"], obstacle: str, layout: Layout) -> Bool[Tensor, "B 1 *S"]:
    """Where the field that is called so is above a half."""
    channel = layout.channel_names.index(obstacle)
    return state[:, channel : channel + 1] > 0.5


def open_faces(solid: Bool[Tensor, "B 1 *S"], layout: Layout, dtype: torch.dtype) -> list[Float[Tensor, "B 1 *F"]]:
    """Of each axis: one on faces between fluid cells and at the ends of the domain, zero on others."""
    found = []
    for axis in range(layout.dims):
        dim, fluid = axis + 2, (~solid).to(dtype)
        first, last = fluid.narrow(dim, 0, 1), fluid.narrow(dim, -1, 1)
        inside = fluid.narrow(dim, 0, layout.grid[axis] - 1) * fluid.narrow(dim, 1, layout.grid[axis] - 1)
        # At an end a solid cell may exchange with the wall: it reaches no other.
        ends = first * last if layout.is_periodic(axis) else torch.ones_like(first)
        found.append(torch.cat([ends, inside, ends], dim=dim))
    return found
