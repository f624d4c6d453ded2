"""What enters from outside: f in ∂u/∂t = … + f, in the unit of u over time; negative, it leaves."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.channels import by_channel
from cotwin.physics.time_steps import CellMap


def require_source(source: Parameter | None, layout: Layout) -> None:
    """Raise ValueError unless it is a scalar or a field for all moving channels, or a vector of one for each."""
    if source is None:
        return
    shape, moving = tuple(source().shape), layout.static_channels.count(False)
    if shape not in ((), layout.grid, (moving,), (moving, *layout.grid)):
        fields = ", ".join(map(str, (moving, *layout.grid)))
        raise ValueError(
            f"source of shape {shape} is neither a scalar nor a field on the grid {layout.grid}, nor one of "
            f"these for each of {moving} moving channels, ({moving},) or ({fields})."
        )


def source_change(
    source: Parameter | None, layout: Layout, like: Float[Tensor, "B M *S"], interval: float
) -> Float[Tensor, "*B M *F"] | None:
    """interval · f, as it broadcasts against the moving channels; None without a source."""
    if source is None:
        return None
    value, dims = source().to(like.dtype) * interval, layout.dims
    if value.ndim in (0, dims + 2) or tuple(value.shape) == layout.grid:
        return value
    return by_channel(value, dims)


def with_source(change: CellMap, entering: Tensor | None) -> CellMap:
    """The change, and what enters meanwhile."""
    # Not in place: what depends on a batched parameter cannot be added so to what does not.
    return change if entering is None else lambda cells: change(cells) + entering
