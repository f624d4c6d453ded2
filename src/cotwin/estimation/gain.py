"""The information that further values add to what is known, to first order and with the starts integrated out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import RESOLUTION, FullInformation
from cotwin.estimation.linear import Linearised
from cotwin.estimation.observation import Grid
from cotwin.parameters import Elementwise


@dataclass(frozen=True)
class Base:
    """What is known by now.

    triangle: R of the Jacobian to the N unknowns, starts integrated out. follow: how each start's n numbers follow
    the unknowns. root: L⁻¹ of each start, L Lᵀ = JᵀJ + 1.
    """

    triangle: Float[Tensor, "N N"]
    follow: Float[Tensor, "B n N"]
    root: Float[Tensor, "B n n"]
    idle: Float[Tensor, "G N"]
    labels: list[str]

    @classmethod
    def at(cls, linear: Linearised, idle: Float[Tensor, "G N"], labels: list[str]) -> Base:
        size, (_, starts, n) = len(labels), linear.white.shape
        like = linear.by_raw
        eye = torch.eye(n, dtype=like.dtype, device=like.device)
        following = linear.following(torch.eye(size, dtype=like.dtype, device=like.device))[:, size:]
        follow = following.mT.reshape(starts, n, size) if n else like.new_zeros(starts, 0, size)
        root = linear.scattered(eye[:, None].expand(n, starts, n)).movedim(0, 1)
        return cls(torch.linalg.qr(linear.jacobian()[0], mode="r")[1], follow, root, idle, labels)

    def information(self, *rows: Float[Tensor, "K N"]) -> FullInformation:
        """With rows of a Jacobian besides."""
        return FullInformation.of(torch.cat([self.triangle, *rows]), self.labels, self.idle)

    def of(self, seen: Linearised, rows: Int[Tensor, " K"]) -> Float[Tensor, "Q N"]:
        """Rows for what is seen there, starts integrated out."""
        found = []
        for index in range(len(self.follow)):
            own = rows[seen.trajectory[rows] == index]
            found.append(self._explained(index, seen.by_raw[0, own], seen.by_white[0, own]))
        return torch.cat(found)

    def of_sensors(self, seen: Linearised, grid: Grid) -> Float[Tensor, "G N N"]:
        """The same for each sensor, as triangles. grid: the first values in seen, at the same times for each."""
        assert grid.index is not None
        stacks = list[Tensor]()
        for index in range(len(self.follow)):
            own = (grid.trajectory == index).nonzero().flatten()
            if len(own):
                times = len(grid.time[own].unique())
                by_raw, by_white = (
                    one[0, own].unflatten(0, (times, -1)).transpose(0, 1) for one in (seen.by_raw, seen.by_white)
                )
                stacks.append(self._explained(index, by_raw, by_white))
        triangles: Tensor = torch.linalg.qr(torch.cat(stacks, dim=1), mode="r")[1]
        return triangles

    def _explained(self, index: int, by_raw: Float[Tensor, "*G K N"], by_white: Float[Tensor, "*G K n"]) -> Tensor:
        """Rows whose products are the information on the unknowns."""
        slope, spread = by_raw + by_white @ self.follow[index], by_white @ self.root[index].mT
        count, n = spread.shape[-2:]
        if count <= n:
            eye = torch.eye(count, dtype=slope.dtype, device=slope.device)
            factor = torch.linalg.cholesky(eye + spread @ spread.mT)
            solved: Tensor = torch.linalg.solve_triangular(factor, slope, upper=False)
            return solved
        # (1 + S Sᵀ)⁻¹ is what Q of (S; 1) leaves of the rows, without a large matrix.
        identity = torch.eye(n, dtype=slope.dtype, device=slope.device).expand(*spread.shape[:-2], n, n)
        q = torch.linalg.qr(torch.cat([spread, identity], dim=-2))[0]
        padded = torch.nn.functional.pad(slope, (0, 0, 0, n))
        left: Tensor = padded - q @ (q.mT @ padded)
        return left


@dataclass(frozen=True)
class Measure:
    """Standard deviations of the unknowns. slopes: by name, derivatives to the raw numbers. now: as they are."""

    slopes: Mapping[str, Float[Tensor, "K N"]]
    now: Mapping[str, float]

    @classmethod
    def of(cls, found: Estimation, information: FullInformation) -> Measure:
        unknowns, slopes = found.problem.unknowns, dict[str, Tensor]()
        raw = found.z[: len(unknowns)]
        for name, parameter in unknowns.parameters.items():
            if isinstance(parameter, Elementwise):
                # Of the raw number, which the interval is formed in.
                slopes[name] = torch.eye(len(raw), dtype=raw.dtype, device=raw.device)[unknowns.place(name)]
            else:
                slopes[name] = torch.func.jacfwd(partial(unknowns.value, name))(raw).double().reshape(-1, len(raw))
        return cls(slopes, {name: _size(information, slope) for name, slope in slopes.items()})

    def factors(self, information: FullInformation) -> dict[str, float]:
        then = {name: _size(information, slope) for name, slope in self.slopes.items()}
        return {
            name: 1.0 if math.isinf(then[name]) else max(1.0, self.now[name] / then[name]) for name in self.slopes
        }


def _size(information: FullInformation, slope: Float[Tensor, "K N"]) -> float:
    return float(information.deviations(slope).square().mean().sqrt())


def greedy(
    base: Base,
    linear: Linearised,
    seen: Linearised,
    grid: Grid,
    triangles: Float[Tensor, "G N N"],
    count: int,
) -> tuple[list[int], FullInformation]:
    """Sensors one after the other, each the best beside those before it; and what is known with all of them."""
    chosen = list[int]()
    while True:
        best = max(range(len(triangles)), key=lambda one: _log_determinant(base.information(triangles[one])))
        chosen.append(best)
        if len(chosen) == count:
            return chosen, base.information(triangles[best])
        rows = torch.arange(best, grid.size, len(triangles), device=linear.trajectory.device)
        linear = _beside(linear, seen, rows)
        base = Base.at(linear, base.idle, base.labels)
        triangles = base.of_sensors(seen, grid)


def _beside(linear: Linearised, seen: Linearised, rows: Int[Tensor, " K"]) -> Linearised:
    parts = {
        name: torch.cat([getattr(linear, name), getattr(seen, name)[:, rows]], dim=1)
        for name in ("misfit", "by_raw", "by_white")
    }
    return replace(linear, **parts, trajectory=torch.cat([linear.trajectory, seen.trajectory[rows]]))


def _log_determinant(information: FullInformation) -> float:
    return float(information.values.clamp(min=RESOLUTION * float(information.values[0])).log().sum())
