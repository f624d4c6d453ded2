"""Finite volumes for ∂u/∂t + Σ ∂F_a(u)/∂x_a = S(u) where shocks may form.

Space: MUSCL, linear reconstruction with van Albada's limiter, second order where the solution is smooth; Rusanov's
flux. Time: SSP-RK3, third order, with substeps for the largest wave speed.
Ends: two ghost cells behind each; at a neumann end, a wall, mirrored with a sign for each channel; at a dirichlet end
with what stands there; at an outflow end like the outermost one.
Source: van Leer (1979), J. Comput. Phys. 32; van Albada, van Leer & Roberts (1982), Astron. Astrophys. 108; Rusanov
(1961); Gottlieb, Shu & Tadmor (2001), SIAM Review 43.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Walls
from cotwin.physics.channels import take_moving
from cotwin.physics.ends import AxisEnds, End, now
from cotwin.physics.finite_volume import FiniteVolumeStepper, difference, lower, upper
from cotwin.physics.requirements import require_counts, require_positive
from cotwin.physics.time_steps import CellMap, ssp_rk3_step, substeps_for_speed

COURANT = 0.6  # of MUSCL with SSP-RK3, summed over the axes
ROUNDING = 0.05  # of corners, as where the larger of two speeds changes sides, so that gradients are smooth

AxisMap = Callable[[Float[Tensor, "B M *S"], int], Float[Tensor, "B N *S"]]


@dataclass(frozen=True)
class Law:
    """What makes one conservation law, with the present parameters.

    flux: F_a of states along an axis a, counted from 0; speed: the largest wave speed there, one channel, positive.
    source: S, or None.
    """

    flux: AxisMap
    speed: AxisMap
    source: CellMap | None = None


class ConservationLaw(FiniteVolumeStepper):
    """∂u/∂t + Σ ∂F_a(u)/∂x_a = S(u). A subclass gives `law`, and `signs` if there may be walls.

    walls: what stands at dirichlet ends, for each channel.

    max_speed: the largest wave speed that is to remain stable, length/time. Given, never measured: substeps that
    depended on a batch would make its samples influence each other.
    substeps: SSP-RK3 steps per layout.dt; None for the fewest that are stable for max_speed.
    """

    def __init__(
        self, layout: Layout, max_speed: float, substeps: int | None = None, walls: Walls | None = None
    ) -> None:
        super().__init__(layout, walls)
        require_positive(max_speed=max_speed)
        require_counts(substeps=substeps)
        self.max_speed = max_speed
        self.substeps = substeps_for_speed(type(self).__name__, layout, max_speed, COURANT, substeps)

    def substeps_taken(self) -> int:
        return self.substeps

    def admits(self, states: Float[Tensor, "B C *S"]) -> Bool[Tensor, "B"]:
        if self.takes_given:
            return super().admits(states)
        cells = take_moving(states, self.layout)
        law = self.law(cells)
        speeds = [law.speed(cells, axis).flatten(1).amax(dim=1) for axis in range(self.layout.dims)]
        return torch.stack(speeds).amax(dim=0) <= self.max_speed

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        return f"A wave may have been faster than max_speed, {self.max_speed:.3g}: raise it."

    @abstractmethod
    def law(self, like: Float[Tensor, "B M *S"]) -> Law:
        """The law in the precision of `like`; called once a rollout, so the parameters are evaluated here."""

    def signs(self, axis: int) -> list[int]:
        """By what each channel is multiplied in the mirror behind a wall across an axis."""
        raise ValueError(
            f"{type(self).__name__} has no walls, the layout has {self.layout.boundary}; make its ends periodic, "
            "dirichlet or outflow."
        )

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        law, interval = self.law(like), self.layout.dt / self.substeps
        scales = [interval / dx for dx in self.layout.spacing]
        ends = self.ends(like, interval)
        signs = [
            like.new_tensor(self.signs(axis)).view(-1, *[1] * self.layout.dims)
            if "neumann" in self.layout.sides(axis)
            else None
            for axis in range(self.layout.dims)
        ]

        def change(cells: Tensor) -> Tensor:
            total = torch.zeros_like(cells) if law.source is None else interval * law.source(cells)
            for axis, (scale, along, mirror) in enumerate(zip(scales, ends, signs, strict=True)):
                padded = with_two_ghosts(cells, along, mirror)
                total = total - scale * difference(face_flux(law, padded, axis), axis + 2)
            return total

        return self.stepping(like, change, ssp_rk3_step)


def with_two_ghosts(cells: Float[Tensor, "B M *S"], ends: AxisEnds, signs: Tensor | None) -> Float[Tensor, "B M *P"]:
    """Two ghost cells at both ends of an axis. signs: of the mirror image behind a wall."""
    if ends.kinds == "periodic":
        return mirrored(cells, ends.dim, None)
    # A node on the end is no part of its own mirror image.
    low, high = int(ends.low.on_node), int(ends.high.on_node)
    below = _beyond(ends.low, cells.narrow(ends.dim, low, 2), cells.narrow(ends.dim, 0, 1), ends.dim, signs)
    above = _beyond(ends.high, cells.narrow(ends.dim, -2 - high, 2), cells.narrow(ends.dim, -1, 1), ends.dim, signs)
    return torch.cat([below, cells, above], dim=ends.dim)


def _beyond(end: End, nearest: Tensor, outermost: Tensor, dim: int, signs: Tensor | None) -> Tensor:
    if end.kind == "neumann":
        assert signs is not None
        return signs * nearest.flip(dim)
    if end.kind == "dirichlet":
        return torch.zeros_like(nearest) if end.value is None else now(end.value).expand_as(nearest)
    return outermost.expand_as(nearest)


def mirrored(cells: Float[Tensor, "B M *S"], axis: int, signs: Tensor | None) -> Float[Tensor, "B M *P"]:
    """Two ghost cells at both ends of an axis: the other end's, or with signs the mirror image behind a wall."""
    first, last = cells.narrow(axis, 0, 2), cells.narrow(axis, -2, 2)
    if signs is None:
        return torch.cat([last, cells, first], dim=axis)
    return torch.cat([signs * first.flip(axis), cells, signs * last.flip(axis)], dim=axis)


def face_flux(law: Law, cells: Float[Tensor, "B M *P"], axis: int) -> Float[Tensor, "B M *Q"]:
    """Rusanov's flux through every face between cells that have two neighbours on each side."""
    dim = axis + 2
    below, above = reconstructed(cells, dim)
    s, t = law.speed(below, axis), law.speed(above, axis)
    fastest = 0.5 * (s + t) + 0.5 * ((s - t) ** 2 + (ROUNDING * (s + t)) ** 2).sqrt()
    return 0.5 * (law.flux(below, axis) + law.flux(above, axis) - fastest * (above - below))


def reconstructed(
    cells: Float[Tensor, "B M *P"], dim: int, passing: Float[Tensor, "1 1 *F"] | None = None
) -> tuple[Tensor, Tensor]:
    """Values below and above every face between cells that have two neighbours on each side along `dim`.

    passing: zero on the faces of solid cells, beside which there is no slope; one on others.
    """
    steps = difference(cells, dim) if passing is None else difference(cells, dim) * passing
    a, b = lower(steps, dim), upper(steps, dim)
    # van Albada: the mean slope where both sides agree, little at extrema, and smooth, so that gradients are.
    slopes = a * b * (a + b) / (a * a + b * b + torch.finfo(cells.dtype).tiny)
    inner = cells.narrow(dim, 1, cells.shape[dim] - 2)
    return lower(inner + 0.5 * slopes, dim), upper(inner - 0.5 * slopes, dim)
