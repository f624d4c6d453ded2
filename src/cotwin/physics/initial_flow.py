"""Random initial states of incompressible flow and smoke on a staggered grid."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cotwin.layout import Boundary, Layout
from cotwin.physics.channels import put_moving
from cotwin.physics.initial_patches import Radius, bells
from cotwin.physics.requirements import require_kinds
from cotwin.registry import PositiveFloat, sampler


@sampler("flow")
def random_flow(
    layout: Layout,
    count: int,
    generator: torch.Generator,
    *,
    modes: int = 4,
    amplitude: PositiveFloat = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "B C *S"]:
    """Smooth random velocities u = (∂ψ/∂y, −∂ψ/∂x), ψ(x) = Σ_k w(k) g_k e_k(x), independent standard normal g_k.

    e_k: products over the axes of 1, cos(2πkt), sin(2πkt) along a periodic axis, t = (x − lower)/length; of
    sin(πt) sin(2πkt) between walls, where the fluid then rests; of cos(2πkt) between open ends, which it passes
    straight; in these two k are halves of integers.
    w(k): proportional to exp(−2|k|²/modes²), k counted in periods of the domain, up to `modes`.
    amplitude: root mean square of |u|, in the mean over places and samples, in the velocity's unit.

    The differences are those of ψ at the corners of cells, so no cell has a divergence, to rounding. The draws do not
    depend on the grid: the same seed gives the same function at any resolution, to the accuracy of the mean square.
    The velocity is the first moving field; all else is zero.
    """
    _require_flow(layout, 2)
    if not 1 <= modes < min(layout.grid) / 2:
        raise ValueError(f"modes is {modes}; a grid of {layout.grid} resolves 1 to {(min(layout.grid) - 1) // 2}.")
    device = generator.device
    (at_x, k_x), (at_y, k_y) = (
        _corner_basis(kind, points, modes, device)
        for kind, points in zip(layout.axis_kinds, layout.grid, strict=True)
    )
    dx, dy = layout.spacing
    slope_x, slope_y = at_x.diff(dim=0) / dx, at_y.diff(dim=0) / dy
    at_x, at_y = at_x[:-1], at_y[:-1]
    weights = torch.exp(-2 * (k_x[:, None] ** 2 + k_y[None, :] ** 2) / modes**2)
    squares = [(at_x, slope_y), (slope_x, at_y)]
    powers = [x.square().mean(dim=0)[:, None] * y.square().mean(dim=0) for x, y in squares]
    weights = weights * (amplitude / (weights.square() * (powers[0] + powers[1])).sum().sqrt())
    draws = weights * torch.randn(count, *weights.shape, generator=generator, dtype=torch.float64, device=device)
    velocity = torch.stack([at_x @ draws @ slope_y.mT, -(slope_x @ draws @ at_y.mT)], dim=1)
    return _state(velocity.to(dtype), layout)


@sampler("smoke")
def random_smoke(
    layout: Layout,
    count: int,
    generator: torch.Generator,
    *,
    modes: int = 4,
    amplitude: Annotated[float, Field(ge=0)] = 1.0,
    thickness: PositiveFloat = 1.0,
    radius: Radius = 0.1,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "B C *S"]:
    """Velocities as `random_flow` draws them, and a puff of smoke, s = thickness exp(−|x − c|²/(2r²)).

    c: uniform in the middle half along each axis; along periodic axes the distance is the shorter way round.
    radius: r, in units of the domain's shorter side. thickness: of the puff's middle, in the smoke's unit.
    amplitude: root mean square of |u|, in the velocity's unit.
    The smoke is the second moving field.
    """
    _require_flow(layout, 3)
    flow = random_flow(layout, count, generator, modes=modes, amplitude=amplitude, dtype=torch.float64)
    sides = [high - low for low, high in zip(layout.lower, layout.upper, strict=True)]
    width = radius * min(sides)
    places = torch.rand(count, 2, generator=generator, dtype=torch.float64, device=generator.device)
    lowest = [low + side / 4 for low, side in zip(layout.lower, sides, strict=True)]
    centres = places.new_tensor(lowest) + places.new_tensor(sides) / 2 * places
    puff = thickness * bells(layout, centres[:, None], places.new_full((count, 1), width))
    moving = [channel for channel, static in enumerate(layout.static_channels) if not static]
    velocity = flow[:, moving[:2]]
    return _state(torch.cat([velocity, puff], dim=1).to(dtype), layout)


def _corner_basis(kind: Boundary, points: int, modes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Functions of one axis at the corners below and above the cells, as columns, and their k."""
    corners = torch.arange(points + 1, dtype=torch.float64, device=device)[:, None]
    orders = torch.arange(2 * modes + 1, dtype=torch.float64, device=device)
    if kind == "periodic":
        k = ((orders + 1) / 2).floor()  # 0, 1, 1, 2, 2, …: the constant, then a cosine and a sine each
        angles = 2 * math.pi * k * (corners - 0.5) / points
        return torch.where((orders % 2 == 1) | (orders == 0), angles.cos(), angles.sin()), k
    if kind == "neumann":
        return torch.cos(math.pi * orders * corners / points), orders / 2
    at_rest = torch.sin(math.pi * corners / points)
    # At the upper wall sin π is not quite zero, and nothing may pass.
    basis = (at_rest * torch.sin(math.pi * orders[1:] * corners / points)).index_fill(
        0, torch.tensor([0, points], device=device), 0.0
    )
    return basis, orders[1:] / 2


def _state(moving: Tensor, layout: Layout) -> Tensor:
    """All channels from the first moving ones, the others zero."""
    rest = layout.static_channels.count(False) - moving.shape[1]
    filled = torch.cat([moving, moving.new_zeros(len(moving), rest, *layout.grid)], dim=1)
    return put_moving(filled[:, None], filled.new_zeros(len(moving), *layout.state_shape), layout)[:, 0]


def _require_flow(layout: Layout, channels: int) -> None:
    require_kinds(layout, "a flow", ("dirichlet", "neumann"))
    moving = [field.components for field in layout.fields if not field.static]
    if layout.dims != 2 or moving[:1] != [2] or sum(moving) < channels:
        raise ValueError(
            f"the layout of {layout.dims} axes has moving fields of {moving} components; a flow has two axes, and "
            "Field('velocity', components=2) is the first that moves, Field('smoke'), if there is smoke, the second."
        )
