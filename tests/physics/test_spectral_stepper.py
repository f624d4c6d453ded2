"""The spectral base: coefficients, dealiasing, refusals."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
from physics_cases import F64, U, box, scalar, smooth

from cotwin.physics.allen_cahn import AllenCahn
from cotwin.physics.exponential import phi_functions
from cotwin.physics.spectral_burgers import SpectralBurgers

ARGUMENTS = [0.0, 1e-12, -1e-5, 0.3, -0.999999, -1.000001, 2.0, -30.0, 1e-7j, 0.8j, -1.5 + 2j, 25j]


@pytest.mark.parametrize("z", ARGUMENTS)
def test_phi_functions_are_their_integrals(z: complex) -> None:
    """φ₁ = ∫ e^{(1−s)z} ds and φ₂ = ∫ s e^{(1−s)z} ds over [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    s, ds = (nodes + 1) / 2, weights / 2
    exact = [cmath.exp(z), np.sum(ds * np.exp((1 - s) * z)), np.sum(ds * s * np.exp((1 - s) * z))]
    dtype = torch.complex128 if isinstance(z, complex) else F64
    found = phi_functions(torch.tensor(z, dtype=dtype), 2)
    for value, expected in zip(found, exact, strict=True):
        assert abs(complex(value) - expected) < 1e-14


def test_phi_functions_decay_for_stiff_arguments() -> None:
    z = torch.tensor([-1e4, -1e9, -1e15], dtype=F64)
    exponential, phi1, phi2 = phi_functions(z, 2)
    assert torch.equal(exponential, torch.zeros_like(z))
    assert torch.allclose(phi1 * z, -torch.ones_like(z), rtol=1e-12)
    assert torch.allclose(phi2 * z, -1 - 1 / z, rtol=1e-12)


def test_phi_functions_have_their_derivatives_at_zero_and_everywhere_finite_ones() -> None:
    z = torch.tensor([0.0, -1.0, 1.0, -1e-9, -1e9], dtype=F64, requires_grad=True)
    for value, at_zero in zip(phi_functions(z, 2), (1.0, 1 / 2, 1 / 6), strict=True):
        (slope,) = torch.autograd.grad(value.sum(), z, retain_graph=True)
        assert slope.isfinite().all()
        assert float(slope[0]) == pytest.approx(at_zero, rel=1e-14)


@pytest.mark.parametrize("points", [30, 31, 32, 33])
def test_products_of_kept_modes_are_free_of_aliases(points: int) -> None:
    """A start of the highest kept modes: the product's modes that the grid cannot hold leave no trace."""
    layout, fine = box(list(U), (points,), dt=1e-3), box(list(U), (4 * points,), dt=1e-3)
    highest = (points - 1) // 3

    def rate(stepper: SpectralBurgers) -> torch.Tensor:
        x = torch.tensor(stepper.layout.points(0), dtype=F64)
        start = torch.cos(math.pi * highest * x) + torch.sin(math.pi * (highest - 1) * x + 0.3)
        nonlinear = stepper.nonlinearity(start[None, None])
        spectrum = stepper.to_spectrum(start[None, None])
        return nonlinear(spectrum)[0, 0, : highest + 1] / stepper.layout.grid[0]

    coarse = rate(SpectralBurgers(layout, scalar(0.1)))
    exact = rate(SpectralBurgers(fine, scalar(0.1)))
    assert torch.allclose(coarse, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("points", [30, 31])
def test_modes_above_the_limit_do_not_matter_from_the_first_substep_on(points: int) -> None:
    layout = box(list(U), (points,))
    stepper = SpectralBurgers(layout, scalar(0.1), substeps=1)
    x = torch.tensor(layout.points(0), dtype=F64)
    dropped = torch.cos(math.pi * ((points - 1) // 3 + 1) * x) + torch.sin(math.pi * (points // 2) * x)
    assert torch.allclose(stepper(smooth(layout) + dropped), stepper(smooth(layout)), rtol=0, atol=1e-13)


def test_walls_and_absurd_substeps_are_refused() -> None:
    with pytest.raises(ValueError, match="finite-volume"):
        SpectralBurgers(box(list(U), (16,), "dirichlet"), scalar(0.1))
    with pytest.raises(ValueError, match="substeps is 0"):
        SpectralBurgers(box(list(U), (16,)), scalar(0.1), substeps=0)


def test_a_grid_too_coarse_for_its_dealiasing_is_refused_with_the_least_that_is_not() -> None:
    with pytest.raises(ValueError, match=r"modes below 1/3 of the points, .* take at least 4 points"):
        SpectralBurgers(box(list(U), (3,)), scalar(0.1))
    SpectralBurgers(box(list(U), (4,)), scalar(0.1))
    with pytest.raises(ValueError, match=r"modes below 1/4 of the points, .* take at least 5 points"):
        AllenCahn(box(list(U), (16, 4)), scalar(0.1), scalar(1.0))
