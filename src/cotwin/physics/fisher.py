"""Fisher's equation for a spreading population, its porous form, and any other that closures describe."""

from __future__ import annotations

from types import MappingProxyType

from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Source, Walls
from cotwin.physics.channels import take_moving
from cotwin.physics.closures import Closure, Constant, Logistic, Power
from cotwin.physics.ends import with_ghosts
from cotwin.physics.finite_volume import lower, upper
from cotwin.physics.parabolic import ParabolicStepper
from cotwin.physics.requirements import require_fields, require_positive, require_scalar_coefficients
from cotwin.physics.suggestions import beyond_largest
from cotwin.physics.symmetry import all_of
from cotwin.physics.time_steps import CellMap
from cotwin.registry import Count, Few, PositiveFloat, simulator
from cotwin.symmetries import Symmetries


class Fisher(ParabolicStepper):
    """∂u/∂t = ∇·(D(u) ∇u) + r(u) u + f, 1 to 3 dimensions, any boundary on each axis.

    u: density, in a unit of the data's, not negative.
    diffusivity: D(u) in length²/time. growth: r(u) in 1/time. Closures: Fisher-KPP is Constant(D) with
    Logistic(r, K); porous Fisher is Power(D, K, m) with the same; unknown functions are NetworkClosure.
    ceiling: the largest u that is to remain stable, in the unit of u. Given, never measured: stages that depended on
    a batch would make its samples influence each other.
    source: f, density/time, scalar or field on the grid: what settles, or is taken away.
    obstacle: the name of a static field, one in solid cells, which nothing passes; zero in others.
    walls: what stands at the ends of the axes (`physics.walls`); without, zero.
    Scheme: finite volumes, the flux through a face with the mean of the two cells' D(u), second order in space; RKL2,
    second order in dt, with as many stages as the largest D(u) needs; r times the substep should stay below about
    one.
    Source: Fisher (1937), Ann. Eugen. 7; Witelski (1995), J. Math. Biol. 33 for the porous form; Meyer, Balsara &
    Aslam (2014), J. Comput. Phys. 257.
    """

    batched = True
    suggested = MappingProxyType({"ceiling": beyond_largest})

    def __init__(
        self,
        layout: Layout,
        diffusivity: Closure,
        growth: Closure,
        ceiling: PositiveFloat,
        substeps: Count = 1,
        stages: Few | None = None,
        source: Source | None = None,
        walls: Walls | None = None,
        obstacle: str | None = None,
    ) -> None:
        super().__init__(layout, substeps, stages, source, walls, obstacle)
        require_fields(layout, "Fisher", {"u": 1})
        require_positive(ceiling=ceiling)
        self.diffusivity, self.growth, self.ceiling = diffusivity, growth, ceiling

    def admits(self, states: Float[Tensor, "B C *S"]) -> Bool[Tensor, "B"]:
        return take_moving(states, self.layout).flatten(1).amax(dim=1) <= self.ceiling

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        most = float(take_moving(before, self.layout).max())
        if most > self.ceiling:
            return f"Before it grew the density was up to {most:.3g}, and ceiling is {self.ceiling:.3g}: raise it."
        return super().remedy(before)

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self)

    def change(self, like: Float[Tensor, "B M *S"], interval: float) -> CellMap:
        diffusivity, growth = self.diffusivity.prepare(like), self.growth.prepare(like)
        scales = self.closed([like.new_tensor(interval / (2 * dx**2)) for dx in self.layout.spacing])
        ends = self.ends(like, interval)

        def change(cells: Tensor) -> Tensor:
            mobility = diffusivity(cells)
            total = interval * growth(cells) * cells
            for scale, along in zip(scales, ends, strict=True):
                # The density's ghosts may mirror its sign; the mobility's do not.
                moved = with_ghosts(mobility, along.dim, "periodic" if along.kinds == "periodic" else "neumann")
                kappa = scale * (lower(moved, along.dim) + upper(moved, along.dim))
                total = total + along.gained(along.flux(cells, kappa))
            return total

        return change

    def decay(self) -> float:
        diffusion = self.diffusivity.largest(self.ceiling) * sum(4 / dx**2 for dx in self.layout.spacing)
        return diffusion + self.growth.largest(self.ceiling)


@simulator("fisher")
def fisher(
    layout: Layout,
    diffusivity: Parameter,
    growth: Parameter,
    capacity: Parameter,
    ceiling: PositiveFloat,
    exponent: Parameter | None = None,
    substeps: Count = 1,
    stages: Few | None = None,
    source: Source | None = None,
    walls: Walls | None = None,
    obstacle: str | None = None,
) -> Fisher:
    """∂u/∂t = ∇·(D (u/K)^m ∇u) + r (1 − u/K) u + f, 1 to 3 dimensions, any boundary on each axis.

    diffusivity: D in length²/time. growth: r in 1/time. capacity: K in the unit of u.
    exponent: m, of the porous form; without it D is constant.
    """
    require_scalar_coefficients(
        "fisher", diffusivity=diffusivity, growth=growth, capacity=capacity, exponent=exponent
    )
    mobility = Constant(diffusivity) if exponent is None else Power(diffusivity, capacity, exponent)
    return Fisher(layout, mobility, Logistic(growth, capacity), ceiling, substeps, stages, source, walls, obstacle)
