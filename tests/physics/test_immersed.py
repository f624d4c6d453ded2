"""A flow around solid cells: at rest on their faces, without divergence, losing energy; a channel of solids."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from physics_cases import F64, known, scalar, seeded

from cotwin.layout import Boundary, Field, Layout
from cotwin.physics.immersed import Immersed
from cotwin.physics.incompressible import IncompressibleFlow, incompressible_flow
from cotwin.physics.initial_flow import random_flow, random_smoke
from cotwin.physics.projection import Projection, divergence, with_end_face
from cotwin.physics.smoke import Smoke, smoke
from cotwin.physics.solids import Disc, rectangles_of, within_disc, within_rectangles
from cotwin.stepper import rollout

UV = [Field("u", components=2)]


def box(grid: tuple[int, int], boundary: tuple[Boundary, Boundary], dt: float = 0.05) -> Layout:
    return Layout.box(UV, grid=grid, extent=[(0.0, 2.0), (0.0, 1.0)], boundary=boundary, dt=dt)


@pytest.mark.parametrize(
    "boundary",
    [("periodic", "dirichlet"), ("dirichlet", "dirichlet"), ("neumann", "dirichlet"), ("periodic", "periodic")],
)
def test_the_fluid_rests_on_solid_faces_and_has_no_divergence(boundary: tuple[Boundary, Boundary]) -> None:
    layout = box((20, 14), boundary)
    solid = within_disc(Disc(centre=(0.8, 0.45), radius=0.2), layout)
    solid[14, 0] = solid[0, 12:] = True  # at walls and ends too
    start = random_flow(layout, 2, seeded(), dtype=F64)
    states = rollout(IncompressibleFlow(layout, scalar(0.02), 4.0, obstacle=solid), start, 6).detach()
    after = states[:, 1:].flatten(0, 1)
    assert float(divergence(with_end_face(after, layout), layout).abs().max()) < 1e-11
    for axis in range(2):
        faces = solid | (solid.roll(1, axis) if boundary[axis] == "periodic" else _shifted(solid, axis))
        assert not bool(after[:, axis][:, faces].any())
    energy = after.square().sum(dim=(1, 2, 3)).view(2, 6)
    assert bool((energy.diff(dim=1) < 0).all())
    assert float(energy[:, -1].min()) > 0.1 * float(energy[:, 0].max()), "it still flows"


def _shifted(solid: torch.Tensor, axis: int) -> torch.Tensor:
    below = solid.roll(1, axis)
    below.select(axis, 0).fill_(False)
    return below


def test_a_channel_between_solids_brakes_the_flow_as_walls_do_to_first_order() -> None:
    """u = sin(πy/H), decaying at ν π²/H²; solids hold the fluid half a cell inside them, so H seems a cell wider."""
    errors = []
    for points in (16, 32):
        layout = box((4, points), ("periodic", "periodic"), dt=0.1)
        solid = torch.zeros(4, points, dtype=torch.bool)
        solid[:, : points // 4] = True  # the upper three quarters are the channel
        y = torch.tensor(layout.points(1), dtype=F64) + layout.spacing[1] / 2  # centres, where u's faces are
        height = 1.0 - 0.25
        wave = torch.sin(math.pi * (y - 0.25) / height).where(y > 0.25, torch.zeros(()))
        start = torch.stack([wave.expand(4, points), torch.zeros(4, points, dtype=F64)])[None]
        states = rollout(IncompressibleFlow(layout, known(0.1), 2.0, obstacle=solid), start, 10)
        rate = -math.log(float(states[0, 10, 0, 0].sum() / states[0, 5, 0, 0].sum())) / 0.5
        errors.append(1 - rate / (0.1 * (math.pi / height) ** 2))
        wider = height + layout.spacing[1]
        assert rate == pytest.approx(0.1 * (math.pi / wider) ** 2, rel=0.01)
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.3)


def test_a_flow_that_passes_no_solid_is_left_alone() -> None:
    """Of a shear that rests where the solid is."""
    layout = box((8, 12), ("periodic", "dirichlet"))
    solid = torch.zeros(8, 12, dtype=torch.bool)
    solid[:, :3] = True
    velocity = torch.zeros(1, 2, 8, 12, dtype=F64)
    velocity[:, 0, :, 3:] = torch.rand(9, generator=seeded(), dtype=F64)
    projection = Projection(layout)
    passing = Immersed(solid, projection).prepare(velocity, projection.mapping(velocity))(velocity)
    assert float(passing.abs().max()) < 1e-13


def smoke_box(grid: tuple[int, int], boundary: tuple[Boundary, Boundary], height: float = 1.0) -> Layout:
    fields = [Field("velocity", components=2), Field("smoke")]
    return Layout.box(fields, grid=grid, extent=[(0.0, 2.0), (0.0, height)], boundary=boundary, dt=0.05)


@pytest.mark.parametrize(
    "boundary", [("periodic", "dirichlet"), ("dirichlet", "dirichlet"), ("periodic", "periodic")]
)
def test_smoke_goes_around_solids_and_none_is_lost(boundary: tuple[Boundary, Boundary]) -> None:
    layout = smoke_box((20, 14), boundary)
    solid = within_disc(Disc(centre=(0.8, 0.45), radius=0.2), layout)
    solid[14, 0] = solid[0, 12:] = True
    start = random_smoke(layout, 2, seeded(), amplitude=0.3, dtype=F64)
    shape = torch.rand(20, 14, generator=seeded(), dtype=F64)
    model = Smoke(layout, scalar(0.02), scalar(2.0), 3.0, scalar(0.5), shape, scalar(0.01), obstacle=solid)
    with torch.no_grad():
        smoke = rollout(model, start, 6)[:, :, 2]
    held = smoke[:, :, solid]
    torch.testing.assert_close(held, held[:, :1].expand_as(held), rtol=1e-13, atol=0)
    fluid = smoke[:, :, ~solid].sum(dim=2)
    entered = 0.5 * 0.05 * float(shape[~solid].sum()) * torch.arange(7, dtype=F64)
    torch.testing.assert_close(fluid, fluid[:, :1] + entered, rtol=1e-12, atol=0)


def test_smoke_that_is_the_same_everywhere_in_the_fluid_stays_so() -> None:
    """Whatever solid cells hold: no slope beside them, and no divergence."""
    layout = smoke_box((20, 14), ("periodic", "dirichlet"))
    solid = within_disc(Disc(centre=(0.8, 0.45), radius=0.2), layout)
    start = random_smoke(layout, 2, seeded(), amplitude=0.5, dtype=F64)
    start[:, 2] = torch.where(solid, 7.0, 1.5)
    states = rollout(Smoke(layout, known(0.02), known(2.0), 3.0, diffusivity=known(0.01), obstacle=solid), start, 6)
    assert float(states[:, :, :2].abs().amax(dim=(2, 3, 4)).min()) > 0.1, "it flows"
    torch.testing.assert_close(states[:, :, 2], start[:, None, 2].expand_as(states[:, :, 2]), rtol=0, atol=1e-12)


def test_a_solid_half_of_a_box_is_a_wall_to_smoke_that_spreads() -> None:
    """At rest, and as much diffusion as in a box of half the height."""
    whole, half = smoke_box((8, 12), ("dirichlet", "dirichlet")), smoke_box((8, 6), ("dirichlet", "dirichlet"), 0.5)
    solid = torch.zeros(8, 12, dtype=torch.bool)
    solid[:, 6:] = True
    start = torch.zeros(1, 3, 8, 12, dtype=F64)
    start[:, 2] = torch.rand(8, 12, generator=seeded(), dtype=F64)
    found, walled = (
        rollout(Smoke(layout, known(0.1), known(0.0), 1.0, diffusivity=known(0.1), obstacle=around), begun, 4)
        for layout, around, begun in ((whole, solid, start), (half, None, start[..., :6]))
    )
    torch.testing.assert_close(found[..., :6], walled, rtol=0, atol=1e-14)


def test_an_inflow_inside_a_solid_is_refused() -> None:
    layout = smoke_box((8, 12), ("dirichlet", "dirichlet"))
    solid = torch.zeros(8, 12, dtype=torch.bool)
    solid[2:4, 2:4] = True
    with pytest.raises(ValueError, match="zero in every cell that holds fluid"):
        Smoke(layout, known(0.1), known(1.0), 1.0, known(1.0), solid.double(), obstacle=solid)
    model = smoke(layout, known(0.1), known(1.0), 1.0, solids=(((0.4, 1.1), (0.1, 0.4)),))
    assert model.immersed is not None
    assert torch.equal(model.immersed.solid, within_rectangles((((0.4, 1.1), (0.1, 0.4)),), layout))


def test_obstacles_that_are_none_are_refused() -> None:
    layout = box((8, 12), ("periodic", "dirichlet"))
    with pytest.raises(ValueError, match="covers no cell's centre"):
        incompressible_flow(layout, scalar(0.1), 1.0, disc=Disc(centre=(5.0, 0.5), radius=0.2))
    with pytest.raises(ValueError, match=r"\(3, 3\) cells, the layout \(8, 12\)"):
        IncompressibleFlow(layout, scalar(0.1), 1.0, obstacle=torch.ones(3, 3, dtype=torch.bool))
    still = replace(layout, fields=(*UV, Field("stone", static=True)))
    with pytest.raises(ValueError, match="cells of stone are found in data, and there are none; in a script"):
        incompressible_flow(still, scalar(0.1), 1.0, obstacle="stone")
    with pytest.raises(ValueError, match="has 0 faces"):
        IncompressibleFlow(layout, scalar(0.1), 1.0, obstacle=torch.zeros(8, 12, dtype=torch.bool))


@pytest.mark.parametrize("boundary", [("periodic", "periodic"), ("dirichlet", "dirichlet")])
def test_rectangles_cover_what_they_were_made_of_on_a_finer_grid_too(boundary: tuple[Boundary, Boundary]) -> None:
    layout = box((9, 7), boundary)
    solid = torch.rand(9, 7, generator=seeded()) > 0.6
    found = rectangles_of(solid, layout)
    assert torch.equal(within_rectangles(found, layout), solid)
    blocks = solid.repeat_interleave(3, 0).repeat_interleave(3, 1)
    # Around periodic points, from the first of the cells below.
    blocks = blocks.roll((-1, -1), (0, 1)) if boundary[0] == "periodic" else blocks
    assert torch.equal(within_rectangles(found, layout.refined(3)), blocks)
