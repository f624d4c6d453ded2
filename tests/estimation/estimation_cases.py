"""Small models of which all is known, and measurements made of them, for the tests of estimates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cotwin.estimation import Grid, Measurements
from cotwin.layout import Boundary, Field, Layout
from cotwin.parameters import Parameter, Positive, Real
from cotwin.physics.closures import Constant, Logistic
from cotwin.physics.fisher import Fisher
from cotwin.physics.function import FunctionStepper
from cotwin.physics.heat import Heat
from cotwin.physics.initial import random_fourier
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.stepper import Stepper, rollout

F64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=F64)


def positive(value: float) -> Positive:
    return Positive(torch.tensor(value, dtype=F64))


def line(points: int, boundary: Boundary = "periodic", dt: float = 0.1, length: float = 1.0) -> Layout:
    return Layout.box([Field("u")], grid=(points,), extent=[(0.0, length)], boundary=boundary, dt=dt)


def starts(layout: Layout, count: int = 2, seed: int = 0) -> Tensor:
    return random_fourier(layout, count, generator(seed), dtype=F64)


def heat(diffusivity: float = 0.02, points: int = 24) -> Heat:
    return Heat(line(points, "neumann"), positive(diffusivity))


def burgers(viscosity: float = 0.1) -> SpectralBurgers:
    return SpectralBurgers(line(32, dt=0.1, length=2 * math.pi), positive(viscosity))


def fisher(diffusivity: float = 0.5, rate: float = 1.0, capacity: float = 1.2) -> Fisher:
    layout = line(32, "neumann", dt=0.5, length=20.0)
    return Fisher(layout, Constant(positive(diffusivity)), Logistic(positive(rate), positive(capacity)), 3.0)


def colony(layout: Layout) -> Tensor:
    """A start for Fisher's equation: a bump in the middle."""
    x = torch.tensor(layout.points(0), dtype=F64)
    return (0.5 * torch.exp(-(((x - 10.0) / 2) ** 2)))[None, None]


def sources(layout: Layout, **amounts: Parameter) -> FunctionStepper:
    """∂u/∂t = Σ_k a_k cos(k π x): linear in the amounts a_k, of any names, and in the start."""
    x = torch.tensor(layout.points(0), dtype=F64)
    shapes = [torch.cos(math.pi * order * x) for order in range(1, len(amounts) + 1)]

    def step(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        return u + dt * sum(value * shape for value, shape in zip(values.values(), shapes, strict=True))

    return FunctionStepper(layout, step, amounts)


def two_sources(first: float = 0.0, second: float = 0.0) -> FunctionStepper:
    return sources(line(12), first=Real(torch.tensor(first, dtype=F64)), second=Real(torch.tensor(second, dtype=F64)))


def clean(stepper: Stepper, states: Tensor, num_steps: int) -> Tensor:
    """The rollout, for what is measured of it."""
    with torch.no_grad():
        return rollout(stepper, states, num_steps)


def measured(
    stepper: Stepper,
    states: Tensor,
    num_steps: int,
    level: float,
    *,
    seed: int = 0,
    first: int = 1,
    known: bool = True,
) -> Measurements:
    """All of the grid at all steps, with noise of one level in all channels; known tells whether it is given away."""
    seen = Grid(stepper.layout, len(states), num_steps, first=first)
    values = seen(clean(stepper, states, num_steps)) + level * noise(seen.size, seed=seed)
    return Measurements(seen, values, level if known else None)
