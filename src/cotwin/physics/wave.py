"""Waves of one displacement, by its velocity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Boundary, Layout
from cotwin.parameters import Parameter, Source, Walls
from cotwin.parameters.clock import END, MEAN, Instant
from cotwin.physics.ends import AxisEnds, End, Held
from cotwin.physics.exponential import phi_functions
from cotwin.physics.finite_volume import FiniteVolumeStepper, diffusion, diffusion_bound
from cotwin.physics.requirements import require_coefficient, require_counts, require_fields
from cotwin.physics.source import source_change, with_source
from cotwin.physics.symmetry import all_of, closed, moving_channels
from cotwin.physics.time_steps import CellMap, whole_substeps
from cotwin.physics.walls import ends_of, require_walls
from cotwin.registry import Count, simulator
from cotwin.symmetries import Symmetries

SHARE = 0.9  # of the longest stable substep
TAKES: dict[Boundary, tuple[str, ...]] = {"dirichlet": ("value",), "neumann": ("flux",), "outflow": ()}


@simulator("wave")
class Wave(FiniteVolumeStepper):
    """∂²u/∂t² = ∇·(c² ∇u) − γ ∂u/∂t + f, as ∂u/∂t = v, ∂v/∂t = ∇·(c² ∇u) − γ v + f, 1 to 3 dimensions.

    u: displacement or pressure, any unit, the first moving field; v: its rate of change, the second.
    Ends of an axis: periodic; dirichlet reflects with the sign changed, neumann without. walls: the value of u, or
    the flux c² ∂u/∂n, n outward (`physics.walls`); without, zero. outflow lets waves out, v = −c ∂u/∂n at the
    outermost points. Undamped waves that meet the end straight on leave as a whole, so in one dimension all do. At an
    angle θ to the normal (1 − cos θ)/(1 + cos θ) of the amplitude comes back: 0.17 at 45°, all of it along the end.
    speed: c in length/time, scalar or field on the grid. damping: γ in 1/time, scalar or field; None for none.
    source: f in the unit of u over time², scalar or field.
    obstacle: the name of a static field, one in solid cells, which nothing passes; zero in others.
    substeps: steps per layout.dt; None for the fewest that are stable for the present c.
    Scheme: finite volumes, second order in space. In time half a drift, a kick, half a drift, with the damping exact:
    second order in dt, symplectic without damping, so that the energy oscillates by O(dt²) and never drifts. At an
    outflow end it leaves half a volume around the outermost point by the mean v of the kick: second order, never
    energy from outside.
    Source: Hairer, Lubich & Wanner (2006), Geometric Numerical Integration, chapter I; Engquist & Majda (1977), Math.
    Comp. 31, for outflow.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        speed: Parameter,
        damping: Parameter | None = None,
        source: Source | None = None,
        substeps: Count | None = None,
        walls: Walls | None = None,
        obstacle: str | None = None,
    ) -> None:
        super().__init__(layout, walls, obstacle)
        require_fields(layout, "Wave", {"u": 1, "v": 1})
        self.displacement = replace(layout, fields=tuple(field for field in layout.fields if not field.static)[:1])
        require_walls(walls, self.displacement, "Wave", TAKES)
        for name, one in {"speed": speed, "damping": damping, "source": source}.items():
            if one is not None:
                require_coefficient(one, layout, name)
        require_counts(substeps=substeps)
        self.speed, self.damping, self.source, self.substeps = speed, damping, source, substeps

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self)

    @property
    def conserved(self) -> frozenset[int]:
        free = self.damping is None and self.source is None and self.obstacle is None
        return (
            frozenset(moving_channels(self.layout)[1:]) if free and closed(self.layout, self.walls) else frozenset()
        )

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        layout, interval = self.layout, self.layout.dt / self.substeps_taken()
        faces = self.faces(self.speed().to(like.dtype) ** 2, interval)
        ends = self.conducting(faces, like, interval)
        kick = with_source(lambda u: diffusion(u, faces, ends), source_change(self.source, layout, like, interval))
        held = self.held(like)
        damped = self._damped(like, interval)

        def advance(cells: Tensor) -> Tensor:
            u, v = cells.chunk(2, dim=1)
            if held is not None:
                u, v = held(u), v * held.free
            u = torch.add(u, v, alpha=interval / 2)
            v = v + kick(u) if damped is None else v * damped[0] + kick(u) * damped[1]
            u = torch.add(u, v, alpha=interval / 2)
            if held is not None:
                u, v = held(u, 1), v * held.free
            return torch.cat([u, v], dim=1)

        return advance

    def _damped(self, like: Float[Tensor, "B M *S"], interval: float) -> tuple[Tensor, Tensor] | None:
        """What is left of v over the interval, and of what is added to it evenly meanwhile; None for all of both."""
        leaving = self._leaving(like, interval)
        if self.damping is None and leaving is None:
            return None
        damping = like.new_zeros(()) if self.damping is None else self.damping().to(like.dtype)
        left, added = phi_functions(-interval * damping, 1)
        if leaving is None:
            return left, added
        half = leaving * added / 2
        return (left - half) / (1 + half), added / (1 + half)

    def _leaving(self, like: Float[Tensor, "B M *S"], interval: float) -> Float[Tensor, "*B 1 *S"] | None:
        """c · interval over half the width of the outermost volumes, by which waves leave; None where they stay."""
        out = torch.zeros_like(like[:1, :1])
        for axis, dx in enumerate(self.layout.spacing):
            for place, kind in zip((0, -1), self.layout.sides(axis), strict=True):
                if kind == "outflow":
                    out.select(axis + 2, place).add_(2 * interval / dx)
        return out * self.speed().to(like.dtype).abs() if "outflow" in self.layout.kinds else None

    def ends(
        self, like: Float[Tensor, "B M *S"], interval: float, instants: Sequence[Instant] | None = None
    ) -> list[AxisEnds]:
        found = ends_of(self.displacement, self.walls, like, interval, instants or self.instants())
        return [replace(along, low=_half(along.low), high=_half(along.high)) for along in found]

    def held(self, like: Float[Tensor, "B M *S"]) -> Held | None:
        # The mean for neighbours on the way, and what a substep ends with.
        return Held(self.ends(like, 0.0, (MEAN, END)), like[:, :1]) if self.layout.holds_nodes else None

    def substeps_taken(self) -> int:
        return self.pace()[0]

    def needed_pace(self) -> tuple[int, ...]:
        """The substeps. Raises DivergenceError where those that are allowed are too few."""
        speed = self.speed().detach().abs()
        needed = self.layout.dt * math.sqrt(diffusion_bound(speed**2, self.layout)) / (2 * SHARE)
        cause = f"the fastest wave runs at {float(speed.max()):.3g}, with spacing {self.layout.spacing}"
        return (whole_substeps(needed, "Wave", cause, self.substeps),)


def _half(end: End) -> End:
    """At an outflow end half a volume around the outermost point, a cell's centre too."""
    return replace(end, on_node=True) if end.kind == "outflow" else end
