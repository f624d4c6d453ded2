"""Waves that meet the boundaries: Fourier along periodic axes, cosines and sines between walls."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.layout import Field, Layout

Parity = tuple[bool, bool]
"""Whether a field is continued oddly, to be zero there, beyond the lower and the upper end; else evenly."""


class Series:
    """Coefficients of a state's channels in products over the axes of waves that meet the boundaries.

    x in [0, 1] along an axis. Periodic: exp(2πi k x). Else cos(πkx) where a channel is even at both ends, sin(πkx)
    where it is odd at both, cos(π(k + ½)x) and sin(π(k + ½)x) where it is odd at the upper or the lower one alone.
    Odd at a dirichlet end; even at a neumann, robin or outflow one, but a vector's component along the axis is odd at
    a neumann end, where a mirror turns it round. Staggered velocities are odd on the faces that are walls and even
    along them, and so is what they carry. The fluid then slips, until a first step of the flow stops it; but a cosine
    of the one component goes with a sine of the other, as it has to where there is no divergence.

    staggered: fields whose component a lies on the face below its cell along axis a.

    Coefficients are (B, C, *K): K of a periodic axis is its points, of another one more than its points, so that an
    index means one k in every channel. Exact, to rounding: `to_grid(to_waves(u))` is u where u is zero at odd ends
    that are points of the grid. A factor that all channels have in common, one for each wave, therefore leaves alone
    whatever is linear between channels and the same everywhere: a correlation, a velocity free of divergence.
    """

    def __init__(self, layout: Layout, staggered: Collection[str] = ()) -> None:
        self.layout = layout
        self.around = [axis + 2 for axis in range(layout.dims) if layout.is_periodic(axis)]
        self.walls = {
            axis + 2: _between_walls(layout, axis, staggered)
            for axis in range(layout.dims)
            if not layout.is_periodic(axis)
        }

    @property
    def size(self) -> tuple[int, ...]:
        """*K."""
        return tuple(points + (not self.layout.is_periodic(axis)) for axis, points in enumerate(self.layout.grid))

    @property
    def shells(self) -> Int[Tensor, "*K"]:
        """Of each wave its wavenumber's length, in the largest that one period of an axis, or half of one, has."""
        squares, units = torch.zeros((), dtype=torch.float64), []
        for axis, count in enumerate(self.size):
            around = self.layout.is_periodic(axis)
            units.append((2.0 if around else 1.0) / (self.layout.upper[axis] - self.layout.lower[axis]))
            orders = torch.arange(count, dtype=torch.float64)
            orders = torch.minimum(orders, count - orders) if around else orders
            squares = squares[..., None] + (units[-1] * orders).square()
        return (squares.sqrt() / max(units)).round().long()

    def to_waves(self, states: Float[Tensor, "B C *S"]) -> Tensor:
        """Coefficients, complex where an axis is periodic; in double precision."""
        waves = states.double()
        for dim, (_, analysis) in self.walls.items():
            waves = _along(waves, dim, analysis)
        return torch.fft.fftn(waves, dim=self.around, norm="forward") if self.around else waves

    def to_grid(self, waves: Tensor) -> Float[Tensor, "B C *S"]:
        """States of given coefficients, in double precision."""
        states = torch.fft.ifftn(waves, dim=self.around, norm="forward").real if self.around else waves
        for dim, (synthesis, _) in self.walls.items():
            states = _along(states, dim, synthesis)
        return states

    def noise(self, count: int, generator: torch.Generator) -> Tensor:
        """A standard normal factor for each wave, (count, 1, *K), the same in all channels; of complex ones |g|² is
        one in the mean, and those of k and −k are conjugate."""
        white = torch.randn(count, 1, *self.size, generator=generator, dtype=torch.float64)
        return torch.fft.fftn(white, dim=self.around, norm="ortho") if self.around else white


def parity(layout: Layout, axis: int, channel: int, staggered: Collection[str] = ()) -> Parity:
    """How a channel goes on beyond the ends of an axis with walls; see `Series`."""
    field, component = _component(layout, channel)
    across = field.components > 1 and component == axis
    if staggered:
        odd = {"dirichlet"} if across and field.name in staggered else set()
    else:
        odd = {"dirichlet", "neumann"} if across else {"dirichlet"}
    lower, upper = layout.sides(axis)
    return lower in odd, upper in odd


def on_faces(layout: Layout, axis: int, channel: int, staggered: Collection[str]) -> bool:
    """Whether a channel's points along an axis are the faces below the cells."""
    field, component = _component(layout, channel)
    return field.name in staggered and component == axis


def _component(layout: Layout, channel: int) -> tuple[Field, int]:
    return [(field, component) for field in layout.fields for component in range(field.components)][channel]


def _between_walls(
    layout: Layout, axis: int, staggered: Collection[str]
) -> tuple[Float[Tensor, "C *ones K n"], Float[Tensor, "C *ones n K"]]:
    """Of each channel the waves of an axis at its points, of unit mean square, and the matrix that undoes them."""
    nodes, ones = layout.has_nodes(axis), [1] * (layout.dims - 1)
    waves = [
        _waves(
            layout.grid[axis],
            parity(layout, axis, channel, staggered),
            nodes,
            on_faces(layout, axis, channel, staggered),
        )
        for channel in range(layout.channels)
    ]
    synthesis = torch.stack(waves)
    analysis = torch.linalg.pinv(synthesis)
    points, orders = layout.grid[axis], layout.grid[axis] + 1
    return synthesis.view(-1, *ones, orders, points), analysis.view(-1, *ones, points, orders)


def _waves(points: int, odd: Parity, nodes: bool, faces: bool) -> Float[Tensor, "K n"]:
    """Rows of zeros for orders that there are not, or that the points cannot tell from others."""
    first = 0.0 if nodes or faces else 0.5
    places = (torch.arange(points, dtype=torch.float64) + first) / (points - nodes)
    orders = torch.arange(points + 1, dtype=torch.float64)
    shifted = orders + 0.5 * (odd[0] != odd[1])
    angles = math.pi * shifted[:, None] * places
    waves = math.sqrt(2) * (angles.sin() if odd[0] else angles.cos())
    lowest = int(odd == (True, True))
    independent = points - (sum(odd) if nodes else int(faces and odd[0]))
    waves[(orders < lowest) | (orders >= lowest + independent)] = 0.0
    waves[shifted == 0] /= math.sqrt(2)
    return waves


def _along(values: Tensor, dim: int, matrix: Tensor) -> Tensor:
    """Products along one axis with a matrix for each channel."""
    return (values.movedim(dim, -1)[..., None, :] @ matrix).squeeze(-2).movedim(-1, dim)
