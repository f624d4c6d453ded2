"""Random initial states that are the same everywhere but in a few places: patches of a reaction, colonies."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.channels import put_moving
from cotwin.physics.requirements import require_fields
from cotwin.registry import Count, PositiveFloat, sampler

Radius = Annotated[float, Field(gt=0, le=1)]


@sampler("patches")
def random_patches(
    layout: Layout,
    count: int,
    generator: torch.Generator,
    *,
    patches: Count = 4,
    radius: Radius = 0.06,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "B C *S"]:
    """Gray-Scott's resting state, U = 1 and V = 0, but for patches φ(x): U = 1 − φ/2, V = φ/4.

    φ = 1 − Π_i (1 − exp(−|x − c_i|²/(2 r_i²))), between 0 and 1, where so many bells overlap.
    c: uniform along a periodic axis, where the distance is the shorter way round; in the middle half along others.
    r: uniform between half of `radius` and all of it.
    radius: of the largest patch, in units of the domain's shortest side.
    Static channels are zero. The draws do not depend on the grid.
    Source: Pearson (1993), Science 261 for the concentrations.
    """
    require_fields(layout, "random_patches", {"U": 1, "V": 1})
    covered = _covered(layout, count, generator, patches, radius)
    return _state(torch.stack([1 - covered / 2, covered / 4], dim=1).to(dtype), layout)


@sampler("colonies")
def random_colonies(
    layout: Layout,
    count: int,
    generator: torch.Generator,
    *,
    colonies: Count = 3,
    density: PositiveFloat = 1.0,
    radius: Radius = 0.06,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "B C *S"]:
    """A population in a few colonies, u = density φ(x), from which fronts run; φ, radius as in `random_patches`.

    density: of a colony's middle, in the field's unit; of the order of what the place can bear, or less.
    radius: of the largest colony, in units of the domain's shortest side.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(64,), extent=[(0, 1)], boundary="neumann", dt=0.1)
    >>> states = random_colonies(layout, 5, torch.Generator().manual_seed(0), density=0.5)
    >>> bool(states.min() >= 0), bool(states.max() <= 0.5)
    (True, True)
    """
    require_fields(layout, "random_colonies", {"u": 1})
    covered = _covered(layout, count, generator, colonies, radius)
    return _state((density * covered).unsqueeze(1).to(dtype), layout)


def bells(layout: Layout, centres: Float[Tensor, "B N D"], radii: Float[Tensor, "B N"]) -> Float[Tensor, "B N *S"]:
    """exp(−|x − c|²/(2r²)) of N places; along periodic axes the distance is the shorter way round."""
    ones = [1] * layout.dims
    product = torch.ones_like(radii).view(*radii.shape, *ones)
    for axis, ends in enumerate(layout.boundary):
        points = torch.tensor(layout.points(axis), dtype=centres.dtype, device=centres.device)
        away = points - centres[..., axis, None]
        if ends == "periodic":
            side = layout.upper[axis] - layout.lower[axis]
            away = away - side * (away / side).round()
        shape = [*radii.shape, *ones]
        shape[2 + axis] = len(points)
        product = product * torch.exp(-away.square() / (2 * radii[..., None] ** 2)).view(shape)
    return product


def _covered(
    layout: Layout, count: int, generator: torch.Generator, places: int, radius: float
) -> Float[Tensor, "B *S"]:
    if places < 1 or not radius > 0:
        raise ValueError(
            f"{places} places of radius {radius} cover nothing; give at least one, and a positive radius."
        )
    draws = torch.rand(
        count, places, layout.dims + 1, generator=generator, dtype=torch.float64, device=generator.device
    )
    sides = [high - low for low, high in zip(layout.lower, layout.upper, strict=True)]
    centres = torch.empty_like(draws[..., 1:])
    for axis, (low, side, ends) in enumerate(zip(layout.lower, sides, layout.boundary, strict=True)):
        share = draws[..., 1 + axis]
        centres[..., axis] = low + side * (share if ends == "periodic" else 0.25 + 0.5 * share)
    radii = radius * min(sides) * (0.5 + 0.5 * draws[..., 0])
    return 1 - (1 - bells(layout, centres, radii)).prod(dim=1)


def _state(moving: Float[Tensor, "B M *S"], layout: Layout) -> Float[Tensor, "B C *S"]:
    return put_moving(moving[:, None], moving.new_zeros(len(moving), *layout.state_shape), layout)[:, 0]
