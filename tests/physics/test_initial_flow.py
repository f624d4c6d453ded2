"""The samplers of flow and smoke."""

from __future__ import annotations

import math

import pytest
import torch
from physics_cases import F64, SMOKE, UV, box, seeded
from torch import Tensor

from cotwin.layout import Boundary, Field, Layout
from cotwin.physics.initial_flow import random_flow, random_smoke
from cotwin.physics.projection import Projection, divergence, with_end_face

Ends = tuple[Boundary, Boundary]

every_box = pytest.mark.parametrize(
    "ends",
    [
        ("periodic", "periodic"),
        ("dirichlet", "dirichlet"),
        ("dirichlet", "periodic"),
        ("periodic", "neumann"),
        ("neumann", "dirichlet"),
    ],
)


@every_box
def test_no_cell_has_a_divergence_and_nothing_passes_a_wall(ends: Ends) -> None:
    layout = box(list(UV), (16, 12), ends)
    flow = random_flow(layout, 20, seeded(), dtype=F64)
    assert divergence(with_end_face(flow, layout), layout).abs().max() < 1e-12
    assert torch.allclose(Projection(layout)(flow), flow, rtol=0, atol=1e-14)


@every_box
def test_the_mean_square_of_the_speed_is_that_of_the_amplitude(ends: Ends) -> None:
    layout = box(list(UV), (14, 12), ends)
    flow = random_flow(layout, 20000, seeded(), modes=3, amplitude=2.5)
    assert float(flow.square().sum(dim=1).mean().sqrt()) == pytest.approx(2.5, rel=0.01)


def test_at_walls_the_fluid_rests() -> None:
    """The velocity along a wall half a cell from it halves with the cell."""
    speeds = []
    for points in (32, 64):
        layout = box(list(UV), (points, points), "dirichlet")
        flow = random_flow(layout, 200, seeded(), modes=3)
        speeds.append([float(flow[:, 1, 0].square().mean().sqrt()), float(flow[:, 0, :, -1].square().mean().sqrt())])
    assert torch.allclose(torch.tensor(speeds[0]) / torch.tensor(speeds[1]), torch.tensor(2.0), rtol=0.05)


@pytest.mark.parametrize("ends", [("dirichlet", "dirichlet"), ("neumann", "dirichlet")])
def test_the_same_seed_is_the_same_flow_on_any_grid(ends: Ends) -> None:
    layout = box(list(UV), (20, 24), ends)
    coarse = random_flow(layout, 3, seeded(4), dtype=F64)
    fine = random_flow(layout.refined(2), 3, seeded(4), dtype=F64)
    # What passes a face passes its two halves; the grids differ in the mean square alone.
    u = 0.5 * (fine[:, 0, ::2, ::2] + fine[:, 0, ::2, 1::2])
    v = 0.5 * (fine[:, 1, ::2, ::2] + fine[:, 1, 1::2, ::2])
    passing = torch.stack([u, v], dim=1)
    scale = float((passing * coarse).sum() / passing.square().sum())
    assert scale == pytest.approx(1, abs=0.02)
    assert torch.allclose(scale * passing, coarse, rtol=0, atol=1e-13)


def test_a_puff_is_where_its_centre_is_and_as_thick_as_said() -> None:
    layout = Layout.box(list(SMOKE), grid=(48, 40), extent=[(0, 3), (1, 3)], boundary="periodic", dt=0.1)
    states = random_smoke(layout, 500, seeded(), thickness=1.7, radius=0.08, dtype=F64)
    smoke = states[:, 2]
    assert float(smoke.min()) >= 0
    assert 1.5 < float(smoke.amax(dim=(1, 2)).min()) <= float(smoke.max()) <= 1.7
    width, cell = 0.08 * 2, layout.spacing[0] * layout.spacing[1]
    assert torch.allclose(smoke.sum(dim=(1, 2)) * cell, torch.tensor(1.7 * 2 * math.pi * width**2, dtype=F64))
    for axis in range(2):
        x = torch.tensor(layout.points(axis), dtype=F64)
        profile = smoke.sum(dim=2 - axis)
        at = ((profile * x).sum(dim=1) / profile.sum(dim=1) - layout.lower[axis]) / (3 - axis)
        assert 0.25 - 0.01 < float(at.min()) < 0.27
        assert 0.73 < float(at.max()) < 0.75 + 0.01
    assert torch.equal(states[:, :2], random_flow(layout, 500, seeded(), dtype=F64)[:, :2])


def test_static_channels_are_left_blank_and_draws_repeat() -> None:
    layout = box([Field("depth", static=True), *SMOKE, Field("wind", components=2, static=True)], (12, 10))
    states = random_smoke(layout, 2, seeded(1))
    assert states.dtype == torch.float32
    blank: Tensor = states[:, [0, 4, 5]]
    assert blank.abs().max() == 0
    assert (states[:, 1:4].flatten(2).std(dim=-1) > 0.01).all()
    assert torch.equal(states, random_smoke(layout, 2, seeded(1)))
    assert random_flow(layout, 2, seeded(1))[:, 3].abs().max() == 0


def test_what_is_no_flow_is_refused() -> None:
    with pytest.raises(ValueError, match="first that moves"):
        random_flow(box([Field("u")], (12, 10)), 1, seeded())
    with pytest.raises(ValueError, match="if there is smoke"):
        random_smoke(box(list(UV), (12, 10)), 1, seeded())
    with pytest.raises(ValueError, match="resolves 1 to 3"):
        random_flow(box(list(UV), (8, 12)), 1, seeded(), modes=4)
