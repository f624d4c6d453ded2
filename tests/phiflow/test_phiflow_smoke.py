"""Smoke around an obstacle, through the adapter."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("phi")

from phi.geom import Box, Sphere

from cotwin.layout import Field, Layout
from cotwin.parameters import Known, Parameter, Positive
from cotwin.physics.initial_flow import random_smoke
from cotwin.physics.phiflow import PhiFlowSmoke
from cotwin.physics.phiflow.smoke import Disc, phiflow_smoke
from cotwin.physics.projection import divergence
from cotwin.physics.smoke import Smoke
from cotwin.stepper import rollout

DOUBLE = torch.float64

LAYOUT = Layout.box(
    [Field("velocity", components=2), Field("smoke")],
    grid=(16, 20),
    extent=[(0, 1), (0, 1.25)],
    boundary="dirichlet",
    dt=0.1,
)


def unknown(value: float) -> Positive:
    return Positive(torch.tensor(value, dtype=DOUBLE))


def known(value: float) -> Known:
    return Known(torch.tensor(value, dtype=DOUBLE))


def model(make: type[Parameter] | None = None, buoyancy: float = 1.0, radius: float = 0.15) -> PhiFlowSmoke:
    parameter = unknown if make is Positive else known
    source, obstacle = Box(x=(0.4375, 0.5625), y=(0.125, 0.25)), Sphere(x=0.5, y=0.8, radius=radius)
    return PhiFlowSmoke(
        LAYOUT, parameter(0.005), parameter(buoyancy), parameter(0.6), source, obstacle, substeps=2, tolerance=1e-11
    )


def mirror(states: Tensor) -> Tensor:
    """Left and right exchanged; the faces along x are one more than cells, the walls at both ends."""
    u = torch.cat([states[..., :1, :1, :], -states[..., :1, 1:, :].flip(-2)], dim=-2)
    return torch.cat([u, states[..., 1:, :, :].flip(-2)], dim=-3)


@pytest.mark.slow
def test_it_rises_around_the_obstacle_in_which_nothing_moves() -> None:
    states = rollout(model(), torch.zeros(1, 3, 16, 20, dtype=DOUBLE), 12)[0]
    x, y = (torch.tensor(LAYOUT.points(axis), dtype=DOUBLE) for axis in range(2))
    away = ((x[:, None] - 0.5).square() + (y[None, :] - 0.8).square()).sqrt()
    # A face half a cell below a cell that lies a whole cell inside.
    inside = away < 0.15 - 1.0 / 16
    assert inside.sum() >= 4
    assert states[-1, :2, inside].abs().max() < 1e-12
    height = (states[1:, 2] * y).sum(dim=(1, 2)) / states[1:, 2].sum(dim=(1, 2))
    assert float(height[0]) == pytest.approx(0.1875, abs=0.001)
    assert (height.diff() > 0).all()
    assert float(states[-1, 1, 7:9, 3:9].min()) > 0
    left = divergence(states[None, -1, :2], LAYOUT)[0, 0]
    far = left[away > 0.15 + 2.0 / 16]
    # The box is closed: what PhiFlow leaves at the obstacle's edge it spreads evenly over the rest.
    assert (far - far.mean()).abs().max() < 1e-9
    assert far.mean().abs() < 0.05 * states[-1, :2].abs().max() / LAYOUT.spacing[0]


@pytest.mark.slow
def test_a_symmetric_puff_stays_symmetric() -> None:
    states = rollout(model(), torch.zeros(1, 3, 16, 20, dtype=DOUBLE), 6)
    assert torch.allclose(mirror(states), states, rtol=0, atol=1e-9)


def test_smoke_enters_at_its_rate() -> None:
    """Without buoyancy nothing moves, and four cells of source fill up."""
    states = rollout(model(buoyancy=0.0), torch.zeros(1, 3, 16, 20, dtype=DOUBLE), 3)[0]
    assert states[:, :2].abs().max() == 0
    filled = 0.6 * 0.3
    assert float(states[-1, 2].max()) == pytest.approx(filled, rel=1e-6)
    assert float(states[-1, 2].sum()) == pytest.approx(4 * filled, rel=1e-6)


@pytest.mark.slow
def test_without_the_obstacle_it_is_near_the_native_model() -> None:
    """A small sphere beyond the box; PhiFlow is first order, with a viscosity of its own."""
    start = random_smoke(
        LAYOUT, 2, torch.Generator().manual_seed(2), amplitude=0.1, modes=2, radius=0.15, dtype=DOUBLE
    )
    source, far = Box(x=(0.4375, 0.5625), y=(0.125, 0.25)), Sphere(x=5, y=5, radius=0.1)
    phiflow = PhiFlowSmoke(LAYOUT, known(0.02), known(1.0), known(0.6), source, far, substeps=8, tolerance=1e-9)
    shape = torch.zeros(16, 20, dtype=DOUBLE)
    shape[7:9, 2:4] = 1.0
    native = Smoke(LAYOUT, known(0.02), known(1.0), 2.0, known(0.6), shape)
    ours, theirs = rollout(native, start, 4)[:, -1], rollout(phiflow, start, 4)[:, -1]
    change = (ours - start).square().mean(dim=(0, 2, 3)).sqrt()
    difference = (ours - theirs).square().mean(dim=(0, 2, 3)).sqrt()
    assert (difference < 0.25 * change).all(), difference / change


@pytest.mark.slow
def test_gradients_match_finite_differences() -> None:
    stepper = model(Positive)
    start = random_smoke(LAYOUT, 2, torch.Generator().manual_seed(0), amplitude=0.1, dtype=DOUBLE)
    parameters = list(stepper.parameters())
    assert len(parameters) == 3

    def loss() -> Tensor:
        return rollout(stepper, start, 2)[:, -1].pow(3).sum()

    for parameter, gradient in zip(parameters, torch.autograd.grad(loss(), parameters), strict=True):
        with torch.no_grad():
            parameter += 1e-4
            above = loss()
            parameter -= 2e-4
            below = loss()
            parameter += 1e-4
        assert float(gradient) == pytest.approx(float(above - below) / 2e-4, rel=1e-5)


def test_unfit_layouts_are_refused() -> None:
    layout = Layout.box(LAYOUT.fields, grid=(8, 8), extent=[(0, 1)] * 2, boundary="periodic", dt=0.1)
    with pytest.raises(ValueError, match="closed walls"):
        PhiFlowSmoke(
            layout, known(0.1), known(1.0), known(1.0), Sphere(x=0, y=0, radius=1), Sphere(x=1, y=1, radius=1)
        )


@pytest.mark.parametrize("box", [((0.6, 0.4), (0.1, 0.2)), ((0.4, 0.6), (1.3, 1.5))])
def test_an_inflow_that_reaches_nothing_is_refused(box: tuple[tuple[float, float], tuple[float, float]]) -> None:
    disc = Disc(centre=(0.5, 0.8), radius=0.1)
    with pytest.raises(ValueError, match="smoke would enter nowhere"):
        phiflow_smoke(LAYOUT, known(0.1), known(1.0), known(1.0), inflow_box=box, obstacle=disc)
