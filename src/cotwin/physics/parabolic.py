"""Finite volumes for ∂u/∂t = M(u) where diffusion makes M stiff: RKL2 with as many stages as that needs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls
from cotwin.parameters.clock import Instant
from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.physics.requirements import require_counts
from cotwin.physics.source import require_source, source_change, with_source
from cotwin.physics.time_steps import CellMap, rkl2_instants, rkl2_stages, rkl2_step
from cotwin.physics.walls import exchange_bound, require_walls


class ParabolicStepper(FiniteVolumeStepper):
    """∂u/∂t = M(u) + f, diffusion and perhaps slow reactions. A subclass gives M as `change`, and `decay`.

    substeps: RKL2 steps per layout.dt.
    stages: of each RKL2 step, odd; None for the fewest that are stable for the present parameters.
    source: f in the unit of u over time, scalar or field on the grid, or a vector of one for each channel.
    walls: what stands at the ends of the axes (`physics.walls`); None for zero. obstacle: see FiniteVolumeStepper.
    """

    def __init__(
        self,
        layout: Layout,
        substeps: int = 1,
        stages: int | None = None,
        source: Parameter | None = None,
        walls: Walls | None = None,
        obstacle: str | None = None,
    ) -> None:
        super().__init__(layout, walls, obstacle)
        require_walls(walls, layout, type(self).__name__)
        require_counts(substeps=substeps)
        require_source(source, layout)
        if stages is not None and (stages < 3 or stages % 2 == 0):
            raise ValueError(f"stages is {stages}; give an odd number from 3 on, or None to choose from stability.")
        self.substeps, self.stages, self.source = substeps, stages, source

    @abstractmethod
    def change(self, like: Float[Tensor, "B M *S"], interval: float) -> CellMap:
        """M times the interval, as a map of the moving channels to new memory.

        Called once a rollout: what depends on the parameters alone is computed here, in the precision of `like`.
        """

    @abstractmethod
    def decay(self) -> float:
        """An upper bound on the rates at which modes decay with the present parameters, in 1/time."""

    def substeps_taken(self) -> int:
        return self.substeps

    def needed_pace(self) -> tuple[int, ...]:
        """The stages."""
        return (rkl2_stages(self.fastest(), self.layout.dt / self.substeps) if self.stages is None else self.stages,)

    def fastest(self) -> float:
        """Rate at which modes decay, at the walls too."""
        return self.decay() + exchange_bound(self.layout, self.walls)

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        if self.stages is None:
            return ""
        stable = (self.stages**2 + self.stages - 2) / 2 * self.substeps / self.layout.dt
        fastest = self.fastest()
        if fastest <= stable:
            return ""
        return (
            f"With the present parameters modes decay at up to {fastest:.3g}/time, and {self.stages} stages are "
            f"stable up to {stable:.3g}: give more stages or substeps, or leave the stages open."
        )

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        (stages,) = self.pace()
        interval, staged = self.layout.dt / self.substeps, self.staging()
        entering = source_change(self.source, self.layout, like, interval)
        change = with_source(self.change(like, interval), entering)
        return self.stepping(like, change, lambda change, cells: rkl2_step(staged(change), cells, stages))

    def instants(self) -> Sequence[Instant]:
        (stages,) = self.pace()
        return rkl2_instants(stages)
