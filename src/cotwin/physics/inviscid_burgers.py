"""Inviscid Burgers equation with potential forcing, shocks included."""

from __future__ import annotations

from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls, ZeroMean
from cotwin.physics.conservation_law import ROUNDING, ConservationLaw, Law
from cotwin.physics.ends import with_ghosts
from cotwin.physics.requirements import require_coefficient, require_fields
from cotwin.physics.suggestions import beyond_largest
from cotwin.physics.symmetry import all_of, moving_channels, vector
from cotwin.physics.walls import require_walls
from cotwin.registry import Count, PositiveFloat, simulator
from cotwin.symmetries import Symmetries


class InviscidBurgers(ConservationLaw):
    """∂u/∂t + ∇(|u|²/2) = −∇φ, 1 to 3 dimensions, periodic, or with values (`walls`) or outflow.

    u: velocity, length/time, one component for each axis. For a u without rotation this is ∂u/∂t + (u·∇)u = −∇φ, and
    u stays without rotation, also across shocks; a start that rotates solves the equation above, not that one.
    potential: φ in length²/time², a field on a periodic grid. Its constant has no effect: its mean is taken out.
    walls: u at dirichlet ends (`physics.walls`), without it zero; at outflow ends shocks leave.
    max_speed: the largest |u| of one component that is to remain stable. substeps: see ConservationLaw.
    Scheme: MUSCL, Rusanov, SSP-RK3; second order where u is smooth, shocks over a few cells. The mean is conserved.
    Source: Bec & Khanin (2007), Phys. Rep. 447; for the scheme see `cotwin.physics.conservation_law`.
    """

    suggested = MappingProxyType({"max_speed": beyond_largest})

    def __init__(
        self,
        layout: Layout,
        max_speed: PositiveFloat,
        potential: Parameter | None = None,
        substeps: Count | None = None,
        walls: Walls | None = None,
    ) -> None:
        super().__init__(layout, max_speed, substeps, walls)
        require_fields(layout, "InviscidBurgers", {"u": layout.dims})
        require_walls(walls, layout, "InviscidBurgers", {"dirichlet": ("value",), "outflow": ()})
        if potential is not None and layout.kinds != {"periodic"}:
            raise ValueError(
                f"a potential needs periodic axes, the layout has {layout.boundary}; leave the potential out."
            )
        if potential is not None:
            require_coefficient(potential, layout, "potential")
        self.potential = potential

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self, vector())

    @property
    def conserved(self) -> frozenset[int]:
        return frozenset(moving_channels(self.layout)) if self.layout.kinds == {"periodic"} else frozenset()

    def law(self, like: Float[Tensor, "B M *S"]) -> Law:
        # |u| without its corner; where the fluid all but rests it also keeps rarefactions free of jumps.
        slowest = (ROUNDING * self.max_speed) ** 2

        def flux(u: Tensor, axis: int) -> Tensor:
            energy = 0.5 * u.square().sum(dim=1, keepdim=True)
            blank = torch.zeros_like(energy)
            return torch.cat([energy if along == axis else blank for along in range(u.shape[1])], dim=1)

        def speed(u: Tensor, axis: int) -> Tensor:
            return (u[:, axis : axis + 1].square() + slowest).sqrt()

        if self.potential is None:
            return Law(flux, speed)
        force = self._force().to(like.dtype)
        return Law(flux, speed, lambda u: force.expand_as(u))

    def _force(self) -> Float[Tensor, "M *S"]:
        """−∇φ by central differences, whose sum over the period is zero."""
        assert self.potential is not None
        potential = self.potential()
        potential = (potential - potential.mean()).expand(self.layout.grid)
        slopes = []
        for axis, dx in enumerate(self.layout.spacing):
            padded = with_ghosts(potential, axis, "periodic")
            count = self.layout.grid[axis]
            slopes.append((padded.narrow(axis, 0, count) - padded.narrow(axis, 2, count)) / (2 * dx))
        return torch.stack(slopes)


@simulator("inviscid_burgers")
def inviscid_burgers(
    layout: Layout,
    max_speed: PositiveFloat,
    potential: Parameter | None = None,
    substeps: Count | None = None,
    walls: Walls | None = None,
) -> InviscidBurgers:
    """∂u/∂t + ∇(|u|²/2) = −∇φ, 1 to 3 dimensions, shocks included; periodic, or with values or outflow.

    potential: φ in length²/time², a field, of which the mean is taken out.
    """
    return InviscidBurgers(layout, max_speed, None if potential is None else ZeroMean(potential), substeps, walls)
