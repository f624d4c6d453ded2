"""A Fourier neural operator: waves are mixed wave by wave, what is near by a convolution, features point by point."""

from __future__ import annotations

import math
from itertools import repeat
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu

from cotwin.layout import Layout
from cotwin.networks.convolution import start_near_zero
from cotwin.networks.modulation import Modulation, modulated
from cotwin.networks.padding import PaddedConv, from_image, to_image
from cotwin.registry import Count, Few, Sizes, network
from cotwin.seeds import torch_seeded


@network("fno")
class FourierOperator(nn.Module):
    """h ← h + c₂ gelu(c₁ gelu(h) + Σ_a F_a⁻¹ R_a F_a gelu(h)), `depth` times, between a lift and a projection.

    Maps all channels of a layout, (B, C, *S), to its dynamic ones, (B, D, *S), in one to three dimensions and on any
    grid. F_a is the Fourier transform along axis a, R_a a complex matrix for each of its longest waves; c₁ is a
    convolution, c₂ a map of the features at each point. Between walls a state is continued by its mirror image: it is
    seen by cosines of half waves, and answered by cosines and sines, so no jump at a wall rings through the domain.
    The mean is no wave: it would tie every point to one number that few trajectories vary. Weights do not depend on
    the grid, as long as it resolves the waves. Transforms are products of real matrices: of few waves they are as
    fast as fast transforms, and can be exported.

    width: features of each point. depth: blocks.
    modes: waves along each axis, half waves twice as many between walls; at most those that the grid resolves.
    kernel_size: points of the convolution along each axis, odd.
    numbers: how many it is told beside the state; they modulate the features within each block.
    seed: of the initial weights. The projection starts near zero, so a `Surrogate` starts near persistence.
    Source: Li et al. (2021), arXiv:2010.08895; Tran et al. (2023), arXiv:2111.13802, for one axis at a time, the
    residual blocks and c₂.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(33, 20), extent=[(0, 1)] * 2, boundary="neumann", dt=0.1)
    >>> FourierOperator(layout, width=4)(torch.randn(2, 1, 33, 20)).shape
    torch.Size([2, 1, 33, 20])
    """

    sizes: ClassVar[Sizes] = {
        "tiny": {"width": 16, "depth": 3, "modes": 8},
        "small": {"width": 24, "depth": 4, "modes": 12},
        "base": {"width": 48, "depth": 6, "modes": 16},
    }

    def __init__(
        self,
        layout: Layout,
        width: Few = 24,
        depth: Few = 4,
        modes: Few = 12,
        kernel_size: Count = 3,
        seed: int = 0,
        numbers: int = 0,
    ) -> None:
        super().__init__()
        outputs = layout.static_channels.count(False)
        with torch_seeded(seed):
            self.lift = PaddedConv(layout, layout.channels, width, kernel_size)
            self.blocks = nn.ModuleList(_Block(layout, width, modes, kernel_size) for _ in range(depth))
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
    def __init__(self, layout: Layout, width: int, modes: int, kernel_size: int) -> None:
        super().__init__()
        # An axis of two points has no wave but the mean and one that is as short as the grid.
        axes = (axis for axis in range(layout.dims) if len(phases_along(layout, axis, modes)[0]))
        self.far = nn.ModuleList(WaveMixing(layout, axis, width, modes) for axis in axes)
        self.near = PaddedConv(layout, width, width, kernel_size)
        self.mixed = PaddedConv(layout, width, width, kernel_size=1)

    def forward(
        self, features: Float[Tensor, "B C *I"], by: Float[Tensor, "B _"] | None = None
    ) -> Float[Tensor, "B C *I"]:
        active = gelu(features)
        total: Tensor = self.near(active)
        for mixing in self.far:
            total = total + mixing(active)
        change: Tensor = self.mixed(gelu(modulated(total, by)))
        return features + change


class WaveMixing(nn.Module):
    """F⁻¹ R F along one axis of images: what each wave has of the features, times a complex matrix of its own."""

    phases: Tensor
    share: Tensor

    def __init__(self, layout: Layout, axis: int, width: int, modes: int) -> None:
        super().__init__()
        phases, self.turn = phases_along(layout, axis, modes)
        # Integers, which no precision rounds; with rounded waves shifts would not commute in double precision.
        self.register_buffer("phases", phases, persistent=False)
        length = layout.upper[axis] - layout.lower[axis]
        self.register_buffer("share", torch.tensor(layout.widths(axis)) / length, persistent=False)
        self.axis, self.periodic, count = axis - layout.dims - 1, layout.is_periodic(axis), len(phases)
        scale = 1 / math.sqrt(2 * width)
        self.real = nn.Parameter(scale * torch.randn(count, width, width))
        self.imaginary = nn.Parameter(scale * torch.randn(count, width, width))

    def forward(self, image: Float[Tensor, "B C *I"]) -> Float[Tensor, "B C *I"]:
        angles = self.phases.to(image.dtype) * (2 * math.pi / self.turn)
        cosines, sines = angles.cos(), -angles.sin()
        # (N, B, …, C): the axis that is transformed first, features last.
        values = image.movedim(1, -1).movedim(self.axis, 0)
        points, *between, width = values.shape
        sides = torch.cat([cosines, sines]) if self.periodic else cosines
        spectrum = (sides * self.share) @ values.reshape(points, -1)
        even, *odd = spectrum.view(-1, math.prod(between), width).split(len(cosines))
        real, imaginary = torch.bmm(even, self.real), torch.bmm(even, self.imaginary)
        for part in odd:
            real, imaginary = real - torch.bmm(part, self.imaginary), imaginary + torch.bmm(part, self.real)
        answer = torch.cat([real, imaginary]).view(2 * len(cosines), -1)
        back = 2 * torch.cat([cosines, sines]).T @ answer
        return back.view(values.shape).movedim(0, self.axis).movedim(-1, 1)


def phases_along(layout: Layout, axis: int, modes: int) -> tuple[Int[Tensor, "K N"], int]:
    """Of each wave along an axis the phase at each point, and how much of it is a whole turn.

    Waves are exp(2πikξ) along a periodic axis, exp(πikξ) between walls; k from 1 on.
    """
    points, each = layout.grid[axis], torch.arange(layout.grid[axis])
    if layout.is_periodic(axis):
        # The shortest wave of an even grid has no sine: it cannot be shifted.
        count, place, turn = min(modes, (points - 1) // 2), each, points
    elif layout.has_nodes(axis):
        count, place, turn = min(2 * modes, points - 2), each, 2 * (points - 1)
    else:
        count, place, turn = min(2 * modes, points - 1), 2 * each + 1, 4 * points
    return torch.arange(1, count + 1)[:, None] * place % turn, turn
