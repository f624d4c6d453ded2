"""Ends of one axis that differ: what a twice as long domain with a mirror in its middle says of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from physics_cases import F64, known, scalar
from torch import Tensor

from cotwin.layout import Ends, Field, Layout
from cotwin.physics.advection_diffusion import AdvectionDiffusion
from cotwin.physics.closures import Logistic, Power
from cotwin.physics.fisher import Fisher
from cotwin.physics.gray_scott import GrayScott
from cotwin.physics.heat import Heat
from cotwin.physics.initial import random_fourier
from cotwin.stepper import Stepper, rollout


def plane(fields: list[Field], ends: Ends, length: float) -> Layout:
    points = int(8 * length)
    boundary: tuple[Ends, ...] = (ends, "periodic")
    return Layout.box(fields, grid=(points, 6), extent=[(0, length), (0, 1)], boundary=boundary, dt=0.05)


def heat(layout: Layout, mirror: Callable[[Tensor], Tensor]) -> Heat:
    return Heat(layout, known(mirror(0.05 + 0.1 * torch.rand(8, 6, generator=torch.Generator(), dtype=F64))))


def carried(layout: Layout, mirror: Callable[[Tensor], Tensor]) -> AdvectionDiffusion:
    along_the_wall = torch.stack([torch.zeros(layout.grid, dtype=F64), mirror(torch.ones(8, 6, dtype=F64))])
    return AdvectionDiffusion(layout, known(along_the_wall), scalar(0.1))


def fisher(layout: Layout, mirror: Callable[[Tensor], Tensor]) -> Fisher:
    return Fisher(layout, Power(scalar(0.1), scalar(1.3), scalar(2.0)), Logistic(scalar(0.8), scalar(1.3)), 3.0)


def gray_scott(layout: Layout, mirror: Callable[[Tensor], Tensor]) -> GrayScott:
    return GrayScott(layout, scalar(0.02), scalar(0.01), scalar(0.4), scalar(0.6))


@pytest.mark.parametrize("build", [heat, carried, fisher, gray_scott])
@pytest.mark.parametrize("ends", [("dirichlet", "neumann"), ("neumann", "dirichlet")])
def test_a_wall_without_flux_is_a_mirror(
    build: Callable[[Layout, Callable[[Tensor], Tensor]], Stepper], ends: Ends
) -> None:
    fields = [Field("U"), Field("V")] if build is gray_scott else [Field("u")]

    def mirror(half: Tensor) -> Tensor:
        image = half.flip(-2)
        return torch.cat([half, image] if ends[1] == "neumann" else [image, half], dim=-2)

    layout = plane(fields, ends, 1.0)
    half = random_fourier(layout, 2, torch.Generator().manual_seed(0), modes=2, dtype=F64).tanh().square()
    found = rollout(build(layout, lambda one: one), half, 4)
    expected = rollout(build(plane(fields, "dirichlet", 2.0), mirror), mirror(half), 4)
    torch.testing.assert_close(mirror(found), expected, rtol=0, atol=1e-13)
