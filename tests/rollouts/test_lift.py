"""States of a coarse grid on a finer one: exact where they can be, of their order elsewhere, and the way back."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from physics_cases import F64
from torch import Tensor

from cotwin.data.coarsen import coarsened
from cotwin.layout import Boundary, Field, Layout
from cotwin.physics.initial_flow import random_flow
from cotwin.physics.projection import divergence, with_end_face
from cotwin.rollouts.lift import lifted

SMOKE = (Field("velocity", components=2), Field("smoke"))
ENDS: list[tuple[Boundary, Boundary]] = [
    ("periodic", "periodic"),
    ("dirichlet", "periodic"),
    ("neumann", "dirichlet"),
    ("periodic", "neumann"),
]


def box(fields: tuple[Field, ...], ends: tuple[Boundary, ...], grid: tuple[int, ...]) -> Layout:
    return Layout.box(fields, grid=grid, extent=[(0, 1 + axis) for axis in range(len(grid))], boundary=ends, dt=0.1)


@pytest.mark.parametrize("staggered", [set(), {"velocity"}])
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("grid", [(9, 8), (3, 4)])
def test_what_is_lifted_and_made_coarse_again_is_itself(
    ends: tuple[Boundary, Boundary], grid: tuple[int, int], staggered: set[str]
) -> None:
    layout = box(SMOKE, ends, grid)
    states = torch.randn(2, 3, *grid, generator=torch.Generator().manual_seed(0), dtype=F64)
    for axis in (0, 1):
        if staggered and ends[axis] == "dirichlet":
            states[:, axis].select(axis + 1, 0).zero_()  # a wall's face
    fine = lifted(states, layout, 3, staggered)
    assert fine.shape == (2, 3, 3 * grid[0], 3 * grid[1])
    assert torch.allclose(coarsened(fine[:, None], layout, 3, staggered)[:, 0], states, atol=1e-13)


@pytest.mark.parametrize("points", [8, 9])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_along_periodic_axes_it_is_exact_for_resolved_modes(points: int, factor: int) -> None:
    layout = box((Field("u"),), ("periodic",), (points,))
    coarse, fine = (torch.arange(n, dtype=F64) * (2 * math.pi / n) for n in (points, factor * points))

    def wave(x: Tensor) -> Tensor:
        return (1.0 + torch.cos(3 * x + 0.3) + torch.sin(x))[None, None]

    assert torch.allclose(lifted(wave(coarse), layout, factor), wave(fine), atol=1e-13)


@pytest.mark.parametrize("points", [24, 25])
def test_the_highest_mode_becomes_a_cosine(points: int) -> None:
    """Mirror symmetry about a point survives, also where the highest mode's phase is unknown."""
    even = torch.cos(torch.arange(points, dtype=F64) * (2 * math.pi / points) * (points // 2))[None, None]
    fine = lifted(even, box((Field("u"),), ("periodic",), (points,)), 4)
    assert torch.allclose(fine, fine.flip(-1).roll(1, -1), atol=1e-13)
    assert float(fine.abs().max()) == pytest.approx(1.0, abs=1e-12)


def means(points: int) -> Tensor:
    """Of e^x sin 3x over each cell, whatever a wall asks for."""
    x = torch.linspace(0, 1, points + 1, dtype=F64)
    integral = x.exp() * ((3 * x).sin() - 3 * (3 * x).cos()) / 10
    return (integral.diff() * points)[None, None]


def test_between_walls_means_are_of_fifth_order_up_to_the_walls() -> None:
    errors = []
    for points in (16, 32, 64):
        layout = box((Field("u"),), ("neumann",), (points,))
        errors.append(float((lifted(means(points), layout, 3) - means(3 * points)).abs().max()))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert min(orders) > 4.8


@pytest.mark.parametrize("ends", ENDS)
def test_a_flow_is_lifted_to_where_it_is_and_all_but_keeps_to_having_no_divergence(
    ends: tuple[Boundary, Boundary],
) -> None:
    errors, sources = [], []
    for points in (16, 32, 64):
        layout = box((Field("velocity", components=2),), ends, (points, points))
        exact, coarse = (
            random_flow(one, 2, torch.Generator().manual_seed(4), modes=1, dtype=F64)
            for one in (layout.refined(3), layout)
        )
        # Both have the same mean square, not the same size of the stream function.
        coarse = coarse * (coarsened(exact[:, None], layout, 3, {"velocity"})[:, 0].norm() / coarse.norm())
        fine = lifted(coarse, layout, 3, {"velocity"})
        errors.append(float((fine - exact).abs().max()))
        faces = with_end_face(fine, layout.refined(3))
        sources.append(float(divergence(faces, layout.refined(3)).abs().max()))
    assert errors[0] > 7 * errors[1] > 49 * errors[2]
    assert sources[0] > 5 * sources[1] > 25 * sources[2]
