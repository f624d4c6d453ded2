"""Where generated windows start."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import LAYOUT, POINTS, Growth, heat
from torch import Tensor

from cotwin.layout import Boundary, Field, Layout
from cotwin.stepper import DivergenceError, rollout
from cotwin.windows.starts import perturbed, real, simulated
from cotwin.windows.starts.simulated import ROLLOUTS_AT_ONCE


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def box(*grid: int, boundary: Boundary | tuple[Boundary, ...] = "periodic", static: bool = False) -> Layout:
    fields = [Field("u"), Field("k", static=True)] if static else [Field("u")]
    return Layout.box(fields, grid=grid, extent=[(0, 1)] * len(grid), boundary=boundary, dt=0.1)


def random_states(count: int, *, channels: int = 1, seed: int = 0) -> Tensor:
    """Smooth random fields, the second channel ten times the first."""
    spectrum = torch.tensor([1.0, 3.0, 2.0, 0.5] + [0.0] * (POINTS // 2 - 3))
    noise = torch.fft.rfft(torch.randn(count, channels, POINTS, generator=seeded(seed)), norm="ortho")
    return 0.7 + torch.fft.irfft(noise * spectrum, n=POINTS) * 10.0 ** torch.arange(float(channels))[:, None]


def power(states: Tensor) -> Tensor:
    return torch.fft.rfft(states - states.mean(dim=(0, 2), keepdim=True)).abs().square().mean(dim=0)


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 99))
def test_real_states_each_come_once_before_any_comes_again(available: int, count: int, seed: int) -> None:
    states = torch.arange(float(available)).reshape(-1, 1, 1).expand(-1, 1, POINTS)
    drawn = real(states)(count, heat(), seeded(seed)).every()[:, 0, 0].long()
    assert len(drawn) == count
    times = drawn.bincount(minlength=available)
    assert times.max() - times.min() <= 1
    for first in range(0, count, available):
        some = drawn[first : first + available].tolist()
        assert len(set(some)) == len(some)


@pytest.mark.parametrize("boundary", ["periodic", ("periodic", "neumann"), ("dirichlet", "periodic")])
def test_perturbed_states_are_real_ones_shifted_along_periodic_axes(boundary: Boundary) -> None:
    layout = box(4, 6, boundary=boundary)
    states = torch.randn(3, 1, 4, 6)
    drawn = perturbed(states, layout)(30, heat(), seeded()).every()
    shifts = [range(n) if kind == "periodic" else [0] for n, kind in zip(layout.grid, layout.boundary, strict=True)]
    possible = torch.stack([states.roll((i, j), dims=(2, 3)) for i in shifts[0] for j in shifts[1]])
    hits = (possible[:, :, None] == drawn).flatten(3).all(dim=3)  # (shift, real state, drawn)
    assert hits.any(dim=0).sum(dim=0).eq(1).all()
    assert hits.any(dim=0).sum(dim=1).eq(10).all()
    assert hits.any(dim=(1, 2)).sum() > 1


def test_what_cannot_be_shifted_is_refused() -> None:
    with pytest.raises(ValueError, match="static"):
        perturbed(torch.randn(2, 2, 8), box(8, static=True))
    with pytest.raises(ValueError, match="has none"):
        perturbed(torch.randn(2, 1, 8), box(8, boundary="neumann"))


def test_simulated_starts_have_the_mean_and_the_spectrum_of_real_initial_states() -> None:
    initial = random_states(100, channels=2)
    layout = Layout.box([Field("v", 2)], grid=(POINTS,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    drawn = simulated(initial, layout, horizon=0, reach=1.0)(4000, Growth(1.0, layout=layout), seeded(1)).every()
    torch.testing.assert_close(drawn.mean(dim=(0, 2)), initial.mean(dim=(0, 2)), rtol=0.05, atol=0.05)
    torch.testing.assert_close(power(drawn), power(initial), rtol=0.2, atol=1e-3 * float(power(initial).max()))
    # Not the real ones again.
    assert (drawn[:, None] - initial).abs().amax(dim=(2, 3)).min() > 1e-2


def solenoidal(count: int) -> Tensor:
    """Velocities on the faces of 8 × 6 cells, differences of a stream function with all its wavenumbers."""
    stream = torch.randn(count, 8, 6, generator=seeded(3))
    return torch.stack([stream.roll(-1, 2) - stream, stream - stream.roll(-1, 1)], dim=1)


def divergence(velocity: Tensor) -> Tensor:
    return velocity[:, 0].roll(-1, 1) - velocity[:, 0] + velocity[:, 1].roll(-1, 2) - velocity[:, 1]


def test_simulated_velocities_are_as_free_of_divergence_as_real_ones() -> None:
    layout = Layout.box([Field("velocity", 2)], grid=(8, 6), extent=[(0, 1)] * 2, boundary="periodic", dt=0.1)
    real_ones = solenoidal(3)
    assert divergence(real_ones).abs().max() < 1e-5
    drawn = simulated(real_ones, layout, horizon=0)(40, Growth(1.0, layout=layout), seeded()).every()
    assert divergence(drawn).abs().max() < 1e-5
    assert drawn.std() == pytest.approx(float(real_ones.std()), rel=0.2)


@pytest.mark.parametrize("slope", [-0.5, 3.0])
def test_simulated_channels_are_related_as_real_ones_are(slope: float) -> None:
    """Patches of V where U is used up, as Gray-Scott begins: U = 1 + slope · V, a correlation of −1 or 1."""
    layout = Layout.box([Field("u"), Field("v")], grid=(POINTS,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    v = (torch.rand(4, 1, POINTS, generator=seeded(1)) > 0.7).float()
    drawn = simulated(torch.cat([1 + slope * v, v], dim=1), layout, horizon=0)(
        50, Growth(1.0, layout=layout), seeded()
    ).every()
    torch.testing.assert_close(drawn[:, 0], 1 + slope * drawn[:, 1], rtol=0, atol=1e-5)
    assert len(drawn.unique(dim=0)) == 50


def test_simulated_starts_lie_on_trajectories_of_the_teacher() -> None:
    """The diffusion that a state went through says when it was drawn: at any time, also late."""
    initial = torch.sin(torch.tensor(LAYOUT.points(0)))[None, None] * torch.tensor([1.0, -1.0])[:, None, None]
    horizon = 15
    drawn = simulated(initial, LAYOUT, horizon)(400, heat(), seeded()).every()
    # From sine waves the teacher makes smaller sine waves, whatever their phase.
    waves = torch.fft.rfft(drawn).abs()
    assert waves[..., [0, *range(2, POINTS // 2 + 1)]].max() < 1e-4 * waves.max()
    decay = rollout(heat(), initial[:1], horizon)[0, -1].norm() / initial[0].norm()
    late = torch.median(waves[..., 1]) / waves[..., 1].max()
    assert decay * 0.5 < late < 1


@pytest.mark.parametrize("count", [1, 7, 2 * ROLLOUTS_AT_ONCE * 2 + 5])
def test_simulated_starts_come_from_the_generator_alone(count: int) -> None:
    draw = simulated(random_states(3), LAYOUT, horizon=15)
    torch.manual_seed(1)
    once = draw(count, heat(), seeded(4)).every()
    torch.manual_seed(2)
    assert torch.equal(once, draw(count, heat(), seeded(4)).every())
    assert not torch.equal(once, draw(count, heat(), seeded(5)).every())
    assert once.shape == (count, 1, POINTS)
    assert len(once.unique(dim=0)) == count


class Fragile(Growth):
    """Not a number from states with a large first value."""

    def forward(self, state: Tensor) -> Tensor:
        return torch.where(state[:, :, :1] > 1.0, torch.nan, state)


def test_starts_from_which_the_teacher_diverges_are_replaced() -> None:
    drawn = simulated(random_states(50), LAYOUT, horizon=3)(100, Fragile(1.0), seeded()).every()
    assert torch.isfinite(drawn).all()
    assert drawn.shape == (100, 1, POINTS)
    with pytest.raises(DivergenceError, match="diverges from most initial states"):
        simulated(random_states(5), LAYOUT, horizon=3)(10, Growth(2.0, limit=1.0), seeded()).every()


def test_a_channel_that_always_starts_at_rest_does_so_when_simulated() -> None:
    layout = Layout.box([Field("u"), Field("v")], grid=(POINTS,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    initial = random_states(3, channels=2)
    initial[:, 1] = 0.0
    drawn = simulated(initial, layout, horizon=0)(20, Growth(1.0, layout=layout), seeded()).every()
    assert not drawn[:, 1].any()
    assert drawn[:, 0].std() > 0.1


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(ValueError, match="missing values"):
        simulated(torch.full((2, 1, 8), torch.nan), box(8), 3)
