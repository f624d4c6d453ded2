"""Tells a network where on the grid it is: a convolution alone treats all places alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.layout import Field, Layout

HARMONICS = 2


class WithPositions(nn.Module):
    """A network that is given the coordinates as further, static channels.

    Where a coefficient, a forcing or an obstacle varies over the domain, the next state depends on the place;
    without coordinates a convolutional network could only learn an average over the places.

    Along a periodic axis the channels are sin and cos of 2πk ξ, k = 1 … 2, ξ = (x − lower) / (upper − lower),
    so that the ends meet; along any other axis 2ξ − 1.

    build: makes the network from a layout; it gets the layout with the positions as static fields.
    axes: along which it is told; None for all.

    >>> from cotwin.networks.convolution import ResidualConvNet
    >>> layout = Layout.box([Field("u")], grid=(64,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    >>> WithPositions(layout, lambda wider: ResidualConvNet(wider, width=8))(torch.randn(2, 1, 64)).shape
    torch.Size([2, 1, 64])
    """

    channels: Tensor

    def __init__(
        self, layout: Layout, build: Callable[[Layout], nn.Module], axes: Collection[int] | None = None
    ) -> None:
        super().__init__()
        channels = position_channels(layout, range(layout.dims) if axes is None else axes)
        self.register_buffer("channels", channels, persistent=False)
        positions = tuple(Field(f"position {channel}", static=True) for channel in range(len(channels)))
        self.network = build(replace(layout, fields=(*layout.fields, *positions)))

    def forward(self, state: Float[Tensor, "B C *S"], *numbers: Float[Tensor, "B K"]) -> Float[Tensor, "B D *S"]:
        positions = self.channels.to(state.dtype).expand(state.shape[0], *self.channels.shape)
        output: Tensor = self.network(torch.cat((state, positions), dim=1), *numbers)
        return output


def position_channels(layout: Layout, axes: Collection[int]) -> Float[Tensor, "P *S"]:
    """The coordinates of every grid point along some axes, as numbers of order one."""
    channels = []
    for axis in sorted(axes):
        length = layout.upper[axis] - layout.lower[axis]
        along = (torch.tensor(layout.points(axis), dtype=torch.float64) - layout.lower[axis]) / length
        shape = [1] * layout.dims
        shape[axis] = -1
        place = along.reshape(shape).expand(layout.grid)
        if layout.is_periodic(axis):
            for harmonic in range(1, HARMONICS + 1):
                angle = 2 * math.pi * harmonic * place
                channels += [angle.sin(), angle.cos()]
        else:
            channels.append(2 * place - 1)
    return torch.stack(channels).float()
