"""Solid cells: nothing passes them, nothing in them matters, and a straight one is a wall."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from physics_cases import F64, known, scalar, smooth
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.parameters import PointSources, Positive
from cotwin.physics.advection_diffusion import AdvectionDiffusion
from cotwin.physics.advection_diffusion_reaction import AdvectionDiffusionReaction
from cotwin.physics.closures import Logistic, Power
from cotwin.physics.darcy import Darcy
from cotwin.physics.fisher import Fisher
from cotwin.physics.gray_scott import GrayScott
from cotwin.physics.heat import Heat
from cotwin.physics.rate_laws import lotka_volterra
from cotwin.physics.wave import Wave
from cotwin.stepper import Stepper, rollout

PREY = {"growth": 1.0, "predation": 0.7, "gain": 0.5, "death": 0.6}
Build = Callable[..., Stepper]


def varied(layout: Layout, value: float) -> Positive:
    """A field that varies along y alone, whatever the box's width."""
    wave = torch.sin(torch.arange(layout.grid[1], dtype=F64))
    return Positive(value * (1 + 0.3 * wave).expand(layout.grid).contiguous())


def carried(layout: Layout, **around: str) -> AdvectionDiffusion:
    waves = torch.rand(2, *layout.grid, generator=torch.Generator().manual_seed(1), dtype=F64)
    return AdvectionDiffusion(layout, Positive(waves), varied(layout, 0.1), **around)


def eaten(layout: Layout, **around: str) -> AdvectionDiffusionReaction:
    rates = {name: scalar(one) for name, one in PREY.items()}
    return AdvectionDiffusionReaction(layout, lotka_volterra, (scalar(0.1), scalar(0.2)), rates, **around)


def _porous() -> Power:
    return Power(scalar(0.1), scalar(1.3), scalar(1.5))


MODELS: dict[str, tuple[int, Build]] = {
    "heat": (1, lambda y, **around: Heat(y, varied(y, 0.3), **around)),
    "heat, scalar": (1, lambda y, **around: Heat(y, scalar(0.3), **around)),
    "advection and diffusion": (1, carried),
    "reactions": (2, eaten),
    "groundwater": (1, lambda y, **around: Darcy(y, varied(y, 0.3), varied(y, 0.6), **around)),
    "Fisher": (1, lambda y, **around: Fisher(y, _porous(), Logistic(scalar(0.8), scalar(1.3)), 3.0, **around)),
    "Gray-Scott": (2, lambda y, **around: GrayScott(y, *map(scalar, (0.2, 0.1, 0.4, 0.6)), **around)),
    "wave": (2, lambda y, **around: Wave(y, varied(y, 0.8), scalar(0.2), **around)),
}
every_model = pytest.mark.parametrize("name", MODELS)


def box(fields: int, grid: tuple[int, int] = (10, 12), width: float = 2.0) -> Layout:
    moving = [Field("uv"[index]) for index in range(fields)]
    return Layout.box(
        [Field("solid", static=True), *moving],
        grid=grid,
        extent=[(0.0, width), (0.0, 3.0)],
        boundary=("neumann", "periodic"),
        dt=0.05,
    )


def around_solids(layout: Layout) -> Tensor:
    """Three starts, with an obstacle each: a block, a lone cell with a strip at the wall, none."""
    start = smooth(layout)
    solid = torch.zeros(3, *layout.grid, dtype=F64)
    solid[0, 3:6, 4:9] = 1.0
    solid[1, 7, 11], solid[1, 0, :5] = 1.0, 1.0
    return torch.cat([solid[:, None], start[:, 1:]], dim=1)


@every_model
def test_what_solid_cells_hold_stays_and_does_not_matter(name: str) -> None:
    fields, build = MODELS[name]
    layout = box(fields)
    model, start = build(layout, obstacle="solid"), around_solids(layout)
    solid = start[:, :1].bool()
    found = rollout(model, start, 4)
    junk = torch.where(solid & (torch.arange(fields + 1) > 0).view(-1, 1, 1), torch.nan, start)
    spoiled = model.rollout(junk, 4)
    assert torch.equal(torch.where(solid[:, None], start[:, None], spoiled), found)
    assert torch.equal(
        found.masked_select(solid[:, None]), start[:, None].expand_as(found).masked_select(solid[:, None])
    )
    fluid = spoiled.masked_select(~solid[:, None])
    fluid.square().sum().backward()
    assert all(bool(one.grad.isfinite().all()) for one in model.parameters())
    apart = torch.cat([rollout(model, one[None], 4) for one in start])
    assert torch.allclose(found, apart, rtol=0, atol=1e-13)
    free = build(layout)
    assert torch.allclose(rollout(free, start, 4)[2], found[2], rtol=0, atol=1e-13), "no obstacle"


@pytest.mark.parametrize("name", ["heat", "advection and diffusion", "wave"])
def test_what_is_in_the_fluid_is_kept(name: str) -> None:
    fields, build = MODELS[name]
    layout = Layout.box(
        box(fields).fields, grid=(10, 12), extent=[(0.0, 2.0), (0.0, 3.0)], boundary="periodic", dt=0.05
    )
    start = around_solids(layout)
    fluid = start[:, :1] == 0
    states = rollout(build(layout, obstacle="solid"), start, 10)
    whole = (states * fluid[:, None])[:, :, -1].sum(dim=(-1, -2))
    # Of waves the velocity, which damping alone takes away.
    left = torch.exp(-(0.2 if name == "wave" else 0.0) * 0.05 * torch.arange(11, dtype=F64))
    assert torch.allclose(whole, whole[:, :1] * left, rtol=0, atol=1e-12)


# A wall lets pass what flows through it, which a velocity would say.
@pytest.mark.parametrize("name", [name for name in MODELS if name != "advection and diffusion"])
def test_a_straight_one_is_a_wall(name: str) -> None:
    """The lower six of ten rows, in a box that ends there and in one whose rest is solid."""
    fields, build = MODELS[name]
    whole, part = box(fields), box(fields, (6, 12), 1.2)
    start = smooth(whole)
    start[:, 0] = 0.0
    start[:, 0, 6:] = 1.0
    found = rollout(build(whole, obstacle="solid"), start, 5)[..., :6, :]
    alone = rollout(build(part), start[..., :6, :], 5)
    assert torch.allclose(found[:, :, 1:], alone[:, :, 1:], rtol=0, atol=1e-12)


def test_a_well_behind_a_dam_is_not_felt_before_it() -> None:
    layout = Layout.box(
        [Field("head"), Field("dam", static=True)],
        grid=(9, 8),
        extent=[(0, 9.0), (0, 8.0)],
        boundary="neumann",
        dt=0.5,
    )
    start = torch.zeros(1, 2, 9, 8, dtype=F64)
    start[:, 1, 4] = 1.0
    pumped = PointSources(known([-3.0]), [[7.2, 4.1]], layout)
    head = rollout(Darcy(layout, scalar(1.0), scalar(0.2), pumped, obstacle="dam"), start, 6)[0, :, 0]
    assert torch.equal(head[:, :5], torch.zeros(7, 5, 8, dtype=F64))
    missing = -head[:, 5:].sum(dim=(1, 2)) * 0.2
    assert torch.allclose(missing, 3.0 * 0.5 * torch.arange(7, dtype=F64), rtol=0, atol=1e-12)


def test_an_obstacle_is_a_static_field() -> None:
    layout = box(1)
    for wrong in ("u", "stone"):
        with pytest.raises(ValueError, match=f"obstacle is '{wrong}'; it names a static field.*has solid"):
            Heat(layout, scalar(0.1), obstacle=wrong)
