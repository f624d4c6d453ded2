"""Korteweg-de Vries, Kuramoto-Sivashinsky and Allen-Cahn against what is known of their solutions."""

from __future__ import annotations

import math

import pytest
import torch
from physics_cases import F64, U, box, known, scalar, smooth
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.parameters import Known
from cotwin.physics.allen_cahn import AllenCahn
from cotwin.physics.exponential import Scheme, etdrk2, etdrk4
from cotwin.physics.korteweg_de_vries import KortewegDeVries
from cotwin.physics.kuramoto_sivashinsky import KuramotoSivashinsky
from cotwin.physics.spectral import SpectralStepper
from cotwin.stepper import rollout


def line(points: int, length: float, dt: float) -> tuple[Layout, Tensor]:
    layout = Layout.box([Field("u")], grid=(points,), extent=[(-length / 2, length / 2)], boundary="periodic", dt=dt)
    return layout, torch.tensor(layout.points(0), dtype=F64)


@pytest.mark.parametrize(("steepening", "dispersion"), [(1.0, 0.5), (6.0, 1.0), (-2.0, 0.3)])
def test_a_soliton_keeps_its_shape(steepening: float, dispersion: float) -> None:
    """u = 3c/λ₁ sech²(√(c/λ₂) (x − c t)/2), which travels with speed c whatever the sign of λ₁."""
    speed, dt = 1.5, 0.05
    layout, x = line(256, 40.0, dt)

    def soliton(t: float) -> Tensor:
        return 3 * speed / steepening / torch.cosh(math.sqrt(speed / dispersion) * (x - speed * t + 5) / 2) ** 2

    stepper = KortewegDeVries(layout, known(steepening), known(dispersion), substeps=10)
    end = rollout(stepper, soliton(0.0)[None, None], 100)[0, -1, 0]
    assert (end - soliton(5.0)).norm() < 1e-6 * end.norm()


def test_two_solitons_pass_through_each_other() -> None:
    """Both come out as they went in, ahead and behind of where they would be alone (Gardner et al., 1967)."""
    layout, x = line(512, 80.0, 0.1)

    def soliton(speed: float, place: float) -> Tensor:
        return 3 * speed / torch.cosh(math.sqrt(speed) * (x - place) / 2) ** 2

    start = soliton(3.0, -20.0) + soliton(1.0, -5.0)
    stepper = KortewegDeVries(layout, known(1.0), known(1.0), substeps=16)
    end = rollout(stepper, start[None, None], 150)[0, -1, 0]
    fast, slow = math.sqrt(3.0), 1.0
    shift = math.log(((fast + slow) / (fast - slow)) ** 2)
    expected = soliton(3.0, 25.0 + shift / fast) + soliton(1.0, 10.0 - shift / slow)
    assert (end - expected).norm() < 1e-4 * expected.norm()
    assert (end - soliton(3.0, 25.0) - soliton(1.0, 10.0)).norm() > 0.1 * expected.norm()


def test_korteweg_de_vries_conserves_mass_and_momentum() -> None:
    layout, _ = line(96, 6.0, 0.02)
    start = smooth(layout, modes=4)
    states = rollout(KortewegDeVries(layout, known(1.0), known(0.02), substeps=16), start, 20)
    assert torch.allclose(states.mean(dim=-1), start.mean(dim=-1)[:, None], rtol=0, atol=1e-14)
    momentum = states.square().mean(dim=-1)
    assert torch.allclose(momentum, momentum[:, :1], rtol=1e-6)


def test_zakharov_kuznetsov_of_a_plane_wave_is_korteweg_de_vries() -> None:
    plane = box(list(U), (32, 12), dt=0.05)
    layout = Layout.box([Field("u")], grid=(32,), extent=[(-1.0, 1.0)], boundary="periodic", dt=0.05)
    start = smooth(layout)
    along = rollout(KortewegDeVries(layout, scalar(0.9), scalar(0.01)), start, 4)
    states = rollout(KortewegDeVries(plane, scalar(0.9), scalar(0.01)), start[..., None].expand(-1, -1, -1, 12), 4)
    assert torch.allclose(states, along[..., None].expand_as(states), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dims", [1, 2])
def test_short_waves_die_and_long_ones_grow_in_kuramoto_sivashinsky(dims: int) -> None:
    """A small wave exp(i k x) grows at the rate a k² − b k⁴."""
    a, b = 1.2, 0.3
    layout = Layout.box(
        [Field("u")], grid=(24,) * dims, extent=[(0, 2 * math.pi)] * dims, boundary="periodic", dt=0.1
    )
    x = torch.tensor(layout.points(0), dtype=F64)
    for mode in (1, 2, 3):
        wave = torch.cos(mode * x).view(-1, *[1] * (dims - 1)).expand(layout.grid)[None, None]
        stepper = KuramotoSivashinsky(layout, known(1.0), known(a), known(b))
        end = rollout(stepper, 1e-9 * wave, 3)[:, -1] * 1e9
        expected = math.exp((a * mode**2 - b * mode**4) * 0.3) * wave
        assert (end - expected).abs().max() < 1e-6


def test_the_slope_of_the_height_is_the_slope() -> None:
    """∂/∂x of the equation for h is that for u = ∂h/∂x: both forms describe one front."""
    layout = Layout.box([Field("h")], grid=(64, 8), extent=[(0, 22.0)] * 2, boundary="periodic", dt=0.1)
    line_layout = Layout.box([Field("u")], grid=(64,), extent=[(0, 22.0)], boundary="periodic", dt=0.1)
    k = 2 * math.pi / 22.0
    x = torch.tensor(line_layout.points(0), dtype=F64)
    height = torch.cos(k * x) + 0.3 * torch.sin(3 * k * x)
    slope = -k * torch.sin(k * x) + 0.9 * k * torch.cos(3 * k * x)
    arguments = (known(1.0), known(1.0), known(1.0))
    heights = rollout(KuramotoSivashinsky(layout, *arguments), height[None, None, :, None].expand(1, 1, 64, 8), 30)
    slopes = rollout(KuramotoSivashinsky(line_layout, *arguments), slope[None, None], 30)
    spectrum = torch.fft.rfft(heights[0, :, 0, :, 0])
    derived = torch.fft.irfft(1j * k * torch.arange(33) * spectrum, n=64)
    assert (derived - slopes[0, :, 0]).abs().max() < 1e-6


def test_allen_cahn_without_space_is_its_ordinary_equation() -> None:
    """u² = u₀² e^{2rt} / (1 − u₀² + u₀² e^{2rt})."""
    rate, layout = 1.5, box(list(U), (8, 8), dt=0.1)
    start = torch.tensor([-0.9, -0.1, 0.3, 1.4], dtype=F64)
    states = rollout(AllenCahn(layout, known(0.1), known(rate), 8), start.view(4, 1, 1, 1).expand(-1, 1, 8, 8), 10)
    grown = start**2 * math.exp(2 * rate)
    expected = start.sign() * (grown / (1 - start**2 + grown)).sqrt()
    assert torch.allclose(states[:, -1], expected.view(4, 1, 1, 1).expand(-1, 1, 8, 8), rtol=1e-7)


def test_a_front_between_the_phases_stays() -> None:
    """tanh(x √(r/2D)) is in balance; two of them, far apart on a period, all but so."""
    layout, x = line(256, 40.0, 0.5)
    diffusivity, rate = 0.5, 1.0
    width = math.sqrt(2 * diffusivity / rate)
    fronts = torch.tanh((x + 10) / width) - torch.tanh((x - 10) / width) - 1
    states = rollout(AllenCahn(layout, known(diffusivity), known(rate), 4), fronts[None, None], 20)
    assert (states[0, -1, 0] - fronts).abs().max() < 1e-6


@pytest.mark.parametrize(("scheme", "order"), [(etdrk2, 2), (etdrk4, 4)])
@pytest.mark.parametrize("equation", ["Korteweg-de Vries", "Kuramoto-Sivashinsky", "Allen-Cahn"])
def test_order_in_time(equation: str, scheme: Scheme, order: int) -> None:
    layout, _ = line(48, 8.0, 0.4)
    start = smooth(layout, modes=3)

    def solve(substeps: int) -> Tensor:
        steppers: dict[str, SpectralStepper] = {
            "Korteweg-de Vries": KortewegDeVries(layout, known(1.0), known(0.1), substeps, scheme),
            "Kuramoto-Sivashinsky": KuramotoSivashinsky(layout, known(1.0), known(1.0), known(0.3), substeps, scheme),
            "Allen-Cahn": AllenCahn(layout, known(0.1), known(2.0), substeps, scheme),
        }
        return rollout(steppers[equation], start, 1)[:, -1]

    exact = solve(512)
    errors = [float((solve(n) - exact).norm()) for n in (32, 64)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_layouts_that_do_not_fit_are_refused() -> None:
    two = box([Field("u"), Field("v")], (12,))
    with pytest.raises(ValueError, match=r"moves Field\(.u., components=1\), on 1"):
        KortewegDeVries(two, scalar(1.0), scalar(1.0))
    with pytest.raises(ValueError, match="at least 5 points"):
        AllenCahn(box(list(U), (4,)), scalar(1.0), scalar(1.0))
    with pytest.raises(ValueError, match="reaction of shape"):
        AllenCahn(box(list(U), (12,)), scalar(1.0), Known(torch.ones(12)))
