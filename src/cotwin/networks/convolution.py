"""A residual convolutional network that keeps the grid."""

from __future__ import annotations

from itertools import repeat
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from cotwin.layout import Layout
from cotwin.networks.modulation import Modulation, modulated
from cotwin.networks.padding import PaddedConv, from_image, to_image
from cotwin.registry import Count, Few, Sizes, network
from cotwin.seeds import torch_seeded


@network("resnet")
class ResidualConvNet(nn.Module):
    """h ← h + c₂(gelu(c₁(gelu(h)))), `depth` times, between a lift to `width` features and a projection.

    Maps all channels of a layout, (B, C, *S), to its dynamic ones, (B, D, *S), in one to three dimensions.
    c₁ and c₂ are convolutions; block b has the dilation dilations[b mod len]. A value depends on the points
    up to (kernel_size − 1)·(½ + Σ_b dilation_b) away along each axis: 62 with the defaults on a large grid.

    No normalisation layers: batch statistics would make two reads of one window differ, and statistics
    over the grid would tie every point to all others.

    width: features of each point. depth: blocks.
    dilations: of the blocks in turn. None for 1, 2, 4, 8 as far as kernels then reach no more than a periodic axis.
    kernel_size: points of a kernel along each axis, odd. 3 is cheaper in two dimensions.
    numbers: how many it is told beside the state; they modulate the features within each block.
    seed: of the initial weights. The projection starts near zero, so a `Surrogate` starts near persistence.
    Source: He et al. (2016), Identity mappings in deep residual networks; Yu & Koltun (2016), dilation.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(64,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    >>> ResidualConvNet(layout)(torch.randn(2, 1, 64)).shape
    torch.Size([2, 1, 64])
    """

    sizes: ClassVar[Sizes] = {
        "tiny": {"width": 16, "depth": 4},
        "small": {"width": 32, "depth": 4},
        "base": {"width": 64, "depth": 6},
    }

    def __init__(
        self,
        layout: Layout,
        width: Few = 32,
        depth: Few = 4,
        kernel_size: Count = 5,
        dilations: tuple[Count, ...] | None = None,
        seed: int = 0,
        numbers: int = 0,
    ) -> None:
        super().__init__()
        if dilations is None:
            dilations = (1, *(dilation for dilation in (2, 4, 8) if _fits(layout, kernel_size, dilation)))
        if depth < 1 or not dilations:
            raise ValueError(f"depth is {depth} and dilations {dilations}; a network needs one block at least.")
        outputs = layout.static_channels.count(False)
        with torch_seeded(seed):
            self.lift = PaddedConv(layout, layout.channels, width, kernel_size)
            self.blocks = nn.Sequential(
                *(_Block(layout, width, kernel_size, dilations[block % len(dilations)]) for block in range(depth))
            )
            self.project = PaddedConv(layout, width, outputs, kernel_size=1)
            self.modulation = Modulation(numbers, [width] * depth) if numbers else None
        start_near_zero(self.project)
        self.layout = layout

    def forward(
        self, state: Float[Tensor, "B C *S"], numbers: Float[Tensor, "B K"] | None = None
    ) -> Float[Tensor, "B D *S"]:
        features = self.lift(to_image(state))
        layers = repeat(None) if self.modulation is None else self.modulation(numbers)
        for block, by in zip(self.blocks, layers, strict=False):
            features = block(features, by)
        return from_image(self.project(gelu(features)), self.layout)


class _Block(nn.Module):
    def __init__(self, layout: Layout, width: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.first = PaddedConv(layout, width, width, kernel_size, dilation)
        self.second = PaddedConv(layout, width, width, kernel_size, dilation)

    def forward(
        self, features: Float[Tensor, "B C *I"], by: Float[Tensor, "B _"] | None = None
    ) -> Float[Tensor, "B C *I"]:
        change: Tensor = self.second(gelu(modulated(self.first(gelu(features)), by)))
        return features + change


def _fits(layout: Layout, kernel_size: int, dilation: int) -> bool:
    """Whether a kernel reaches no more than half of any periodic axis to each side."""
    reach = dilation * (kernel_size - 1)
    return all(reach <= points for axis, points in enumerate(layout.grid) if layout.is_periodic(axis))


def start_near_zero(last: PaddedConv) -> None:
    """Scale a network's last layer so that it starts at about a hundredth of its usual output.

    Not zero: then no other layer would have a gradient in the first step.
    """
    with torch.no_grad():
        last.convolution.weight.mul_(0.01)
        if last.convolution.bias is not None:
            last.convolution.bias.zero_()
