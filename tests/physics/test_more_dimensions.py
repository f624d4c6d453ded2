"""What does not vary along an axis is the solution without that axis."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from physics_cases import CONCENTRATIONS, F64, U, known, smooth

from cotwin.layout import Field, Layout
from cotwin.physics.allen_cahn import AllenCahn
from cotwin.physics.closures import Constant, Logistic
from cotwin.physics.fisher import Fisher
from cotwin.physics.gray_scott import GrayScott, SpectralGrayScott
from cotwin.physics.inviscid_burgers import InviscidBurgers
from cotwin.physics.korteweg_de_vries import KortewegDeVries
from cotwin.physics.kuramoto_sivashinsky import KuramotoSivashinsky
from cotwin.physics.swift_hohenberg import SwiftHohenberg
from cotwin.stepper import Stepper, rollout

GRAY_SCOTT = (known(0.02), known(0.01), known(0.4), known(0.6))
MODELS: dict[str, tuple[tuple[Field, ...], int, Callable[[Layout], Stepper]]] = {
    # fields, dimensions without the axis
    "Allen-Cahn": (U, 2, lambda y: AllenCahn(y, known(0.02), known(1.5))),
    "Swift-Hohenberg": (U, 2, lambda y: SwiftHohenberg(y, known(0.4), known(0.3))),
    "Korteweg-de Vries": (U, 2, lambda y: KortewegDeVries(y, known(0.9), known(0.01))),
    "Kuramoto-Sivashinsky": (U, 2, lambda y: KuramotoSivashinsky(y, known(1.1), known(0.2), known(0.01))),
    "Fisher": (U, 2, lambda y: Fisher(y, Constant(known(0.1)), Logistic(known(0.8), known(1.3)), 3.0, stages=5)),
    "spectral Gray-Scott": (CONCENTRATIONS, 1, lambda y: SpectralGrayScott(y, *GRAY_SCOTT)),
    "Gray-Scott": (CONCENTRATIONS, 1, lambda y: GrayScott(y, *GRAY_SCOTT, stages=5)),
}


def box(fields: tuple[Field, ...], dims: int) -> Layout:
    extent = [(-1.0, 1.0), (0.0, 1.5), (0.0, 1.0)][:dims]
    return Layout.box(fields, grid=(10, 12, 6)[:dims], extent=extent, boundary="periodic", dt=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_an_axis_more_changes_nothing_that_does_not_vary_along_it(name: str) -> None:
    fields, dims, build = MODELS[name]
    start = 0.5 + 0.4 * smooth(box(fields, dims))
    plane = rollout(build(box(fields, dims)), start, 3)
    layout = box(fields, dims + 1)
    spread = start[..., None].expand(*start.shape, layout.grid[-1])
    found = rollout(build(layout), spread, 3)
    assert torch.allclose(found, plane[..., None].expand_as(found), rtol=0, atol=1e-12)


def test_shocks_run_alike_along_each_of_three_axes() -> None:
    """A wave of one component along its own axis is the one-dimensional one."""
    line = Layout.box(U, grid=(24,), extent=[(0.0, 1.0)], boundary="periodic", dt=0.02)
    start = torch.sin(2 * torch.pi * torch.tensor(line.points(0), dtype=F64))
    alone = rollout(InviscidBurgers(line, 1.5, substeps=6), start[None, None], 12)[0, -1, 0]
    assert float(alone.diff().abs().max()) > 0.3, "a shock"
    for axis in range(3):
        grid = [4, 4, 4]
        grid[axis] = 24
        extent = [(0.0, points / 24) for points in grid]
        layout = Layout.box([Field("u", 3)], grid=tuple(grid), extent=extent, boundary="periodic", dt=0.02)
        state = torch.zeros(1, 3, *grid, dtype=F64)
        shape = [1, 1, 1]
        shape[axis] = 24
        state[0, axis] = start.view(shape)
        end = rollout(InviscidBurgers(layout, 1.5, substeps=6), state, 12)[0, -1]
        assert torch.allclose(end[axis], alone.view(shape).expand(grid), rtol=0, atol=1e-12)
