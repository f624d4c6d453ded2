"""The native steppers on small layouts, each with a smooth start: what the contract test runs over."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cotwin.layout import Boundary, Ends, Field, Layout
from cotwin.parameters import CoarseField, Known, PointSources, Positive, Vector
from cotwin.physics.advection import Advection
from cotwin.physics.advection_diffusion import AdvectionDiffusion
from cotwin.physics.advection_diffusion_reaction import AdvectionDiffusionReaction
from cotwin.physics.allen_cahn import AllenCahn
from cotwin.physics.burgers import Burgers
from cotwin.physics.closures import Constant, Logistic, NetworkClosure, Power
from cotwin.physics.darcy import Darcy
from cotwin.physics.fisher import Fisher
from cotwin.physics.gray_scott import GrayScott, SpectralGrayScott
from cotwin.physics.heat import Heat
from cotwin.physics.incompressible import IncompressibleFlow
from cotwin.physics.initial import random_fourier
from cotwin.physics.inviscid_burgers import InviscidBurgers
from cotwin.physics.korteweg_de_vries import KortewegDeVries
from cotwin.physics.kuramoto_sivashinsky import KuramotoSivashinsky
from cotwin.physics.navier_stokes import NavierStokes
from cotwin.physics.rate_laws import lotka_volterra
from cotwin.physics.shallow_water import LinearShallowWater
from cotwin.physics.smoke import Smoke
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.physics.swift_hohenberg import SwiftHohenberg
from cotwin.physics.wave import Wave
from cotwin.rollouts import Refined
from cotwin.stepper import Stepper

F64 = torch.float64


def box(
    fields: list[Field],
    grid: tuple[int, ...],
    boundary: Boundary | tuple[Ends, ...] = "periodic",
    dt: float = 0.05,
) -> Layout:
    """A layout whose axes have different lengths, so that swapped axes show."""
    return Layout.box(
        fields, grid=grid, extent=[(-1.0, 1.0 + axis) for axis in range(len(grid))], boundary=boundary, dt=dt
    )


def known(value: float | list[float] | Tensor) -> Known:
    return Known(torch.as_tensor(value, dtype=F64))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scalar(value: float) -> Positive:
    return Positive(torch.tensor(value, dtype=F64))


def field(layout: Layout, value: float) -> CoarseField:
    """Around `value`, varying by a factor of about three, with one largest value."""
    coarse = tuple(min(4 + axis, points) for axis, points in enumerate(layout.grid))
    wave = torch.randn(coarse, generator=torch.Generator().manual_seed(3), dtype=F64).tanh()
    return CoarseField(Positive(value * torch.exp(0.6 * wave)), layout)


def forced(layout: Layout) -> Vector:
    """A source for each of two channels: a field and a number."""
    return Vector(field(layout, 0.2), scalar(0.3))


def smooth(layout: Layout, count: int = 3, seed: int = 0, modes: int = 2) -> Tensor:
    """Smooth starts in double precision that meet the boundary conditions, static channels included."""
    every = Layout(
        tuple(Field(spec.name, spec.components) for spec in layout.fields),
        layout.grid,
        layout.lower,
        layout.upper,
        ("periodic",) * layout.dims,
        layout.dt,
    )
    start = random_fourier(every, count, torch.Generator().manual_seed(seed), modes=modes, amplitude=0.5, dtype=F64)
    for axis in range(layout.dims):
        kind, other = layout.sides(axis)
        length = layout.upper[axis] - layout.lower[axis]
        x = (torch.tensor(layout.points(axis), dtype=F64) - layout.lower[axis]) / length
        shape = [-1] + [1] * (layout.dims - 1 - axis)
        if kind != other:
            quarter = (torch.sin if kind == "dirichlet" else torch.cos)(math.pi / 2 * x)
            start = start.std(dim=axis + 2, keepdim=True) * quarter.view(shape)
        elif kind == "dirichlet":
            start = start * torch.sin(math.pi * x).view(shape)
        elif kind == "neumann":
            start = start.mean(dim=axis + 2, keepdim=True) + torch.cos(math.pi * x).view(shape)
    return start


@dataclass(frozen=True)
class Case:
    """A stepper on a layout, once without and once with static fields around the moving ones."""

    name: str
    moving: tuple[Field, ...]
    grid: tuple[int, ...]
    boundary: Boundary | tuple[Ends, ...]
    build: Callable[[Layout], Stepper]
    composes: bool = True  # whether two rollouts in sequence are one

    def stepper(self, static: bool = False) -> Stepper:
        before, after = [Field("depth", static=True)], [Field("wind", components=2, static=True)]
        fields = [*before, *self.moving, *after] if static else list(self.moving)
        return self.build(box(fields, self.grid, self.boundary))


def _finer(layout: Layout, build: Callable[[Layout], Stepper]) -> Refined:
    return Refined(build(layout.refined(3)), layout, 3)


def _refined(layout: Layout) -> Refined:
    fine = layout.refined(2)
    return Refined(SpectralBurgers(fine, field(fine, 0.1), substeps=2), layout, 2)


def _advection(layout: Layout, diffusivity: Positive | None, source: Vector | None = None) -> Advection:
    velocity = torch.tensor([0.7, 0.4, 1.1], dtype=F64)[: layout.dims]
    return Advection(layout, Positive(velocity), diffusivity, source)


def _burgers_3d(layout: Layout) -> Burgers:
    return Burgers(layout, field(layout, 0.1), 2.0)


def _gray_scott(layout: Layout) -> SpectralGrayScott:
    return SpectralGrayScott(layout, scalar(0.02), scalar(0.01), scalar(0.4), scalar(0.6))


def _gray_scott_walls(layout: Layout) -> GrayScott:
    return GrayScott(layout, scalar(0.02), scalar(0.01), scalar(0.4), scalar(0.6))


def _logistic() -> Logistic:
    return Logistic(scalar(0.8), scalar(1.3))


def _porous() -> Power:
    return Power(scalar(0.1), scalar(1.3), scalar(1.5))


def _fisher_networks(layout: Layout) -> Fisher:
    generator = torch.Generator().manual_seed(4)
    diffusivity = NetworkClosure(0.0, 0.3, 1.0, width=4, generator=generator)
    growth = NetworkClosure(-1.0, 1.0, 1.0, width=4, generator=generator)
    for closure in (diffusivity, growth):
        torch.nn.init.normal_(closure.height, generator=generator)
    return Fisher(layout, diffusivity, growth, 3.0).double()


def _linear_water(layout: Layout) -> LinearShallowWater:
    return LinearShallowWater(layout, scalar(1.2), scalar(0.8), 1.5)


def _smoke(layout: Layout) -> Smoke:
    x, y = (torch.linspace(-1, 1, n, dtype=F64) for n in layout.grid)
    shape = torch.exp(-8 * (x[:, None] ** 2 + (y[None, :] + 0.5) ** 2))
    return Smoke(layout, scalar(0.05), scalar(0.8), 3.0, scalar(0.4), shape, scalar(0.02))


def _stream(layout: Layout) -> Positive:
    """A velocity field that varies along each axis."""
    waves = [torch.sin(torch.arange(n, dtype=F64) * (2 * math.pi / n)) for n in layout.grid]
    x, y = waves[0][:, None], waves[1][None, :]
    return Positive(torch.stack([0.5 + 0.2 * x + 0.1 * y, 0.4 - 0.1 * x + 0.2 * y]))


def _wells(layout: Layout) -> PointSources:
    return PointSources(
        Vector(scalar(0.4), scalar(0.3), scalar(0.2)), [[-0.9, 1.97], [0.3, 0.2], [0.99, 0.0]], layout
    )


def _around(layout: Layout) -> IncompressibleFlow:
    solid = torch.zeros(layout.grid, dtype=torch.bool)
    solid[3:6, 4:7] = True
    return IncompressibleFlow(layout, scalar(0.05), 3.0, obstacle=solid)


def _prey() -> dict[str, Positive]:
    return {"growth": scalar(1.0), "predation": scalar(0.7), "gain": scalar(0.5), "death": scalar(0.6)}


CONCENTRATIONS = (Field("U"), Field("V"))
SMOKE = (Field("velocity", components=2), Field("smoke"))
WATER = (Field("h"), Field("u", components=2))
U, UV, UVW = ((Field("u", components=n),) for n in (1, 2, 3))
MIXED: tuple[Boundary, ...] = ("dirichlet", "neumann")

CASES = [
    Case("spectral Burgers 1-D, scalar", U, (24,), "periodic", lambda y: SpectralBurgers(y, scalar(0.1))),
    Case("spectral Burgers 1-D, field", U, (25,), "periodic", lambda y: SpectralBurgers(y, field(y, 0.1))),
    Case(
        "spectral Burgers 2-D, forced",
        UV,
        (12, 15),
        "periodic",
        lambda y: SpectralBurgers(y, scalar(0.1), source=forced(y)),
    ),
    Case("spectral Burgers 2-D, field", UV, (15, 12), "periodic", lambda y: SpectralBurgers(y, field(y, 0.1))),
    Case("spectral Burgers 3-D, scalar", UVW, (7, 8, 6), "periodic", lambda y: SpectralBurgers(y, scalar(0.1))),
    Case("spectral Burgers 3-D, field", UVW, (7, 8, 6), "periodic", lambda y: SpectralBurgers(y, field(y, 0.1))),
    Case("Burgers 3-D, field", UVW, (6, 7, 8), ("periodic", "dirichlet", "periodic"), _burgers_3d),
    Case("Burgers 1-D, scalar", U, (24,), "periodic", lambda y: Burgers(y, scalar(0.1), 2.0)),
    Case("Burgers 1-D, field, walls", U, (24,), "dirichlet", lambda y: Burgers(y, field(y, 0.1), 2.0)),
    Case("Burgers 2-D, scalar, walls", UV, (10, 14), "dirichlet", lambda y: Burgers(y, scalar(0.1), 2.0, 3)),
    Case(
        "Burgers 2-D, field, forced",
        UV,
        (14, 10),
        "periodic",
        lambda y: Burgers(y, field(y, 0.1), 2.0, source=forced(y)),
    ),
    Case("heat 1-D, scalar", U, (24,), "neumann", lambda y: Heat(y, scalar(0.3))),
    Case("heat 1-D, two walls", U, (24,), (("dirichlet", "neumann"),), lambda y: Heat(y, scalar(0.3))),
    Case("heat 1-D, field", U, (24,), "periodic", lambda y: Heat(y, field(y, 0.3))),
    Case(
        "heat 2-D, field, two fields, source",
        (*U, Field("c")),
        (12, 10),
        MIXED,
        lambda y: Heat(y, field(y, 0.3), source=field(y, 0.2)),
    ),
    Case("heat 2-D, wells", U, (11, 12), ("periodic", "neumann"), lambda y: Heat(y, scalar(0.3), source=_wells(y))),
    Case("heat 3-D, field", U, (6, 8, 7), (*MIXED, "periodic"), lambda y: Heat(y, field(y, 0.3))),
    Case("advection 1-D", U, (24,), "periodic", lambda y: Advection(y, scalar(0.7))),
    Case("advection 2-D, source", UV, (12, 15), "periodic", lambda y: _advection(y, scalar(0.05), forced(y))),
    Case("advection 3-D", U, (6, 7, 8), "periodic", lambda y: _advection(y, scalar(0.05))),
    Case("Korteweg-de Vries 1-D", U, (24,), "periodic", lambda y: KortewegDeVries(y, scalar(0.9), scalar(0.01))),
    Case("Zakharov-Kuznetsov 2-D", U, (12, 15), "periodic", lambda y: KortewegDeVries(y, scalar(0.9), scalar(0.01))),
    Case(
        "Kuramoto-Sivashinsky 1-D",
        U,
        (24,),
        "periodic",
        lambda y: KuramotoSivashinsky(y, scalar(1.1), scalar(0.2), scalar(0.01)),
    ),
    Case(
        "Kuramoto-Sivashinsky 2-D",
        U,
        (12, 15),
        "periodic",
        lambda y: KuramotoSivashinsky(y, scalar(1.1), scalar(0.2), scalar(0.01)),
    ),
    Case("Allen-Cahn 1-D", U, (25,), "periodic", lambda y: AllenCahn(y, scalar(0.02), scalar(1.5))),
    Case("Allen-Cahn 2-D", U, (12, 15), "periodic", lambda y: AllenCahn(y, scalar(0.02), scalar(1.5))),
    Case("Swift-Hohenberg 2-D", U, (12, 15), "periodic", lambda y: SwiftHohenberg(y, scalar(0.4), scalar(0.3))),
    Case(
        "Navier-Stokes, source",
        U,
        (12, 15),
        "periodic",
        lambda y: NavierStokes(y, scalar(0.02), source=field(y, 0.2)),
    ),
    Case(
        "Navier-Stokes, forced",
        U,
        (15, 12),
        "periodic",
        lambda y: NavierStokes(y, scalar(0.02), scalar(0.1), scalar(0.7), scalar(2.1)),
    ),
    Case("spectral Gray-Scott 2-D", CONCENTRATIONS, (12, 15), "periodic", _gray_scott),
    Case("spectral Gray-Scott 3-D", CONCENTRATIONS, (6, 7, 8), "periodic", _gray_scott),
    Case("Gray-Scott 2-D, walls", CONCENTRATIONS, (10, 12), ("neumann", "periodic"), _gray_scott_walls),
    Case("Fisher-KPP 1-D", U, (24,), "neumann", lambda y: Fisher(y, Constant(scalar(0.1)), _logistic(), 3.0)),
    Case("porous Fisher 2-D", U, (10, 12), "periodic", lambda y: Fisher(y, _porous(), _logistic(), 3.0)),
    Case("Fisher 1-D, networks", U, (24,), "neumann", _fisher_networks),
    Case("inviscid Burgers 1-D", U, (24,), "periodic", lambda y: InviscidBurgers(y, 2.0, field(y, 0.3))),
    Case("inviscid Burgers 2-D", UV, (10, 12), "periodic", lambda y: InviscidBurgers(y, 2.0, field(y, 0.3))),
    Case(
        "linear shallow water 2-D, walls",
        WATER,
        (10, 12),
        ("neumann", "periodic"),
        lambda y: LinearShallowWater(y, scalar(1.2), scalar(0.8), 1.5, scalar(0.1)),
    ),
    Case("linear shallow water 1-D", (Field("h"), Field("u")), (24,), "periodic", _linear_water),
    Case(
        "advection-diffusion 2-D, fields, source",
        U,
        (10, 12),
        MIXED,
        lambda y: AdvectionDiffusion(y, _stream(y), field(y, 0.1), source=field(y, 0.2)),
    ),
    Case(
        "advection-diffusion 3-D",
        U,
        (6, 7, 8),
        (*MIXED, "periodic"),
        lambda y: AdvectionDiffusion(y, Positive(torch.tensor([0.7, 0.4, 1.1], dtype=F64)), scalar(0.05)),
    ),
    Case(
        "reactions 2-D, carried",
        CONCENTRATIONS,
        (10, 12),
        ("neumann", "periodic"),
        lambda y: AdvectionDiffusionReaction(
            y, lotka_volterra, (scalar(0.02), field(y, 0.05)), _prey(), (scalar(0.3), scalar(0.6))
        ),
    ),
    Case(
        "pumped aquifer 2-D, fields",
        U,
        (11, 12),
        MIXED,
        lambda y: Darcy(y, field(y, 0.3), field(y, 0.7), _wells(y), scalar(0.1)),
    ),
    Case("wave 1-D", (Field("u"), Field("v")), (24,), ("dirichlet",), lambda y: Wave(y, scalar(0.9))),
    Case(
        "wave 3-D, field, damped, source",
        (Field("u"), Field("v")),
        (6, 7, 8),
        (*MIXED, "periodic"),
        lambda y: Wave(y, field(y, 0.8), scalar(0.5), field(y, 0.3)),
    ),
    Case("flow, closed", UV, (10, 12), "dirichlet", lambda y: IncompressibleFlow(y, scalar(0.05), 3.0)),
    Case("flow around a block", UV, (10, 12), ("periodic", "dirichlet"), _around),
    Case("flow, periodic", UV, (12, 9), "periodic", lambda y: IncompressibleFlow(y, scalar(0.05), 3.0, substeps=3)),
    Case(
        "flow, open along x",
        UV,
        (10, 12),
        ("neumann", "dirichlet"),
        lambda y: IncompressibleFlow(y, scalar(0.05), 3.0, slip=True),
    ),
    Case("smoke, closed", SMOKE, (10, 12), "dirichlet", _smoke),
    Case("smoke, open above and below", SMOKE, (12, 10), ("periodic", "neumann"), _smoke),
    Case("refined 1-D", U, (15,), "periodic", _refined, composes=False),
    Case("refined 2-D", UV, (10, 11), "periodic", _refined, composes=False),
    Case(
        "refined heat, walls",
        U,
        (6, 5),
        MIXED,
        lambda y: _finer(y, lambda fine: Heat(fine, field(fine, 0.3))),
        composes=False,
    ),
    Case("refined smoke, closed", SMOKE, (5, 6), "dirichlet", lambda y: _finer(y, _smoke), composes=False),
    Case(
        "refined flow, open along x",
        UV,
        (5, 6),
        ("neumann", "periodic"),
        lambda y: _finer(y, lambda fine: IncompressibleFlow(fine, scalar(0.05), 3.0)),
        composes=False,
    ),
]
