"""Four models with three unknown positive numbers each, in one dimension and in two."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cotwin import Field, Known, Layout, Positive, Stepper, rollout
from cotwin.estimation import Grid, LeastSquares, Measurements
from cotwin.parameters import CoarseField, Parameter
from cotwin.physics import Fisher, Heat, SpectralBurgers, SpectralGrayScott, random_fourier
from cotwin.physics.closures import Constant, Logistic

F64 = torch.float64
STEPS = 20
OFF = torch.tensor([0.3, -0.3, 0.2], dtype=F64)
"""By how much the search begins beside the truth, in logarithms."""


@dataclass(frozen=True)
class Problem:
    """A model by its unknowns, at which it makes the data, the starts of its rollouts, and the noise of the data."""

    name: str
    truth: Tensor
    build: Callable[[Tensor], Stepper]
    starts: Tensor
    noise: float

    def observation(self) -> Grid:
        return Grid(self.build(self.truth).layout, len(self.starts), STEPS)

    def values(self, draws: int) -> Tensor:
        """Of all grid points and steps, with noise drawn anew in each row; always from seed 0."""
        seen = self.observation()
        with torch.no_grad():
            clean = seen(rollout(self.build(self.truth), self.starts, STEPS))
        generator = torch.Generator().manual_seed(0)
        return clean + self.noise * torch.randn(draws, seen.size, generator=generator, dtype=F64)

    def begin(self) -> Stepper:
        """The model from where the search begins."""
        return self.build(self.truth * OFF.exp())

    def least_squares(self, values: Tensor) -> LeastSquares:
        return LeastSquares(self.begin(), self.starts, Measurements(self.observation(), values, self.noise))


def problems() -> list[Problem]:
    """All small, as they are in practice where many estimates are needed, but for the last two."""
    line, circle = box(("u",), (64,), 1.0, 0.02, "neumann"), box(("u",), (64,), 2 * math.pi, 0.05)
    return [
        Problem(
            "heat 1-D, 64 points",
            torch.tensor([0.03, 0.05, 0.08], dtype=F64),
            lambda values: Heat(line, CoarseField(Positive(values), line)),
            random_fourier(line, 2, torch.Generator().manual_seed(0), dtype=F64),
            noise=0.05,
        ),
        Problem(
            "Burgers 1-D, 64 points",
            torch.tensor([0.1, 0.05, 0.08], dtype=F64),
            lambda values: SpectralBurgers(circle, CoarseField(Positive(values), circle)),
            random_fourier(circle, 2, torch.Generator().manual_seed(0), dtype=F64),
            noise=0.05,
        ),
        colony(box(("u",), (64,), 20.0, 0.25, "neumann")),
        spots(24),
        colony(box(("u",), (48, 48), 20.0, 0.25, "neumann")),
        spots(64),
    ]


def colony(layout: Layout) -> Problem:
    """Fisher's equation: diffusivity, growth rate and capacity."""
    bump = torch.tensor(0.5, dtype=F64)
    for axis in range(layout.dims):
        x = torch.tensor(layout.points(axis), dtype=F64)
        bump = bump[..., None] * torch.exp(-(((x - 10.0) / 2) ** 2))
    points = " × ".join(map(str, layout.grid))
    return Problem(
        f"Fisher {layout.dims}-D, {points} points",
        torch.tensor([0.5, 1.0, 1.2], dtype=F64),
        lambda values: Fisher(layout, Constant(one(values[0])), Logistic(one(values[1]), one(values[2])), 3.0),
        bump[None, None],
        noise=0.05,
    )


def spots(points: int) -> Problem:
    """Gray-Scott: the diffusivity of U, feed and kill; that of V is known."""
    layout = box(("U", "V"), (points, points), 1.0, 5.0)
    start = torch.zeros(1, 2, points, points, dtype=F64)
    inside = slice(points // 3, points // 2)
    start[:, 0] = 1.0
    start[:, 0, inside, inside], start[:, 1, inside, inside] = 0.5, 0.25
    known = Known(torch.tensor(1e-4, dtype=F64))
    return Problem(
        f"Gray-Scott 2-D, {points} × {points} points",
        torch.tensor([2e-4, 0.04, 0.06], dtype=F64),
        lambda values: SpectralGrayScott(layout, one(values[0]), known, one(values[1]), one(values[2]), substeps=5),
        start,
        noise=0.05,
    )


def one(value: Tensor) -> Parameter:
    return Positive(value)


def box(
    names: tuple[str, ...], grid: tuple[int, ...], length: float, dt: float, boundary: str = "periodic"
) -> Layout:
    extent = [(0.0, length)] * len(grid)
    return Layout.box([Field(name) for name in names], grid=grid, extent=extent, boundary=boundary, dt=dt)
