"""A U-Net: coarse levels see far, skip connections keep the detail."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, adaptive_avg_pool3d, gelu, interpolate

from cotwin.layout import Layout
from cotwin.networks.convolution import start_near_zero
from cotwin.networks.modulation import Modulation, modulated
from cotwin.networks.padding import PaddedConv, from_image, to_image
from cotwin.registry import Count, Few, Sizes, network
from cotwin.seeds import torch_seeded


@network("unet")
class UNet(nn.Module):
    """`levels` times to half the grid and twice the features, and back; each level joins its finer half.

    Maps all channels of a layout, (B, C, *S), to its dynamic ones, (B, D, *S), in one to three dimensions and on any
    grid. Half of n points is n/2 rounded up; two points stay two. Down by the mean of the points that a coarse one
    covers, 2, or 3 that overlap where n is odd; up by repeating each value. Where all halvings are even it commutes
    with shifts along periodic axes by multiples of 2^levels points; with others only about.

    width: features on the finest level.
    levels: halvings of the grid; ValueError names the most there can be. None for 3, or as many as there can be.
    numbers: how many it is told beside the state; they modulate the features within each stage.
    seed: of the initial weights. The last layer starts near zero, so a `Surrogate` starts near persistence.
    Source: Ronneberger et al. (2015), U-Net; without its batch statistics, see `ResidualConvNet`.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(64, 32), extent=[(0, 2), (0, 1)], boundary="periodic", dt=0.1)
    >>> UNet(layout, width=4)(torch.randn(2, 1, 64, 32)).shape
    torch.Size([2, 1, 64, 32])
    """

    sizes: ClassVar[Sizes] = {"tiny": {"width": 6}, "small": {"width": 12}, "base": {"width": 24}}

    def __init__(
        self,
        layout: Layout,
        width: Few = 16,
        levels: Few | None = None,
        kernel_size: Count = 3,
        seed: int = 0,
        numbers: int = 0,
    ) -> None:
        super().__init__()
        most = most_levels(layout.grid)
        levels = min(3, most) if levels is None else levels
        if not 1 <= levels <= most:
            raise ValueError(
                f"levels is {levels}; {layout.grid} points can be halved {most} times with two or more left. "
                + (f"Use 1 to {most}." if most else "Use a ResidualConvNet, which needs no halving.")
            )
        grids = [layout.grid]
        for _ in range(levels):
            grids.append(halved(grids[-1]))
        layouts = [replace(layout, grid=grid) for grid in grids]
        widths = [width * 2**level for level in range(levels + 1)]
        outputs = layout.static_channels.count(False)
        with torch_seeded(seed):
            self.down = nn.ModuleList(
                _Stage(layouts[level], inputs, widths[level], kernel_size)
                for level, inputs in enumerate([layout.channels, *widths[:-1]])
            )
            self.up = nn.ModuleList(
                _Stage(layouts[level], widths[level] + widths[level + 1], widths[level], kernel_size)
                for level in reversed(range(levels))
            )
            self.project = PaddedConv(layout, width, outputs, kernel_size=1)
            self.modulation = Modulation(numbers, [*widths, *widths[-2::-1]]) if numbers else None
        start_near_zero(self.project)
        self.layout, self.grids = layout, grids

    def forward(
        self, state: Float[Tensor, "B C *S"], numbers: Float[Tensor, "B K"] | None = None
    ) -> Float[Tensor, "B D *S"]:
        layers = repeat(None) if self.modulation is None else iter(self.modulation(numbers))
        features = self.down[0](to_image(state), next(layers))
        finer = []
        for stage, grid in zip(self.down[1:], self.grids[1:], strict=True):
            finer.append(features)
            features = stage(_coarsened(features, grid), next(layers))
        for stage in self.up:
            skipped = finer.pop()
            repeated = interpolate(features, size=skipped.shape[2:], mode="nearest-exact")
            features = stage(torch.cat((skipped, repeated), dim=1), next(layers))
        return from_image(self.project(gelu(features)), self.layout)


class _Stage(nn.Module):
    """s(h) + c₂(gelu(c₁(h))), s a pointwise change of width."""

    def __init__(self, layout: Layout, inputs: int, outputs: int, kernel_size: int) -> None:
        super().__init__()
        self.shortcut = PaddedConv(layout, inputs, outputs, kernel_size=1)
        self.first = PaddedConv(layout, inputs, outputs, kernel_size)
        self.second = PaddedConv(layout, outputs, outputs, kernel_size)

    def forward(
        self, features: Float[Tensor, "B C *I"], by: Float[Tensor, "B _"] | None = None
    ) -> Float[Tensor, "B D *I"]:
        shortcut: Tensor = self.shortcut(features)
        change: Tensor = self.second(gelu(modulated(self.first(features), by)))
        return shortcut + change


def halved(grid: tuple[int, ...]) -> tuple[int, ...]:
    """Half of the points along each axis, rounded up; two stay two.

    >>> halved((64, 13, 3, 2))
    (32, 7, 2, 2)
    """
    return tuple(max(2, (points + 1) // 2) for points in grid)


def most_levels(grid: tuple[int, ...]) -> int:
    """How often a grid can be halved until every axis has two points.

    >>> most_levels((64, 13)), most_levels((2,))
    (5, 0)
    """
    levels = 0
    while grid != halved(grid):
        grid, levels = halved(grid), levels + 1
    return levels


def _coarsened(image: Tensor, grid: tuple[int, ...]) -> Tensor:
    match grid:
        case (points,):
            return adaptive_avg_pool2d(image, (1, points))
        case (rows, columns):
            return adaptive_avg_pool2d(image, (rows, columns))
        case _:
            rows, columns, layers = grid
            return adaptive_avg_pool3d(image, (rows, columns, layers))
