"""Local polynomials through grid points, as weights on the entries of an array."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Of the distance between two points: so near to one of them, it is met, and no polynomial is needed.
TOLERANCE = 1e-6
# How many entries of the states are gathered at once, so that many points do not need much memory.
BLOCK = 2**20


@dataclass(frozen=True)
class Stencil:
    """M weighted sums of entries of an array a: row m stands for Σ_k weight[m, k] a[index[m, k]].

    Entries of weight zero only fill the rows up; they repeat the row's first, so that no other is ever read: zero
    times NaN would be NaN.
    """

    index: Int[Tensor, "M K"]
    weight: Float[Tensor, "M K"]

    def inside(self, inner: Stencil, count: int) -> Stencil:
        """Of an array with one axis more, the last, of `count` entries, along which `inner` has the weights."""
        index = self.index[:, :, None] * count + inner.index[:, None, :]
        weight = self.weight[:, :, None] * inner.weight[:, None, :]
        return trimmed(index.flatten(1), weight.flatten(1))


def trimmed(index: Int[Tensor, "M L"], weight: Float[Tensor, "M L"]) -> Stencil:
    """The stencil without the entries whose weight is zero; K is the most that a row has of others."""
    needed = weight != 0
    count = int(needed.sum(dim=1).max())
    order = needed.byte().argsort(dim=1, descending=True, stable=True)[:, :count]
    index, weight = index.gather(1, order), weight.gather(1, order)
    return Stencil(torch.where(weight != 0, index, index[:, :1]), weight)


def places_of(
    values: Float[Tensor, "*M"], first: float | Float[Tensor, "*M"], distance: float
) -> Float[Tensor, "*M"]:
    """(values − first) / distance, in double precision: 0 on the first point, 1 on the second.

    Those that meet a point, to `TOLERANCE` or to the rounding of the numbers given, are put on it.
    """
    places = (values.double() - first) / distance
    slack = TOLERANCE + torch.finfo(values.dtype).eps * values.abs() / distance
    return torch.where((places - places.round()).abs() <= slack, places.round(), places)


def lagrange(places: Float[Tensor, " M"], count: int, points: int = 4) -> Stencil:
    """Lagrange interpolation between points 0, 1, …, count − 1: through four of them cubic, fourth order.

    On a point its value alone. Towards the ends the four points are the outermost four, beyond them their polynomial
    goes on; of fewer points than four the one through all of them. points: another, even number of them.
    Source: Press et al. (2007), Numerical Recipes, section 3.2.

    >>> lagrange(torch.tensor([1.5], dtype=torch.float64), count=4).weight
    tensor([[-0.0625,  0.5625,  0.5625, -0.0625]], dtype=torch.float64)
    """
    first = (places.floor() + 1 - points // 2).clamp(0, max(count - points, 0))
    return _through(places, first, min(count, points))


def periodic_lagrange(places: Float[Tensor, " M"], count: int, points: int = 4) -> Stencil:
    """The same with points that repeat after `count`; half of them on each side everywhere."""
    stencil = _through(places, places.floor() + 1 - points // 2, points)
    return Stencil(stencil.index % count, stencil.weight)


def gathered(states: Float[Tensor, "*B"], stencil: Stencil) -> Float[Tensor, " M"]:
    """The weighted sums of a stencil of the entries of states, in their precision."""
    entries, weight = states.reshape(-1), stencil.weight.to(states.dtype)
    rows = max(1, BLOCK // weight.shape[1])
    values = [
        (entries.index_select(0, index.flatten()).view(index.shape) * weights).sum(dim=1)
        for index, weights in zip(torch.split(stencil.index, rows), torch.split(weight, rows), strict=True)
    ]
    return torch.cat(values)


def _through(places: Tensor, first: Tensor, num_points: int) -> Stencil:
    nodes = torch.arange(num_points, device=places.device)
    away = (places - first)[:, None] - nodes
    weights = []
    for node in range(num_points):
        others = nodes[nodes != node]
        weights.append((away[:, others] / (node - others)).prod(dim=1))
    return trimmed(first.long()[:, None] + nodes, torch.stack(weights, dim=1))
