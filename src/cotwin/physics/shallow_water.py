"""Shallow-water equations, linear and nonlinear."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Boundary, Layout
from cotwin.parameters import Parameter, Walls
from cotwin.parameters.clock import Instant
from cotwin.physics.conservation_law import ROUNDING, ConservationLaw, Law
from cotwin.physics.ends import AxisEnds, End, combined
from cotwin.physics.requirements import require_fields, require_scalar_coefficients
from cotwin.physics.symmetry import all_of, closed, moving_channels, vector
from cotwin.physics.time_steps import CellMap
from cotwin.physics.walls import require_walls
from cotwin.registry import Count, PositiveFloat, simulator
from cotwin.symmetries import Symmetries

TAKES: dict[Boundary, tuple[str, ...]] = {"neumann": (), "dirichlet": ("value",), "outflow": ()}


class _Water(ConservationLaw, ABC):
    """A height and a velocity. A wall, which the layout calls neumann, lets no water through and brakes none.

    At a dirichlet end both are given by `walls`; at an outflow end waves leave.
    """

    def __init__(self, layout: Layout, max_speed: PositiveFloat, substeps: Count | None, walls: Walls | None) -> None:
        super().__init__(layout, max_speed, substeps, walls)
        name = type(self).__name__
        require_fields(layout, name, {"height": 1, "velocity": layout.dims}, dims=(1, 2))
        require_walls(walls, layout, name, TAKES, needs=("value",))

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self, vector(1))

    @property
    def conserved(self) -> frozenset[int]:
        return frozenset(moving_channels(self.layout)[:1]) if closed(self.layout, self.walls) else frozenset()

    def signs(self, axis: int) -> list[int]:
        return [1, *(-1 if along == axis else 1 for along in range(self.layout.dims))]


@simulator("linear_shallow_water")
class LinearShallowWater(_Water):
    """∂η/∂t + H ∇·u = 0, ∂u/∂t + g ∇η = −μ u, periodic or between walls, one or two dimensions.

    η: height above rest, length, the first moving field; u: velocity, length/time, the second.
    gravity: g in length/time². depth: H, length. drag: μ in 1/time; None for none. Scalars. Heights alone determine
    only the product g H: hold one of the two (`Known`).
    max_speed: above √(g H), the speed of the waves, for all g and H to be tried. substeps: see ConservationLaw.
    Scheme: MUSCL, Rusanov, SSP-RK3, second order.
    Source: Vallis (2017), Atmospheric and Oceanic Fluid Dynamics, section 3.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        gravity: Parameter,
        depth: Parameter,
        max_speed: PositiveFloat,
        drag: Parameter | None = None,
        substeps: Count | None = None,
        walls: Walls | None = None,
    ) -> None:
        super().__init__(layout, max_speed, substeps, walls)
        require_scalar_coefficients("LinearShallowWater", gravity=gravity, depth=depth, drag=drag)
        self.gravity, self.depth, self.drag = gravity, depth, drag

    def law(self, like: Float[Tensor, "B M *S"]) -> Law:
        gravity, depth = self.gravity().to(like.dtype), self.depth().to(like.dtype)
        wave = (gravity * depth).sqrt()

        def flux(state: Tensor, axis: int) -> Tensor:
            height, velocity = state[:, :1], state[:, 1:]
            pressure = gravity * height
            blank = torch.zeros_like(height)
            forces = [pressure if along == axis else blank for along in range(velocity.shape[1])]
            return torch.cat([depth * velocity[:, axis : axis + 1], *forces], dim=1)

        return Law(flux, lambda state, axis: wave.expand_as(state[:, :1]), _friction(self.drag, like))


@simulator("shallow_water")
class ShallowWater(_Water):
    """∂h/∂t + ∇·(h u) = 0, ∂(h u)/∂t + ∇·(h u⊗u) + ∇(g h²/2) = −μ h u, periodic or between walls, 1 or 2 dimensions.

    h: depth of the water, length, positive, the first moving field; u: velocity, length/time, the second.
    gravity: g in length/time². drag: μ in 1/time; None for none. Scalars.
    max_speed: the largest |u| + √(g h) that is to remain stable. substeps: see ConservationLaw.
    Scheme: MUSCL on h and h u, Rusanov, SSP-RK3; second order where the state is smooth, bores over a few cells. The
    water is conserved. No dry land: where h reaches zero the solver diverges.
    Source: Toro (2001), Shock-Capturing Methods for Free-Surface Flows.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        gravity: Parameter,
        max_speed: PositiveFloat,
        drag: Parameter | None = None,
        substeps: Count | None = None,
        walls: Walls | None = None,
    ) -> None:
        super().__init__(layout, max_speed, substeps, walls)
        require_scalar_coefficients("ShallowWater", gravity=gravity, drag=drag)
        self.gravity, self.drag = gravity, drag

    def law(self, like: Float[Tensor, "B M *S"]) -> Law:
        gravity = self.gravity().to(like.dtype)

        def flux(state: Tensor, axis: int) -> Tensor:
            depth, momentum = state[:, :1], state[:, 1:]
            along = momentum[:, axis : axis + 1]
            pressure = 0.5 * gravity * depth * depth
            carried = momentum * (along / depth)
            blank = torch.zeros_like(depth)
            pushed = [pressure if a == axis else blank for a in range(momentum.shape[1])]
            return torch.cat([along, carried + torch.cat(pushed, dim=1)], dim=1)

        def speed(state: Tensor, axis: int) -> Tensor:
            squared = gravity * state[:, :1]
            velocity = state[:, axis + 1 : axis + 2] / state[:, :1]
            return (velocity.square() + ROUNDING**2 * squared).sqrt() + squared.sqrt()

        return Law(flux, speed, _friction(self.drag, like))

    def ends(
        self, like: Float[Tensor, "B M *S"], interval: float, instants: Sequence[Instant] | None = None
    ) -> list[AxisEnds]:
        def momentum(value: Tensor) -> Tensor:
            depth, velocity = value.tensor_split([1], dim=-self.layout.dims - 1)
            return torch.cat([depth, depth * velocity], dim=-self.layout.dims - 1)

        def of_momentum(end: End) -> End:
            return end if end.value is None else replace(end, value=combined(momentum, end.value))

        return [
            replace(along, low=of_momentum(along.low), high=of_momentum(along.high))
            for along in super().ends(like, interval, instants)
        ]

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        advance = super().prepare(like)

        def in_velocities(cells: Tensor) -> Tensor:
            depth = cells[:, :1]
            after = advance(torch.cat([depth, depth * cells[:, 1:]], dim=1))
            return torch.cat([after[:, :1], after[:, 1:] / after[:, :1]], dim=1)

        return in_velocities


def _friction(drag: Parameter | None, like: Tensor) -> CellMap | None:
    """−μ times the velocity or the momentum, nothing for the height."""
    if drag is None:
        return None
    rate = drag().to(like.dtype)
    return lambda state: torch.cat([torch.zeros_like(state[:, :1]), -rate * state[:, 1:]], dim=1)
