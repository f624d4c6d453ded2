"""Finite volumes for ∂u/∂t + ∇·(c u) = ∇·(D ∇u) + R(u) + f: stiff diffusion with what carries and what reacts.

Time: three parts, of a third, a half and all of the step, each from its beginning: RKL2 diffuses and reacts, with the
advection of the part before. Second order in dt, at walls too, where splitting would lose it. Without a velocity the
last part alone.
Source: Wicker & Skamarock (2002), Mon. Weather Rev. 130; Meyer, Balsara & Aslam (2014), J. Comput. Phys. 257.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls
from cotwin.parameters.clock import MEAN
from cotwin.physics.finite_volume import FiniteVolumeStepper, diffusion, diffusion_bound, on_faces
from cotwin.physics.requirements import require_counts
from cotwin.physics.source import require_source, source_change, with_source
from cotwin.physics.time_steps import CellMap, rkl2_instants, rkl2_stages, rkl2_step, whole_substeps
from cotwin.physics.walls import exchange_bound, require_walls

PARTS = (1 / 3, 1 / 2, 1.0)


class TransportStepper(FiniteVolumeStepper):
    """∂u/∂t + ∇·(c u) = ∇·(D ∇u) + R(u) + f. A subclass gives D as `spreading`, and maybe R as `reaction`.

    velocity: c in length/time, of shape (dims,) or (dims, *grid); None for none.
    substeps: steps per layout.dt; None for the fewest that are stable for the present velocity.
    source, walls, obstacle: as for every finite volume.
    """

    def __init__(
        self,
        layout: Layout,
        velocity: Parameter | None,
        substeps: int | None = None,
        source: Parameter | None = None,
        walls: Walls | None = None,
        obstacle: str | None = None,
    ) -> None:
        super().__init__(layout, walls, obstacle)
        if velocity is not None:
            _require_velocity(velocity(), layout)
        require_source(source, layout)
        require_walls(walls, layout, type(self).__name__)
        require_counts(substeps=substeps)
        self.velocity, self.substeps, self.source = velocity, substeps, source

    @abstractmethod
    def spreading(self) -> Float[Tensor, "*M F"]:
        """D in length²/time: a scalar or a field for all channels, or with an axis for them before those of space."""

    def reaction(self, like: Float[Tensor, "B M *S"], interval: float) -> CellMap | None:
        """R times the interval, to new memory; None for none."""
        return None

    def fastest_reaction(self) -> float:
        """An upper bound on the rates at which reactions relax, in 1/time: stages are taken for them too."""
        return 0.0

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        needed = self._stable_substeps()
        if self.substeps is None or needed <= self.substeps:
            return ""
        return (
            f"The present velocity needs {needed:.1f} substeps per dt, and {self.substeps} are taken: give more, or "
            "leave them open."
        )

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        substeps, *stages = self.pace()
        interval = self.layout.dt / substeps
        parts = PARTS[-len(stages) :]
        spreading = self.spreading().to(like.dtype)
        faces = [self.faces(spreading, part * interval) for part in parts]
        ends = [
            self.conducting(some, like, part * interval, (*rkl2_instants(count, part), MEAN))
            for some, part, count in zip(faces, parts, stages, strict=True)
        ]
        held, staged = self.held(like), self.staging()
        reactions = [self.reaction(like, part * interval) for part in parts]
        speeds = self._face_speeds(interval, like.dtype)

        def carry(cells: Tensor) -> Tensor:
            total = torch.zeros_like(cells)
            for speed, kappa, along in zip(speeds, faces[-1], ends[-1], strict=False):  # no speeds, no rounds
                total = total - along.gained(speed * along.twice_on_faces(cells, kappa))
            return total

        def spread(cells: Tensor, part: int, carried: Tensor) -> Tensor:
            reaction = reactions[part]
            if reaction is not None:
                carried = carried + reaction(cells)
            change = diffusion(cells, faces[part], ends[part]).add_(carried)
            return change if held is None else held.still(change, parts[part])

        moved = with_source(carry, source_change(self.source, self.layout, like, interval))

        def advance(cells: Tensor) -> Tensor:
            after = cells = cells if held is None else held(cells)
            for part, (share, count) in enumerate(zip(parts, stages, strict=True)):
                carried = share * moved(after)
                after = rkl2_step(staged(partial(spread, part=part, carried=carried)), cells, count)
            return after

        return advance

    def substeps_taken(self) -> int:
        return self.pace()[0]

    def needed_pace(self) -> tuple[int, ...]:
        """The substeps, and the stages of RKL2 in each part of one.

        Raises DivergenceError beyond all reason.
        """
        substeps, parts = self.substeps, PARTS if self.velocity is not None else PARTS[-1:]
        if substeps is None:
            fastest = 0.0 if self.velocity is None else float(self.velocity().detach().abs().max())
            cause = f"the velocity reaches {fastest:.3g}"
            substeps = whole_substeps(self._stable_substeps(), type(self).__name__, cause)
        rate = diffusion_bound(self.spreading(), self.layout) + self.fastest_reaction()
        rate += exchange_bound(self.layout, self.walls)
        return (substeps, *(rkl2_stages(rate, part * self.layout.dt / substeps) for part in parts))

    def _stable_substeps(self) -> float:
        """For the present velocity."""
        if self.velocity is None:
            return 0.0
        velocity = self.velocity().detach().abs()
        rate = sum(float(velocity[axis].max()) / dx for axis, dx in enumerate(self.layout.spacing))
        # The three parts are stable to 1.73 on the imaginary axis.
        return rate * self.layout.dt / 1.73

    def _face_speeds(self, interval: float, dtype: torch.dtype) -> list[Float[Tensor, "*F"]]:
        """c · interval / (2 Δx) on the faces of each axis; a constant stays a scalar. None without a velocity."""
        if self.velocity is None:
            return []
        velocity = self.velocity().to(dtype)
        scaled = (velocity[axis] * (interval / (2 * dx)) for axis, dx in enumerate(self.layout.spacing))
        return self.closed([on_faces(one, axis, self.layout) for axis, one in enumerate(scaled)])


def _require_velocity(velocity: Float[Tensor, "*S"], layout: Layout) -> None:
    """Raise ValueError unless it has a value for each axis, and where fluid enters through an outflow end."""
    shape = tuple(velocity.shape)
    if shape not in ((layout.dims,), (layout.dims, *layout.grid)):
        raise ValueError(
            f"velocity of shape {shape} needs one value for each of {layout.dims} axes, ({layout.dims},), or a "
            f"field of such, ({layout.dims}, {', '.join(map(str, layout.grid))})."
        )
    for axis in range(layout.dims):
        for end, (kind, outwards) in enumerate(zip(layout.sides(axis), (-1, 1), strict=True)):
            along = velocity[axis].detach() * outwards
            there = along if along.ndim == 0 else along.select(axis, -end)
            if kind == "outflow" and bool((there < 0).any()):
                raise ValueError(
                    f"through the {('lower', 'upper')[end]} end along {'xyz'[axis]} fluid enters, at up to "
                    f"{-float(there.min()):.3g}, and an outflow end says nothing of what it brings; make the end "
                    "dirichlet, with its value, or robin."
                )
