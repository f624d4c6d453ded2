"""Viscous Burgers equation on finite volumes."""

from __future__ import annotations

from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls, as_vector
from cotwin.physics.channels import take_moving
from cotwin.physics.ends import AxisEnds
from cotwin.physics.finite_volume import (
    FiniteVolumeStepper,
    difference,
    diffusion_bound,
    face_diffusivities,
    lower,
    upper,
)
from cotwin.physics.requirements import require_coefficient, require_counts, require_fields, require_positive
from cotwin.physics.source import require_source, source_change, with_source
from cotwin.physics.suggestions import beyond_largest
from cotwin.physics.symmetry import all_of, moving_channels, shifts, vector
from cotwin.physics.time_steps import CellMap, ssp_rk3_step, whole_substeps
from cotwin.physics.walls import require_walls
from cotwin.registry import Count, PositiveFloat, simulator
from cotwin.symmetries import Symmetries


@simulator("burgers")
class Burgers(FiniteVolumeStepper):
    """∂u/∂t + (u·∇)u = ∇·(ν ∇u) + f, one to three dimensions, periodic, or with values at the ends.

    u: velocity, length/time, one component for each axis.
    viscosity: ν in length²/time, scalar or field on the grid.
    max_speed: the largest |u| of one component that is to remain stable, length/time. Given, never measured:
    substeps that depended on a batch would make its samples influence each other.
    substeps: steps per layout.dt; None for the fewest that are stable for max_speed and the largest ν.
    source: f in length/time², a scalar or a field for each component of u.
    walls: the velocity at dirichlet ends (`physics.walls`), without it zero; at outflow ends it has no slope.
    Scheme: second order in space, central; in one dimension the flux (a² + ab + b²)/6 between cells a and b,
    which conserves the mean and, without viscosity, the energy; in more the advective form. SSP-RK3 in time.
    Fronts must be resolved: central differences oscillate where |u| Δx > 2ν.
    Source: Gottlieb, Shu & Tadmor (2001), SIAM Review 43; Tadmor (2003), Acta Numerica 12 for the flux.
    """

    batched = True
    suggested = MappingProxyType({"max_speed": beyond_largest})

    def __init__(
        self,
        layout: Layout,
        viscosity: Parameter,
        max_speed: PositiveFloat,
        substeps: Count | None = None,
        source: Parameter | tuple[Parameter, ...] | None = None,
        walls: Walls | None = None,
    ) -> None:
        super().__init__(layout, walls)
        require_fields(layout, "Burgers", {"u": layout.dims})
        require_coefficient(viscosity, layout, "viscosity")
        if "neumann" in layout.kinds:
            raise ValueError(
                f"Burgers needs periodic, dirichlet or outflow boundaries, the layout has {layout.boundary}; "
                "through a Neumann wall fluid would flow unknown."
            )
        require_walls(walls, layout, "Burgers", {"dirichlet": ("value",), "outflow": ()})
        require_positive(max_speed=max_speed)
        require_counts(substeps=substeps)
        self.source = None if source is None else as_vector(source)
        require_source(self.source, layout)
        self.viscosity = viscosity
        self.max_speed = max_speed
        self.substeps = substeps

    def admits(self, states: Float[Tensor, "B C *S"]) -> Bool[Tensor, "B"]:
        return take_moving(states, self.layout).abs().flatten(1).amax(dim=1) <= self.max_speed

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        fastest = float(take_moving(before, self.layout).abs().max())
        faster = fastest > self.max_speed
        speed = f"if the flow really is so fast, raise max_speed, {self.max_speed:.3g}; else " if faster else ""
        return (
            f"|u| was up to {fastest:.3g} on the way: {speed}a front too steep for the grid oscillates, where "
            "|u| Δx > 2ν; take more viscosity (bounds) or a finer grid."
        )

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self, vector()) if self.source is None else shifts(self)

    @property
    def conserved(self) -> frozenset[int]:
        inside = self.layout.dims == 1 and self.layout.kinds == {"periodic"} and self.source is None
        return frozenset(moving_channels(self.layout)) if inside else frozenset()

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        viscosity = self.viscosity().to(like.dtype)
        interval = self.layout.dt / self.substeps_taken()
        faces = face_diffusivities(viscosity, self.layout, interval)
        scales = [interval / dx for dx in self.layout.spacing]
        ends = self.ends(like, interval)

        def change(cells: Tensor) -> Tensor:
            if len(scales) == 1:
                return _conservative_change(cells, faces[0], scales[0], ends[0])
            return _advective_change(cells, faces, scales, ends)

        entering = source_change(self.source, self.layout, like, interval)
        forced = with_source(change, entering)
        return self.stepping(like, forced, ssp_rk3_step)

    def substeps_taken(self) -> int:
        return self.pace()[0]

    def needed_pace(self) -> tuple[int, ...]:
        """The substeps. Raises DivergenceError where those that are allowed are too few."""
        viscosity = self.viscosity().detach()
        # SSP-RK3 is stable to 1.73 on the imaginary axis (advection) and 2.51 on the real one (diffusion),
        # and in the triangle between them.
        advection = self.max_speed * sum(1 / dx for dx in self.layout.spacing) / 1.73
        needed = self.layout.dt * (advection + diffusion_bound(viscosity, self.layout) / 2.51)
        cause = (
            f"the largest viscosity is {float(viscosity.max()):.3g}, max_speed {self.max_speed:.3g}, spacing "
            f"{self.layout.spacing}, dt {self.layout.dt:.3g} (SpectralBurgers takes the viscosity implicitly)"
        )
        return (whole_substeps(needed, "Burgers", cause, self.substeps),)


def _conservative_change(cells: Tensor, kappa: Tensor, scale: float, ends: AxisEnds) -> Tensor:
    """interval · ∂x(ν ∂x u − u²/2), one dimension."""
    padded = ends.with_ghosts(cells)
    a, b = lower(padded, 2), upper(padded, 2)
    flux = (b - a) * kappa - torch.addcmul(a * a, b, a + b) * (scale / 6)
    return difference(flux, 2)


def _advective_change(cells: Tensor, faces: list[Tensor], scales: list[float], ends: list[AxisEnds]) -> Tensor:
    """interval · (∇·(ν ∇u) − (u·∇)u), several dimensions; the faces' differences serve both terms."""
    total: Tensor | None = None
    for kappa, scale, along in zip(faces, scales, ends, strict=True):
        axis = along.dim
        slopes = difference(along.with_ghosts(cells), axis)
        flux = slopes * kappa
        total = difference(flux, axis) if total is None else total.add_(upper(flux, axis)).sub_(lower(flux, axis))
        central = lower(slopes, axis) + upper(slopes, axis)
        # Not in place, for which torch.func.vmap has no rule but a loop and a warning.
        total = torch.addcmul(total, cells[:, axis - 2 : axis - 1], central, value=-scale / 2)
    assert total is not None
    return total
