"""Sources at points, as fields on a grid whose sum over the cells is what enters, exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters.parameter import Parameter

Source = Annotated[Parameter, "source"]
"""A parameter that a configuration may also give as rates at points."""


class _Points(Parameter, ABC):
    """f(x) = Σ_k q_k δ_h(x − x_k), δ_h a product over the axes. A subclass gives its factors as `shares`."""

    by_parts = True

    def __init__(self, rates: Parameter, places: tuple[int, ...], layout: Layout) -> None:
        super().__init__(rates.unit)
        shape = tuple(rates().shape)
        if len(shape) != 1 or places != (*shape, layout.dims):
            raise ValueError(
                f"rates {shape} and places {places} do not fit: n sources on {layout.dims} axes need (n,) and "
                f"(n, {layout.dims})."
            )
        self.rates, self.layout = rates, layout

    @abstractmethod
    def shares(self, axis: int, like: Tensor) -> Float[Tensor, "K N"]:
        """Of each source in each cell along an axis, over the cell's width; their integral is one."""

    def forward(self) -> Float[Tensor, "*S"]:
        rates, dims = self.rates(), self.layout.dims
        field = rates.view(-1, *[1] * dims) if rates.ndim == 1 else rates
        for axis in range(dims - 1):
            shares = self.shares(axis, rates)
            shape = [len(rates), *[1] * (field.ndim - 1)]
            shape[axis - dims] = shares.shape[1]
            field = field * shares.view(shape)
        # Summed over the sources with the last axis: a field of each would be far larger than all of them together.
        return torch.einsum("k...,kn->...n", field.squeeze(-1), self.shares(dims - 1, rates))


class PointSources(_Points):
    """Sources at known points, f(x) = Σ_k q_k δ_h(x − x_k).

    rates: q, of shape (n,): what enters at each point, in the unit of u times length^dims over time; negative, it is
    taken out. places: x, of shape (n, dims), in the layout's unit of length.
    δ_h: shares each source among the 2^dims cells around it, by their nearness along each axis; within half a cell of
    a wall the cell there takes all. Its integral is one wherever the point lies. It is no smooth function of the
    place: for unknown places there is `SpreadSources`.
    Source: Birdsall & Fuss (1969), J. Comput. Phys. 3, cloud in cell.

    >>> from cotwin.layout import Field
    >>> from cotwin.parameters import Known
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 2)], boundary="neumann", dt=0.1)
    >>> PointSources(Known(torch.tensor([1.0, 3.0])), [[0.875], [1.9]], layout)()
    tensor([0.0000, 1.5000, 0.5000, 6.0000])
    """

    batched = True

    def __init__(
        self, rates: Parameter, places: Float[Tensor, "K D"] | Sequence[Sequence[float]], layout: Layout
    ) -> None:
        places = torch.as_tensor(places, dtype=torch.float64)
        super().__init__(rates, tuple(places.shape), layout)
        for axis in range(layout.dims):
            self.register_buffer(f"shares_{axis}", _multilinear(places[:, axis], axis, layout), persistent=False)

    def shares(self, axis: int, like: Tensor) -> Float[Tensor, "K N"]:
        shares: Tensor = getattr(self, f"shares_{axis}")
        return shares.to(like.dtype)


class SpreadSources(_Points):
    """Sources of a given width, whose places may be unknown: f(x) = Σ_k q_k δ_h(x − x_k).

    rates: q, as for `PointSources`. places: x, of shape (n, dims), in the layout's unit of length.
    width: w, in the same unit. δ_h: proportional to exp(−|x − x_k|²/w²), with an integral of one over the cells, also
    at walls. A width below two cells hides the place from a search.
    """

    def __init__(self, rates: Parameter, places: Parameter, width: float, layout: Layout) -> None:
        super().__init__(rates, tuple(places().shape), layout)
        if not width >= 2 * max(layout.spacing):
            raise ValueError(
                f"width is {width}, and cells are up to {max(layout.spacing):.3g} wide; give two of them or more, or "
                "known places (PointSources)."
            )
        self.places, self.width = places, width
        for axis in range(layout.dims):
            points = torch.tensor(layout.points(axis), dtype=torch.float64)
            self.register_buffer(f"points_{axis}", points, persistent=False)

    def shares(self, axis: int, like: Tensor) -> Float[Tensor, "K N"]:
        points: Tensor = getattr(self, f"points_{axis}").to(like.dtype)
        away = points - self.places()[:, axis, None]
        side = self.layout.upper[axis] - self.layout.lower[axis]
        turns = (-1, 0, 1) if self.layout.is_periodic(axis) else (0,)
        nearness = torch.stack([-(((away + turn * side) / self.width) ** 2) for turn in turns]).logsumexp(dim=0)
        # softmax: far from all cells, too, something is left to be divided by.
        return torch.softmax(nearness, dim=1) / nearness.new_tensor(self.layout.widths(axis))


def _multilinear(places: Float[Tensor, "K"], axis: int, layout: Layout) -> Float[Tensor, "K N"]:
    """Shares in the two cells around each place, over the cell's width. Raises ValueError outside the domain."""
    low, high, count = layout.lower[axis], layout.upper[axis], layout.grid[axis]
    if not bool(((places >= low) & (places <= high)).all()):
        raise ValueError(f"places {places.tolist()} along axis {axis} are not all within the domain [{low}, {high}].")
    nearby = (places - layout.points(axis)[0]) / layout.spacing[axis]
    below = nearby.floor()
    shares = torch.zeros(len(places), count, dtype=torch.float64)
    for index, share in ((below, 1 - (nearby - below)), (below + 1, nearby - below)):
        cell = index.long()
        cell = cell % count if layout.is_periodic(axis) else cell.clamp(0, count - 1)
        shares.scatter_add_(1, cell[:, None], share[:, None])
    return shares / torch.tensor(layout.widths(axis), dtype=torch.float64)
