"""What enters an equation: manufactured solutions, balances of mass."""

from __future__ import annotations

import math

import pytest
import torch
from physics_cases import F64, U, box, field, known, scalar, smooth

from cotwin.layout import Boundary, Layout
from cotwin.parameters import Known, Real
from cotwin.physics.advection import Advection
from cotwin.physics.advection_diffusion import AdvectionDiffusion
from cotwin.physics.burgers import Burgers
from cotwin.physics.heat import Heat
from cotwin.physics.navier_stokes import NavierStokes
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.stepper import Stepper, rollout


def line(points: int, boundary: Boundary, dt: float = 0.01) -> tuple[Layout, torch.Tensor]:
    layout = Layout.box(list(U), grid=(points,), extent=[(0.0, 1.0)], boundary=boundary, dt=dt)
    return layout, torch.tensor(layout.points(0), dtype=F64)


def test_a_heated_rod_comes_to_its_steady_state_as_it_should() -> None:
    """u = (1 − exp(−κπ²t)) sin(πx)/(κπ²) from f = sin(πx); the discrete rate differs from π² to second order."""
    errors = []
    for points in (16, 32):
        layout, x = line(points, "dirichlet", dt=0.002)
        mode = torch.sin(math.pi * x)
        found = rollout(Heat(layout, known(0.3), source=Known(mode)), torch.zeros(1, 1, points, dtype=F64), 100)
        rate = 0.3 * math.pi**2
        errors.append(float((found[0, -1, 0] - (1 - math.exp(-rate * 0.2)) / rate * mode).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.2)


def test_waves_that_are_made_as_they_pass_are_exact() -> None:
    """u = A (cos k(x − ct) − cos kx)/(ck) from f = A sin kx, and its mean grows by that of f."""
    layout, x = line(16, "periodic", dt=0.3)
    k, c = 4 * math.pi, 0.7
    model = Advection(layout, scalar(c), source=Known(1.5 * torch.sin(k * x) + 0.2))
    found = rollout(model, torch.zeros(1, 1, 16, dtype=F64), 3)[0, -1, 0]
    exact = 1.5 * (torch.cos(k * (x - c * 0.9)) - torch.cos(k * x)) / (c * k) + 0.2 * 0.9
    assert torch.allclose(found, exact, rtol=0, atol=1e-13)


def test_a_flow_that_is_held_by_its_force_stays() -> None:
    """f = u ∂u − ν ∂²u holds u = 2 + sin 2πx still: exactly for spectra, to second order for cells."""

    def moved(model: type[Stepper], points: int, **further: float) -> float:
        layout, x = line(points, "periodic")
        wave, slope = torch.sin(2 * math.pi * x), 2 * math.pi * torch.cos(2 * math.pi * x)
        force = Known((2 + wave) * slope + 0.05 * (2 * math.pi) ** 2 * wave)
        start = (2 + wave)[None, None]
        return float((rollout(model(layout, known(0.05), **further, source=force), start, 20) - start).abs().max())

    assert moved(SpectralBurgers, 32) < 1e-12
    coarse, fine = (moved(Burgers, points, max_speed=4.0) for points in (32, 64))
    assert coarse / fine == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("boundary", ["periodic", ("neumann", "periodic")])
def test_mass_grows_by_what_enters(boundary: Boundary | tuple[Boundary, ...]) -> None:
    layout = box(list(U), (12, 14), boundary)
    start, source = smooth(layout), field(layout, 0.7)
    stream = torch.rand(2, 12, 14, generator=torch.Generator().manual_seed(0), dtype=F64)
    models = [Heat(layout, field(layout, 0.3), source=source)]
    if boundary == "periodic":
        models += [AdvectionDiffusion(layout, Known(stream), scalar(0.2), source=source)]
    for model in models:
        mean = rollout(model, start, 5).mean(dim=(-1, -2))
        expected = mean[:, :1] + source().mean() * layout.dt * torch.arange(6)[None, :, None]
        assert torch.allclose(mean, expected, rtol=0, atol=1e-13)


def test_the_curl_of_a_force_is_a_source_of_vorticity() -> None:
    layout = box(list(U), (12, 16))
    y = torch.tensor(layout.points(1), dtype=F64) + 1.0
    k = 2 * 2 * math.pi / 3.0
    curl = (-0.7 * k * torch.cos(k * y)).expand(12, 16)
    named = NavierStokes(layout, known(0.02), None, known(0.7), known(2.0))
    given = NavierStokes(layout, known(0.02), source=Known(curl))
    assert torch.allclose(*(rollout(model, smooth(layout), 5) for model in (named, given)), rtol=0, atol=1e-13)


def test_sources_may_be_negative_and_must_fit() -> None:
    layout = box(list(U), (8, 9), "neumann")
    sink = Heat(layout, scalar(0.1), source=Real(torch.tensor(-2.0, dtype=F64)))
    assert torch.allclose(sink(torch.ones(1, 1, 8, 9, dtype=F64)), torch.tensor(1 - 2.0 * layout.dt, dtype=F64))
    with pytest.raises(ValueError, match=r"source of shape \(3,\).*\(1,\) or \(1, 8, 9\)"):
        Heat(layout, scalar(0.1), source=known([1.0, 2.0, 3.0]))
