"""The sampler of smooth random states."""

from __future__ import annotations

import pytest
import torch
from physics_cases import box, seeded

from cotwin.layout import Boundary, Field
from cotwin.physics.initial import random_fourier


@pytest.mark.parametrize("zero_mean", [True, False])
def test_the_root_mean_square_is_the_amplitude(zero_mean: bool) -> None:
    layout = box([Field("u", components=2)], (16, 12))
    states = random_fourier(layout, 4000, seeded(), modes=3, amplitude=2.5, zero_mean=zero_mean)
    rms = states.square().mean(dim=(0, 2, 3)).sqrt()
    assert torch.allclose(rms, torch.full((2,), 2.5), rtol=0.03)
    means = states.mean(dim=(2, 3))
    assert bool((means.abs().max() < 1e-5) == zero_mean)


def test_no_place_is_preferred() -> None:
    layout = box([Field("u")], (10, 8))
    variance = random_fourier(layout, 20000, seeded(), modes=3).var(dim=0)
    assert torch.allclose(variance, torch.ones_like(variance), atol=0.06)


def test_the_same_seed_is_the_same_function_on_any_grid() -> None:
    layout = box([Field("u")], (12, 10, 8))
    coarse = random_fourier(layout, 2, seeded(4), modes=3)
    fine = random_fourier(layout.refined(2), 2, seeded(4), modes=3)
    assert torch.allclose(fine[..., ::2, ::2, ::2], coarse, atol=1e-6)


def test_the_spectrum_ends_at_the_given_mode_and_decays_towards_it() -> None:
    power = torch.fft.rfft(random_fourier(box([Field("u")], (64,)), 2000, seeded(), modes=6)).abs().square()
    power = power.mean(dim=(0, 1))
    assert float(power[7:].max()) < 1e-8 * float(power.max())
    assert (power[1:6] > power[2:7]).all()


def test_static_channels_are_left_blank_and_draws_repeat() -> None:
    layout = box([Field("depth", static=True), Field("u")], (16,))
    states = random_fourier(layout, 3, seeded(1))
    assert torch.equal(states[:, 0], torch.zeros(3, 16))
    assert (states[:, 1].std(dim=-1) > 0.01).all()
    assert torch.equal(states, random_fourier(layout, 3, seeded(1)))
    assert not torch.equal(states, random_fourier(layout, 3, seeded(2)))


@pytest.mark.parametrize(("kind", "sign"), [("neumann", 1), ("dirichlet", -1)])
def test_between_walls_states_go_on_as_their_mirror_image(kind: Boundary, sign: int) -> None:
    """Of 2N points, the states between walls and their image behind one are periodic and as smooth."""
    layout = box([Field("u")], (24, 8), (kind, "periodic"))
    states = random_fourier(layout, 3, seeded(3), modes=3, dtype=torch.float64)
    power = torch.fft.rfft(torch.cat([states, sign * states.flip(2)], dim=2), dim=2).abs()
    assert power[:, :, 4:].max() < 1e-12 * power.max()


def test_the_root_mean_square_is_the_amplitude_between_walls() -> None:
    layout = box([Field("u")], (16, 12), ("dirichlet", "neumann"))
    states = random_fourier(layout, 4000, seeded(), modes=3, amplitude=2.5)
    assert float(states.square().mean().sqrt()) == pytest.approx(2.5, rel=0.03)


def test_unresolved_modes_are_refused() -> None:
    with pytest.raises(ValueError, match="resolves 1 to 3"):
        random_fourier(box([Field("u")], (8,)), 1, seeded(), modes=4)
