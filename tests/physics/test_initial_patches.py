"""The samplers of patches and colonies."""

from __future__ import annotations

import pytest
import torch
from physics_cases import CONCENTRATIONS, F64, UV, U, box, seeded

from cotwin.layout import Boundary, Field, Layout
from cotwin.physics.initial_patches import bells, random_colonies, random_patches


@pytest.mark.parametrize("ends", ["periodic", "neumann"])
def test_patches_lie_between_rest_and_half_consumed(ends: Boundary) -> None:
    layout = box(list(CONCENTRATIONS), (48, 60), ends)
    states = random_patches(layout, 200, seeded(), dtype=F64)
    u, v = states.unbind(1)
    assert torch.allclose(u + 2 * v, torch.ones_like(u), rtol=0, atol=1e-15)
    assert float(v.min()) >= 0
    # Some cell lies within half a cell's diagonal of a centre.
    assert 0.2 < float(v.amax(dim=(1, 2)).min()) <= float(v.max()) <= 0.25
    resting = (v < 1e-3).double().mean(dim=(1, 2))
    assert float(resting.min()) > 0.5


def test_colonies_are_as_dense_as_said_and_never_negative() -> None:
    layout = box(list(U), (128,), "neumann")
    states = random_colonies(layout, 300, seeded(), density=0.4, dtype=F64)
    assert float(states.min()) >= 0
    assert 0.35 < float(states.amax(dim=(1, 2)).min()) <= float(states.max()) <= 0.4
    # Between walls the middles lie in the middle half.
    x = torch.tensor(layout.points(0), dtype=F64)
    assert float((states * x).sum(dim=(1, 2)).div(states.sum(dim=(1, 2))).abs().max()) < 0.5 + 0.03


def test_along_periodic_axes_every_place_is_as_likely() -> None:
    layout = box(list(U), (24, 16))
    mean = random_colonies(layout, 20000, seeded(), colonies=2, radius=0.1, dtype=F64).mean(dim=(0, 1))
    assert torch.allclose(mean, mean.mean(), rtol=0.1)


def test_a_bell_goes_round_a_periodic_axis_and_ends_at_a_wall() -> None:
    one = torch.tensor([[[0.0]]], dtype=F64)
    for ends, other in (("periodic", True), ("neumann", False)):
        layout = Layout.box([Field("u")], grid=(40,), extent=[(0, 1)], boundary=ends, dt=0.1)  # type: ignore[arg-type]
        bell = bells(layout, one, torch.tensor([[0.1]], dtype=F64))[0, 0]
        assert bool(bell[-1] > 0.9) is other


@pytest.mark.parametrize("ends", ["periodic", "neumann"])
def test_the_same_seed_is_the_same_function_on_any_grid(ends: Boundary) -> None:
    layout = box(list(CONCENTRATIONS), (16, 20), ends)
    fine = layout.refined(3)
    coarse, at_points = (random_patches(one, 3, seeded(2), dtype=F64) for one in (layout, fine))
    first = 0 if ends == "periodic" else 1  # of three cells the middle one has the coarse one's centre
    assert torch.allclose(at_points[..., first::3, first::3], coarse, rtol=0, atol=1e-13)


def test_static_channels_are_left_blank_and_draws_repeat() -> None:
    layout = box([Field("depth", static=True), *CONCENTRATIONS], (12, 10))
    states = random_patches(layout, 2, seeded(1))
    assert states.dtype == torch.float32
    assert states[:, 0].abs().max() == 0
    assert float(states[:, 1].min()) < 1
    assert torch.equal(states, random_patches(layout, 2, seeded(1)))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"moves Field\(.U., components=1\) and Field\(.V., components=1\)"):
        random_patches(box(list(U), (12,)), 1, seeded())
    with pytest.raises(ValueError, match=r"moves Field\(.u., components=1\), on 1"):
        random_colonies(box(list(UV), (12, 12)), 1, seeded())
    with pytest.raises(ValueError, match="at least one"):
        random_colonies(box(list(U), (12,)), 1, seeded(), colonies=0)
