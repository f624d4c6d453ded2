"""Smoke that rises around an obstacle, in PhiFlow's own words."""

from __future__ import annotations

from phi.field import Field, resample
from phi.geom import Box, Geometry, Sphere
from phi.physics import advect, diffuse
from phi.physics.fluid import make_incompressible
from phiml.math import Solve, vec

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.phiflow.fields import to_phi
from cotwin.physics.phiflow.stepper import PhiFlowStepper
from cotwin.physics.requirements import require_scalar_coefficients
from cotwin.physics.solids import Disc
from cotwin.registry import Count, PositiveFloat, simulator


class PhiFlowSmoke(PhiFlowStepper):
    """∂u/∂t + (u·∇)u = −∇p + ν ∇²u + β s ŷ, ∇·u = 0, ∂s/∂t + (u·∇)s = q in the source: a closed box with an obstacle.

    Needs Field('velocity', components=2), on faces as `to_fields` says, and Field('smoke').
    viscosity: ν in length²/time. buoyancy: β in length/time² for each unit of smoke. inflow: q in smoke/time. All
    scalars.
    source, obstacle: shapes such as phi.geom's Sphere(x=0.5, y=0.5, radius=0.2) or Box(x=(0, 1), y=(0, 0.1)).
    tolerance: of the pressure's solve; to it the samples of a batch are independent of each other.
    Scheme: semi-Lagrangian advection, explicit forces and diffusion, pressure by conjugate gradients; first order.
    The advection adds a viscosity of up to Δx²/(8 dt). At the obstacle's edge, on faces partly covered, PhiFlow
    leaves some divergence. The native `Smoke` is more accurate, and far faster in batches.
    """

    def __init__(
        self,
        layout: Layout,
        viscosity: Parameter,
        buoyancy: Parameter,
        inflow: Parameter,
        source: Geometry,
        obstacle: Geometry,
        *,
        substeps: int = 1,
        tolerance: float = 1e-5,
    ) -> None:
        super().__init__(layout, staggered={"velocity"}, substeps=substeps)
        if layout.kinds != {"dirichlet"}:
            raise ValueError(f"PhiFlowSmoke needs closed walls, dirichlet; the layout has {layout.boundary}.")
        require_scalar_coefficients("PhiFlowSmoke", viscosity=viscosity, buoyancy=buoyancy, inflow=inflow)
        self.viscosity, self.buoyancy, self.inflow = viscosity, buoyancy, inflow
        self.source, self.obstacle, self.tolerance = source, obstacle, tolerance

    def step(self, fields: dict[str, Field], dt: float) -> dict[str, Field]:
        velocity, smoke = fields["velocity"], fields["smoke"]
        viscosity, buoyancy, inflow = (
            to_phi(parameter(), self.layout) for parameter in (self.viscosity, self.buoyancy, self.inflow)
        )
        lift = (smoke * vec(x=0, y=buoyancy)).at(velocity)
        smoke = advect.semi_lagrangian(smoke, velocity, dt) + dt * inflow * resample(self.source, smoke, soft=True)
        forces = diffuse.finite_difference(velocity, viscosity) + lift
        velocity = advect.semi_lagrangian(velocity, velocity, dt) + dt * forces
        solve = Solve("CG", rel_tol=self.tolerance, abs_tol=self.tolerance, rank_deficiency=0)
        velocity, _ = make_incompressible(velocity, self.obstacle, solve)
        return {"velocity": velocity, "smoke": smoke}


@simulator("phiflow_smoke")
def phiflow_smoke(
    layout: Layout,
    viscosity: Parameter,
    buoyancy: Parameter,
    inflow: Parameter,
    inflow_box: tuple[tuple[float, float], tuple[float, float]],
    obstacle: Disc,
    substeps: Count = 1,
    tolerance: PositiveFloat = 1e-5,
) -> PhiFlowSmoke:
    """Smoke that rises in a closed box around an obstacle, on PhiFlow's fields.

    inflow: smoke per time inside inflow_box. inflow_box: where smoke enters, its ends along both axes.
    obstacle: a disc that the flow goes around.
    """
    for (low, high), bottom, top in zip(inflow_box, layout.lower, layout.upper, strict=True):
        if not (low < high and low < top and high > bottom):
            raise ValueError(
                f"inflow_box {inflow_box} has swapped ends, or lies outside the domain: smoke would enter nowhere."
            )
    source = Box(**dict(zip("xy", inflow_box, strict=True)))
    disc = Sphere(x=obstacle.centre[0], y=obstacle.centre[1], radius=obstacle.radius)
    return PhiFlowSmoke(layout, viscosity, buoyancy, inflow, source, disc, substeps=substeps, tolerance=tolerance)
