"""Groundwater: the head of a confined aquifer, with wells."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Source, Walls
from cotwin.physics.finite_volume import diffusion, diffusion_bound
from cotwin.physics.parabolic import ParabolicStepper
from cotwin.physics.requirements import require_coefficient, require_fields
from cotwin.physics.source import require_source, source_change, with_source
from cotwin.physics.symmetry import all_of, closed, moving_channels
from cotwin.physics.time_steps import CellMap
from cotwin.physics.walls import exchange_bound
from cotwin.registry import Count, Few, simulator
from cotwin.symmetries import Symmetries


@simulator("darcy")
class Darcy(ParabolicStepper):
    """S ∂h/∂t = ∇·(T ∇h) + Σ Q_w δ(x − x_w) + q, 1 to 3 dimensions, any boundary on each axis.

    h: head, or drawdown with its sign, length.
    transmissivity: T in length²/time, scalar or field. storativity: S, without unit, scalar or field. (Of a volume,
    in three dimensions: hydraulic conductivity in length/time and specific storage in 1/length.)
    wells: points with rates Q in length³/time, negative where they pump. recharge: q in length/time, scalar or field.
    Heads alone, where no rate is known, tell only T/S.
    walls: what stands at the ends of the axes (`physics.walls`); a flux there is T ∂h/∂n. Without, dirichlet ends
    hold zero, neumann ones let nothing through.
    obstacle: the name of a static field, one in solid cells, which nothing passes; zero in others.
    Scheme: finite volumes, second order in space, the face's T the mean of its cells'; RKL2, second order in dt, with
    as many stages as T/S needs. Within a cell of a well the head is that of the cell, not of the well's wall.
    substeps, stages: as for heat.
    Source: Bear (1972), Dynamics of Fluids in Porous Media; Meyer, Balsara & Aslam (2014), J. Comput. Phys. 257.
    """

    batched = True
    late = ("wells", "recharge", "walls")

    def __init__(
        self,
        layout: Layout,
        transmissivity: Parameter,
        storativity: Parameter,
        wells: Source | None = None,
        recharge: Parameter | None = None,
        substeps: Count = 1,
        stages: Few | None = None,
        walls: Walls | None = None,
        obstacle: str | None = None,
    ) -> None:
        super().__init__(layout, substeps, stages, walls=walls, obstacle=obstacle)
        require_fields(layout, "Darcy", {"head": 1})
        require_coefficient(transmissivity, layout, "transmissivity")
        require_coefficient(storativity, layout, "storativity")
        require_source(wells, layout)
        require_source(recharge, layout)
        self.transmissivity, self.storativity = transmissivity, storativity
        self.wells, self.recharge = wells, recharge

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self)

    @property
    def conserved(self) -> frozenset[int]:
        if not closed(self.layout, self.walls) or self.wells or self.recharge or self.obstacle:
            return frozenset()
        return frozenset(moving_channels(self.layout)) if self.storativity().dim() == 0 else frozenset()

    def change(self, like: Float[Tensor, "B M *S"], interval: float) -> CellMap:
        faces = self.faces(self.transmissivity().to(like.dtype), interval)
        ends, stored = self.conducting(faces, like, interval), 1 / self.storativity().to(like.dtype)
        pumped, fallen = (source_change(one, self.layout, like, interval) for one in (self.wells, self.recharge))
        gained = with_source(with_source(lambda cells: diffusion(cells, faces, ends), pumped), fallen)
        return lambda cells: gained(cells) * stored

    def decay(self) -> float:
        return diffusion_bound(self.transmissivity(), self.layout) / float(self.storativity().detach().min())

    def fastest(self) -> float:
        return self.decay() + exchange_bound(self.layout, self.walls) / float(self.storativity().detach().min())
