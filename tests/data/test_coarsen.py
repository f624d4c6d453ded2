"""Finer states on a coarser grid: what stays the same."""

from __future__ import annotations

import pytest
import torch
from physics_cases import seeded

from cotwin.data.coarsen import coarsened
from cotwin.layout import Boundary, Field, Layout
from cotwin.physics import random_flow, random_fourier, random_smoke
from cotwin.physics.projection import divergence, with_end_face

F64 = torch.float64
SMOKE = (Field("velocity", components=2), Field("smoke"))
STAGGERED = {"velocity"}


def box(ends: tuple[Boundary, Boundary], grid: tuple[int, int] = (16, 12)) -> Layout:
    return Layout.box(SMOKE, grid=grid, extent=[(0, 2), (1, 3)], boundary=ends, dt=0.1)


def test_coarse_states_are_at_the_points_of_the_data() -> None:
    """Along a periodic axis the same points, between walls the means of cells, equal to second order."""
    layout = Layout.box([Field("u")], grid=(64, 32), extent=[(0, 1)] * 2, boundary=("neumann", "periodic"), dt=0.1)
    fine, coarse = (
        random_fourier(one, 2, torch.Generator().manual_seed(0), modes=2)[:, None]
        for one in (layout.refined(3), layout)
    )
    found = coarsened(fine, layout, 3)
    assert found.shape == coarse.shape
    assert (found - coarse).abs().max() < 2e-3
    assert torch.allclose(found.mean(dim=3), coarse.mean(dim=3), atol=1e-5)


@pytest.mark.parametrize(
    ("ends", "factor"),
    [
        (("periodic", "periodic"), 3),
        (("dirichlet", "dirichlet"), 2),
        (("dirichlet", "periodic"), 5),
        (("neumann", "dirichlet"), 4),
    ],
)
def test_a_flow_without_divergence_has_none_on_the_coarse_grid(ends: tuple[Boundary, Boundary], factor: int) -> None:
    layout = box(ends)
    fine = random_smoke(layout.refined(factor), 4, seeded(), dtype=F64)[:, None]
    coarse = coarsened(fine, layout, factor, STAGGERED)[:, 0]
    assert divergence(with_end_face(coarse[:, :2], layout), layout).abs().max() < 1e-12
    # Of the smoke nothing is lost.
    assert torch.allclose(coarse[:, 2].mean(dim=(1, 2)), fine[:, 0, 2].mean(dim=(1, 2)), rtol=1e-12)


@pytest.mark.parametrize("ends", [("periodic", "periodic"), ("dirichlet", "periodic")])
def test_a_coarse_flow_is_where_the_fine_one_is(ends: tuple[Boundary, Boundary]) -> None:
    """Up to its mean square it is the flow drawn on the coarse grid, exactly: both are differences of one ψ."""
    layout = box(ends)
    fine, coarse = (random_flow(one, 3, seeded(4), dtype=F64) for one in (layout.refined(3), layout))
    found = coarsened(fine[:, None], layout, 3, STAGGERED)[:, 0]
    scale = float((found * coarse).sum() / found.square().sum())
    assert scale == pytest.approx(1, abs=0.06)
    assert torch.allclose(scale * found, coarse, rtol=0, atol=1e-12)


def test_cells_whose_middles_do_not_fit_are_refused() -> None:
    layout = box(("periodic", "dirichlet"))
    with pytest.raises(ValueError, match="odd number of them, such as 3"):
        coarsened(torch.zeros(1, 1, 3, 32, 24), layout, 2, STAGGERED)


def test_states_that_the_factor_does_not_divide_are_refused() -> None:
    layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 1)], boundary="neumann", dt=0.1)
    with pytest.raises(ValueError, match=r"grid \(9,\) are not 2 times as fine as \(4,\)"):
        coarsened(torch.zeros(1, 2, 1, 9), layout, 2)
