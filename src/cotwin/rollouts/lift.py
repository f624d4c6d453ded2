"""States of a grid on a finer one of the same domain: what `data.coarsen` takes back, exactly.

Points of a periodic axis: trigonometric interpolation, spectrally accurate; the coarse points are among the fine.
Cells between walls or open ends: a polynomial with the mean of each of five cells around, whose integrals over the
fine cells are taken; their mean is the coarse cell's. Fifth order, from inside alone, so that it suits every wall.
Nodes, and faces along their normal: cubic polynomials through four, fourth order. Cells of a staggered grid along
periodic axes: as between walls, with the cells around the end.
Source: Trefethen (2000), Spectral Methods in MATLAB, chapter 3; Colella & Woodward (1984), J. Comput. Phys. 54 for
means from means.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.data.coarsen import normal_axes, require_cells
from cotwin.layout import Layout
from cotwin.physics.projection import closed, with_end_face

CELLS, FACES = 5, 4  # in the stencils


def lifted(
    states: Float[Tensor, "B C *S"], layout: Layout, factor: int, staggered: Collection[str] = ()
) -> Float[Tensor, "B C *F"]:
    """States of the layout at `factor` times as many points along each axis.

    staggered: vector fields on faces, as `Stepper.staggered` names them; `factor` is then odd along periodic axes.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(2,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    >>> lifted(torch.tensor([[[1.0, -1.0]]]), layout, 2)
    tensor([[[ 1.,  0., -1.,  0.]]])
    """
    if factor == 1:
        return states
    if not staggered:
        for axis in range(2, layout.dims + 2):
            if layout.is_periodic(axis - 2):
                states = _trigonometric(states, axis, factor)
            else:
                states = (_nodes if layout.has_nodes(axis - 2) else _cells)(states, axis, factor)
        return states
    require_cells(layout, factor)
    channels = enumerate(normal_axes(layout, staggered))
    return torch.cat([_staggered(states, *channel, layout, factor) for channel in channels], dim=1)


def _staggered(
    states: Float[Tensor, "B C *S"], channel: int, normal: int | None, layout: Layout, factor: int
) -> Float[Tensor, "B 1 *F"]:
    """One channel, at cells, or on the faces across its normal axis."""
    values = states[:, channel : channel + 1]
    if normal is not None:
        # All faces along the axis, one more than cells. Of open ends the last lies where the flow has no divergence.
        velocity = states[:, channel - normal : channel - normal + layout.dims]
        whole = with_end_face(velocity, layout)[:, normal : normal + 1]
        for across, points in enumerate(layout.grid):
            if across != normal:
                whole = whole.narrow(across + 2, 0, points)
        values = closed(whole, normal, layout.axis_kinds[normal])
    for axis, ends in enumerate(layout.boundary, start=2):
        around = ends == "periodic"
        lift = _faces if axis - 2 == normal else _cells
        values = lift(values, axis, factor, around)
        if around:
            # The fine cells of the first coarse one begin before the first point.
            values = values.roll(-(factor // 2), axis)
    return values


def _trigonometric(values: Float[Tensor, "*S"], axis: int, factor: int) -> Float[Tensor, "*F"]:
    points = values.shape[axis]
    spectrum = torch.fft.rfft(values, dim=axis, norm="forward")
    if points % 2 == 0:
        # On the finer grid the highest mode has a partner of negative frequency; each gets half.
        share = torch.ones(points // 2 + 1, dtype=values.dtype, device=values.device)
        share[-1] = 0.5
        spectrum = spectrum * share.view(-1, *[1] * (values.ndim - 1 - axis))
    fine: Tensor = torch.fft.irfft(spectrum, n=factor * points, dim=axis, norm="forward")
    return fine


def _cells(values: Float[Tensor, "*S"], axis: int, factor: int, around: bool = False) -> Float[Tensor, "*F"]:
    """Means over fine cells from means over cells."""
    count = values.shape[axis]
    return _applied(values, axis, *_stencils(count, count, min(CELLS, count), factor, around, _means_of_means))


def _faces(values: Float[Tensor, "*S"], axis: int, factor: int, around: bool = False) -> Float[Tensor, "*F"]:
    """Values on each face and those up to the next, from all faces along the axis, the last included."""
    count = values.shape[axis]
    nodes = count - 1 if around else count  # around the end the last face is the first
    return _applied(values, axis, *_stencils(count - 1, nodes, min(FACES, nodes), factor, around, _between_nodes))


def _nodes(values: Float[Tensor, "*S"], axis: int, factor: int) -> Float[Tensor, "*F"]:
    """Values at nodes and between them; the last lies on the end."""
    return torch.cat([_faces(values, axis, factor), values.narrow(axis, -1, 1)], dim=axis)


def _applied(values: Tensor, axis: int, index: Tensor, weights: Tensor) -> Tensor:
    """Of each stencil its values times the weights of the fine places, one after the other."""
    last = values.movedim(axis, -1)
    around = last.index_select(-1, index.flatten().to(values.device)).unflatten(-1, tuple(index.shape))
    return torch.einsum("...np,nfp->...nf", around, weights.to(values)).flatten(-2).movedim(-1, axis)


@cache
def _stencils(
    count: int, nodes: int, size: int, factor: int, around: bool, weigh: Callable[[int, int, int], Tensor]
) -> tuple[Int[Tensor, "N P"], Float[Tensor, "N F P"]]:
    """For each of `count` coarse places the indices of its stencil among `nodes`, and weights for its fine places.

    In the middle of its stencil, but beside an end that nothing goes around.
    """
    place = torch.arange(count)
    middle = (size - 1) // 2
    first = place - middle if around else (place - middle).clamp(0, nodes - size)
    weights = torch.stack([weigh(size, offset, factor) for offset in range(size)])
    return (first[:, None] + torch.arange(size)) % nodes, weights[place - first]


def _means_of_means(size: int, offset: int, factor: int) -> Float[Tensor, "F P"]:
    """Of the fine cells in cell `offset`, from `size` cells: differences of their integral, a polynomial."""
    ends = offset + torch.arange(factor + 1, dtype=torch.float64) / factor
    integral = _lagrange(ends, size + 1) @ torch.ones(size + 1, size, dtype=torch.float64).tril(-1)
    return factor * integral.diff(dim=0)


def _between_nodes(size: int, offset: int, factor: int) -> Float[Tensor, "F P"]:
    """At node `offset` of `size` and at the fine places up to the next."""
    return _lagrange(offset + torch.arange(factor, dtype=torch.float64) / factor, size)


def _lagrange(x: Float[Tensor, " F"], nodes: int) -> Float[Tensor, "F N"]:
    """The values at x of the polynomials that are one at one of 0, 1, …, nodes − 1 and zero at the others."""
    at = torch.arange(nodes, dtype=torch.float64)
    same = torch.eye(nodes, dtype=torch.bool)
    ratios = (x[:, None, None] - at) / (at[:, None] - at).masked_fill(same, 1.0)
    return ratios.masked_fill(same, 1.0).prod(dim=-1)
