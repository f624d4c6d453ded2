"""Heat against modes, kernels, variable-coefficient solutions; balances; the super-time-stepping."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
import torch
from physics_cases import F64, box, field, scalar, smooth
from torch import Tensor

from cotwin.layout import Boundary, Field, Layout
from cotwin.parameters import Known
from cotwin.physics.heat import Heat
from cotwin.physics.time_steps import rkl2_stages, rkl2_step
from cotwin.stepper import DivergenceError, rollout

U = [Field("u")]


def line(points: int, boundary: Boundary, dt: float = 0.01) -> Layout:
    return Layout.box(U, grid=(points,), extent=[(0.0, 1.0)], boundary=boundary, dt=dt)


def orders(errors: list[float]) -> list[float]:
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]


MODES = {
    "periodic": lambda x: torch.cos(2 * math.pi * x + 0.4),
    "dirichlet": lambda x: torch.sin(2 * math.pi * x),
    "neumann": lambda x: torch.cos(2 * math.pi * x),
}


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet", "neumann"])
def test_modes_decay_as_the_equation_says(boundary: Boundary) -> None:
    """Each is an eigenfunction of the discrete operator too, so only time and the discrete rate are in error."""
    errors = []
    for points in (8, 16, 32):
        layout = line(points, boundary, dt=1e-4)
        mode = MODES[boundary](torch.tensor(layout.points(0), dtype=F64))[None, None]
        found = rollout(Heat(layout, scalar(0.5)), mode, 200)[:, -1].detach()
        rate = (2 - 2 * math.cos(2 * math.pi / points)) * points**2
        assert torch.allclose(found, mode * math.exp(-0.5 * rate * 0.02), atol=1e-6)
        errors.append(float((found - mode * math.exp(-0.5 * (2 * math.pi) ** 2 * 0.02)).abs().max()))
    assert orders(errors) == pytest.approx([2, 2], abs=0.15)


def test_a_gaussian_spreads_as_the_kernel() -> None:
    """Two dimensions, variance growing by 2 κ t."""
    layout = Layout.box(U, grid=(96, 96), extent=[(-6.0, 6.0)] * 2, boundary="periodic", dt=0.05)
    x, y = torch.meshgrid(*(torch.tensor(layout.points(a), dtype=F64) for a in (0, 1)), indexing="ij")

    def gaussian(variance: float) -> Tensor:
        return (torch.exp(-(x**2 + y**2) / (2 * variance)) / variance)[None, None]

    found = rollout(Heat(layout, scalar(0.4)), gaussian(0.5), 10)[:, -1]
    exact = gaussian(0.5 + 2 * 0.4 * 0.5)
    assert (found - exact).norm() < 4e-3 * exact.norm()


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann"])
def test_variable_diffusivity_between_walls(boundary: Boundary) -> None:
    """κ = (1+x)² has the modes (1+x)^(−1/2) f(ω log(1+x)), ω = nπ/log 2, decaying at ω² + 1/4."""
    omega = 2 * math.pi / math.log(2)
    errors = []
    for points in (16, 32, 64):
        layout = line(points, boundary, dt=0.0005)
        x = torch.tensor(layout.points(0), dtype=F64)
        s = omega * torch.log(1 + x)
        shape = s.sin() if boundary == "dirichlet" else s.cos() + s.sin() / (2 * omega)
        mode = (shape / torch.sqrt(1 + x))[None, None]
        found = rollout(Heat(layout, Known((1 + x) ** 2)), mode, 16)[:, -1]
        errors.append(float((found - mode * math.exp(-(omega**2 + 0.25) * 0.008)).abs().max()))
    assert orders(errors) == pytest.approx([2, 2], abs=0.25)


def test_variable_diffusivity_around_a_circle() -> None:
    """Against the matrix exponential of a Fourier collocation, which shares nothing with the scheme."""

    def kappa(x: np.ndarray) -> np.ndarray:
        return np.exp(np.sin(2 * np.pi * x + 1.0))

    n = 64
    derivative = np.fft.ifft(
        2j * np.pi * np.where(2 * np.arange(n) == n, 0, np.fft.fftfreq(n, 1 / n))[:, None]
        * np.fft.fft(np.eye(n), axis=0), axis=0
    ).real  # fmt: skip
    points = np.arange(n) / n
    operator = derivative @ np.diag(kappa(points)) @ derivative
    start = np.cos(2 * np.pi * points) + np.sin(4 * np.pi * points)
    exact = torch.tensor(scipy.linalg.expm(0.02 * operator) @ start)
    errors = []
    for size in (16, 32, 64):
        layout = line(size, "periodic", dt=0.0001)
        x = torch.tensor(layout.points(0), dtype=F64)
        state = (torch.cos(2 * math.pi * x) + torch.sin(4 * math.pi * x))[None, None]
        found = rollout(Heat(layout, Known(torch.tensor(kappa(x.numpy())))), state, 200)[0, -1, 0]
        errors.append(float((found[:: size // 16] - exact[::4]).abs().max()))
    assert errors[2] < 2e-3
    assert orders(errors) == pytest.approx([2, 2], abs=0.2)


def test_time_stepping_is_second_order() -> None:
    found = {}
    for steps in (8, 64, 512):
        layout = line(24, "dirichlet", dt=0.08 / steps)
        found[steps] = rollout(Heat(layout, field(layout, 0.5)), smooth(layout), steps)[:, -1].detach()
    errors = [float((found[steps] - found[512]).abs().max()) for steps in (8, 64)]
    # Over a factor of eight, since the error's constant changes with the number of stages.
    assert orders(errors)[0] / 3 == pytest.approx(2, abs=0.2)


def test_substeps_are_shorter_steps_and_damp_what_one_step_only_halves() -> None:
    layout = line(32, "periodic", dt=0.1)
    zigzag = torch.tensor([1.0, -1.0], dtype=F64).repeat(16)[None, None]
    kappa = Known(torch.tensor(1.0, dtype=F64))
    shorter = rollout(Heat(line(32, "periodic", dt=0.025), kappa), zigzag, 4)[:, -1]
    found = Heat(layout, kappa, substeps=4)(zigzag)
    assert torch.allclose(found, shorter, rtol=0, atol=1e-15)
    assert 0.3 < float(Heat(layout, kappa)(zigzag).abs().max()) < 0.7
    assert float(found.abs().max()) < 0.1


def test_axes_do_not_mix() -> None:
    """A product of modes of different boundaries decays at the sum of their rates."""
    layout = Layout.box(
        U,
        grid=(12, 10, 14),
        extent=[(0.0, 1.0), (0.0, 2.0), (0.0, 3.0)],
        boundary=("periodic", "dirichlet", "neumann"),
        dt=1e-3,
    )
    x, y, z = torch.meshgrid(*(torch.tensor(layout.points(a), dtype=F64) for a in range(3)), indexing="ij")
    mode = (torch.cos(2 * math.pi * x) * torch.sin(math.pi * y / 2) * torch.cos(math.pi * z / 3))[None, None]
    phases = (2 * math.pi / 12, math.pi / 10, math.pi / 14)
    rate = sum((2 - 2 * math.cos(p)) / dx**2 for p, dx in zip(phases, layout.spacing, strict=True))
    found = rollout(Heat(layout, scalar(0.2)), mode, 20)[:, -1]
    assert torch.allclose(found, mode * math.exp(-0.2 * rate * 0.02), atol=1e-7)


@pytest.mark.parametrize("boundary", ["periodic", "neumann", ("neumann", "periodic")])
def test_the_mean_is_conserved(boundary: Boundary | tuple[Boundary, ...]) -> None:
    layout = box(U, (16, 18), boundary)
    states = rollout(Heat(layout, field(layout, 2.0)), smooth(layout) + 1.0, 10)
    mean = states.mean(dim=(-1, -2))
    assert torch.allclose(mean, mean[:, :1].expand_as(mean), rtol=0, atol=1e-13)
    assert (states[:, -1].var(dim=(-1, -2)) < 0.1 * states[:, 0].var(dim=(-1, -2))).all()


@pytest.mark.parametrize("stages", [3, 5, 11, 41])
def test_rkl2_is_second_order_and_stable_to_its_limit(stages: int) -> None:
    def amplification(z: float) -> float:
        return float(rkl2_step(lambda u: z * u, torch.ones(1, 1, 1, dtype=F64), stages))

    assert amplification(-1e-3) == pytest.approx(1 - 1e-3 + 0.5e-6, abs=1e-9)
    limit = (stages**2 + stages - 2) / 2
    assert all(abs(amplification(-z)) <= 1 + 1e-12 for z in np.linspace(0, limit, 400))
    assert abs(amplification(-1.5 * limit)) > 1


@pytest.mark.parametrize("product", [0.0, 1.0, 4.9, 5.1, 80.0, 1e4])
def test_the_number_of_stages_is_the_least_odd_stable_one(product: float) -> None:
    stages = rkl2_stages(rate=product, interval=1.0)
    assert stages % 2 == 1
    assert (stages**2 + stages - 2) / 2 >= product
    fewer = stages - 2
    assert stages == 3 or (fewer**2 + fewer - 2) / 2 < 1.001 * product


def test_absurd_diffusivities_raise_with_the_cure() -> None:
    layout = line(32, "periodic")
    for value in (1e12, math.inf, math.nan):
        with pytest.raises(DivergenceError, match="Bounded"):
            Heat(layout, Known(torch.tensor(value, dtype=F64)))(smooth(layout))
