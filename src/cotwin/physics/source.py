"""What enters from outside: f in ∂u/∂t = … + f, in the unit of u over time; negative, it leaves."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Vector
from cotwin.parameters.outside import Flowing, flowing
from cotwin.physics.channels import by_channel
from cotwin.physics.time_steps import CellMap

Entering = Callable[[], Tensor]
"""What enters in the present substep, as it broadcasts against the moving channels or their spectrum."""


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
    source: Parameter | None,
    layout: Layout,
    like: Float[Tensor, "B M *S"],
    interval: float,
    seen_as: Callable[[Tensor], Tensor] = lambda value: value,
) -> Entering | None:
    """interval · f of the present substep, as it broadcasts against the moving channels; None without a source.

    seen_as: what of it is asked for, of one or of many at once.
    """
    if source is None:
        return None
    if isinstance(source, Vector) and len(source.components) == 1:
        return source_change(source.components[0], layout, like, interval, seen_as)
    if isinstance(source, Flowing):
        return source.clock.follow(lambda some: seen_as(source.means(some).to(like.dtype) * interval), source.size)
    present = _made_of_parts(source, layout, like, interval)
    if changing := flowing(source):
        return changing[0].clock.follow(lambda _: [seen_as(present())])
    always = seen_as(present())
    return lambda: always


def _made_of_parts(source: Parameter, layout: Layout, like: Float[Tensor, "B M *S"], interval: float) -> Entering:
    if isinstance(source, Vector):
        parts = [source_change(part, layout, like, interval) for part in source.components]
        return lambda: by_channel([part() for part in parts if part is not None], layout.dims)

    def present() -> Tensor:
        value = source().to(like.dtype) * interval
        alike = value.ndim in (0, layout.dims + 2) or tuple(value.shape) == layout.grid
        return value if alike else by_channel(value.unbind(), layout.dims)

    return present


def with_source(change: CellMap, entering: Entering | None) -> CellMap:
    """The change, and what enters meanwhile."""
    # Not in place: what depends on a batched parameter cannot be added so to what does not.
    return change if entering is None else lambda cells: change(cells) + entering()
