"""Fisher's equation and its porous form against travelling waves; closures; mirror images at walls."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from physics_cases import CONCENTRATIONS, F64, U, box, known, scalar, smooth
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.parameters import Known
from cotwin.physics.closures import Closure, Constant, Logistic, NetworkClosure, Power
from cotwin.physics.fisher import Fisher, fisher
from cotwin.physics.gray_scott import GrayScott, SpectralGrayScott
from cotwin.stepper import DivergenceError, rollout


def line(points: int, dt: float = 0.1, length: float = 40.0) -> tuple[Layout, Tensor]:
    layout = Layout.box([Field("u")], grid=(points,), extent=[(-length / 2, length / 2)], boundary="neumann", dt=dt)
    return layout, torch.tensor(layout.points(0), dtype=F64)


def test_a_wave_of_fisher_kpp_travels_as_it_should() -> None:
    """u = (1 + e^{(x − c t)/√6})^{−2}, c = 5/√6 (Ablowitz & Zeppetella, 1979), in units of D, r and K."""
    diffusion, rate, capacity = 0.7, 0.3, 2.0
    unit = math.sqrt(diffusion / rate)
    errors = []
    for points in (128, 256, 512):
        layout, x = line(points, dt=0.5, length=120.0)

        def wave(t: float, x: Tensor = x) -> Tensor:
            phase = (x / unit - 5 / math.sqrt(6) * rate * t) / math.sqrt(6)
            return (capacity / (1 + phase.exp()) ** 2)[None, None]

        model = Fisher(
            layout, Constant(known(diffusion)), Logistic(known(rate), known(capacity)), ceiling=2.5, substeps=8
        )
        errors.append(float((rollout(model, wave(0.0), 10)[:, -1] - wave(5.0)).abs().max()))
    assert errors[-1] < 2e-3
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([2, 2], abs=0.3)


def test_a_porous_front_is_sharp_and_keeps_its_speed() -> None:
    """D(u) = u, r(u) = 1 − u: u = max(1 − e^{(x − t/√2)/√2}, 0), zero beyond the front (Aronson, 1980)."""
    errors = []
    for points in (128, 256):
        layout, x = line(points, length=20.0)

        def front(t: float, x: Tensor = x) -> Tensor:
            return (1 - ((x - t / math.sqrt(2)) / math.sqrt(2)).exp()).clamp(min=0)[None, None]

        porous = Power(known(1.0), known(1.0), known(1.0))
        model = Fisher(layout, porous, Logistic(known(1.0), known(1.0)), ceiling=1.2, substeps=4)
        end = rollout(model, front(0.0), 30)[:, -1]
        assert end[0, 0, x > 3 / math.sqrt(2) + 1.0].abs().max() < 1e-6, "nothing far ahead of the front"
        errors.append(float((end - front(3.0)).abs().mean()))
    assert errors[1] < 0.6 * errors[0]
    assert errors[1] < 2e-3


@pytest.mark.parametrize("dims", [1, 2])
def test_a_wall_is_a_mirror(dims: int) -> None:
    """Between walls the cells do what half of their even continuation around a period does, to rounding."""
    walled = box(list(U), (12, 10)[:dims], "neumann")
    doubled = Layout.box(
        list(U),
        grid=tuple(2 * n for n in walled.grid),
        extent=[(low, 2 * high - low) for low, high in zip(walled.lower, walled.upper, strict=True)],
        boundary="periodic",
        dt=walled.dt,
    )
    start = 0.5 + smooth(walled).abs()
    mirror = start
    for axis in range(2, dims + 2):
        mirror = torch.cat([mirror, mirror.flip(axis)], dim=axis)

    def model(layout: Layout) -> Fisher:
        porous = Power(known(0.2), known(1.3), known(1.5))
        return Fisher(layout, porous, Logistic(known(0.8), known(1.3)), 3.0)

    half = rollout(model(doubled), mirror, 3)
    for axis, points in enumerate(walled.grid, start=3):
        half = half.narrow(axis, 0, points)
    assert torch.allclose(rollout(model(walled), start, 3), half, rtol=0, atol=1e-13)


def test_gray_scott_on_finite_volumes_approaches_the_spectral_one() -> None:
    errors = []
    for points in (16, 32):
        layout = box(list(CONCENTRATIONS), (points, points), dt=0.1)
        start = 0.5 + 0.5 * smooth(layout, modes=2)
        parameters = [known(value) for value in (0.05, 0.02, 0.4, 0.6)]
        exact = rollout(SpectralGrayScott(layout, *parameters, substeps=16), start, 5)[:, -1]
        found = rollout(GrayScott(layout, *parameters, substeps=8), start, 5)[:, -1]
        errors.append(float((found - exact).norm() / exact.norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.35)


GENERATOR = torch.Generator().manual_seed(0)
CLOSURES: list[Closure] = [
    Constant(scalar(0.7)),
    Power(scalar(0.7), scalar(1.3), scalar(1.5)),
    Power(scalar(0.7), scalar(1.3), scalar(0.5)),
    Logistic(scalar(0.7), scalar(1.3)),
    NetworkClosure(-0.5, 0.7, 1.3, generator=GENERATOR).double(),
]


@pytest.mark.parametrize("closure", CLOSURES, ids=lambda closure: type(closure).__name__)
@pytest.mark.parametrize("ceiling", [0.5, 1.3, 4.0])
def test_a_closure_stays_within_its_bound(closure: Closure, ceiling: float) -> None:
    u = torch.linspace(0, ceiling, 101, dtype=F64)
    value = closure(u)
    assert value.shape == u.shape
    assert value.isfinite().all()
    assert value.abs().max().item() <= closure.largest(ceiling) + 1e-12


def test_a_power_has_a_gradient_to_its_exponent_at_zero_and_below() -> None:
    exponent = scalar(1.5)
    Power(scalar(0.7), scalar(1.3), exponent)(torch.tensor([0.0, -0.1, 0.5], dtype=F64)).sum().backward()
    assert exponent.raw.grad is not None
    assert exponent.raw.grad.isfinite()


def test_a_network_cannot_leave_its_bounds() -> None:
    closure = NetworkClosure(0.1, 0.7, 1.3, generator=torch.Generator().manual_seed(1))
    torch.nn.init.constant_(closure.height, 1e6)
    value = closure(torch.linspace(-1e6, 1e6, 101))
    assert ((value >= 0.1) & (value <= 0.7)).all()


def test_bad_settings_are_refused() -> None:
    layout, _ = line(16)
    logistic = Logistic(known(1.0), known(1.0))
    with pytest.raises(ValueError, match="ceiling is 0"):
        Fisher(layout, Constant(known(1.0)), logistic, ceiling=0.0)
    with pytest.raises(ValueError, match="stages is 4"):
        Fisher(layout, Constant(known(1.0)), logistic, ceiling=1.0, stages=4)
    with pytest.raises(ValueError, match="substeps is 0"):
        Fisher(layout, Constant(known(1.0)), logistic, ceiling=1.0, substeps=0)
    with pytest.raises(ValueError, match=r"growth of shape \(16,\) must be a scalar in fisher"):
        fisher(layout, known(1.0), Known(torch.ones(16)), known(1.0), ceiling=1.0)
    with pytest.raises(ValueError, match="exponent of shape"):
        Power(known(1.0), known(1.0), Known(torch.ones(16)))


def test_a_density_beyond_the_ceiling_is_named_as_the_cause() -> None:
    layout, x = line(32, dt=1.0)
    model = Fisher(layout, Power(known(1.0), known(1.0), known(3.0)), Logistic(known(0.1), known(9.0)), ceiling=0.5)
    start = (4 * torch.exp(-x.square()))[None, None]
    with pytest.raises(DivergenceError, match=r"the density was up to \d\.?\d*, and ceiling is 0\.5: raise it"):
        rollout(model, start, 20)
