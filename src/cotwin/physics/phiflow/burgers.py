"""Viscous Burgers equation on PhiFlow fields: the adapter's example, and a check of the native solver."""

from __future__ import annotations

import math

from jaxtyping import Float
from phi.field import Field
from phi.physics.integrate import rk4
from phiml.math import Tensor as PhiTensor
from phiml.math import expand, shift
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.phiflow.fields import to_phi
from cotwin.physics.phiflow.stepper import PhiFlowStepper
from cotwin.physics.requirements import require_coefficient, require_fields
from cotwin.registry import Count, simulator


@simulator("phiflow_burgers")
class PhiFlowBurgers(PhiFlowStepper):
    """Viscous Burgers equation, ∂u/∂t + (u·∇)u = ∇·(ν ∇u), periodic, in two or three dimensions.

    viscosity: ν in length²/time, a scalar or a field on the grid.
    Scheme: centred differences, with ν on a face the mean of its two cells, and the classical Runge-Kutta
    scheme in time; second order in Δx, fourth in dt. Where ν is scalar these are the differences of PhiFlow's
    `advect.finite_difference` and `diffuse.finite_difference`, in a tenth of their time. With d dimensions
    stable up to ν dt/Δx² = 0.69/d; fronts need |u| Δx/ν < 2, else the centred differences oscillate.

    Why not PhiFlow's `advect.semi_lagrangian`: its linear interpolation adds a viscosity of up to Δx²/(8 dt),
    which would be learned as less ν. Why not its `diffuse` alone: it rejects a viscosity field on a vector.
    """

    def __init__(self, layout: Layout, viscosity: Parameter, *, substeps: Count = 1) -> None:
        super().__init__(layout, substeps=substeps)
        if layout.dims == 1:
            raise ValueError("PhiFlowBurgers is for two or three axes; in one dimension use the native Burgers.")
        require_fields(layout, "PhiFlowBurgers", {"u": layout.dims})
        require_coefficient(viscosity, layout, "viscosity")
        if layout.kinds != {"periodic"}:
            raise ValueError(f"PhiFlowBurgers needs periodic axes, the layout has {layout.boundary}.")
        (self.velocity,) = self.dynamic
        self.viscosity = viscosity

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        rate = float(self.viscosity().detach().max()) * sum(1 / dx**2 for dx in self.layout.spacing)
        stable, substep = 0.69 / rate, self.layout.dt / self.substeps
        if substep <= stable:
            return "A front may be too steep for the grid: centred differences oscillate where |u| Δx > 2ν."
        return (
            f"For the present viscosity substeps up to {stable:.3g} are stable, and those taken are {substep:.3g}: "
            f"use at least {math.ceil(self.layout.dt / stable)} substeps per dt."
        )

    def step(self, fields: dict[str, Field], dt: float) -> dict[str, Field]:
        viscosity = to_phi(self.viscosity(), self.layout)
        (advanced,) = rk4(lambda u: (tendency(u, viscosity),), fields[self.velocity], dt=dt)
        return {self.velocity: advanced}


def tendency(velocity: Field, viscosity: PhiTensor) -> Field:
    """∂u/∂t = ∇·(ν ∇u) − (u·∇)u, by centred differences."""
    u, nu = velocity.values, expand(viscosity, velocity.resolution)
    rate = 0.0
    for axis, name in enumerate(velocity.resolution.names):
        dx = velocity.dx.vector[name]
        below, above = shift(u, (-1, 1), name, velocity.boundary, stack_dim=None)
        nu_below, nu_above = shift(nu, (-1, 1), name, velocity.boundary, stack_dim=None)
        flux_in = (nu_below + nu) / 2 * (u - below) / dx
        flux_out = (nu + nu_above) / 2 * (above - u) / dx
        rate = rate + (flux_out - flux_in) / dx - u.vector[axis] * (above - below) / (2 * dx)
    return velocity.with_values(rate)
