"""Kolmogorov flow as vorticity.

PhiFlow twice: by the native model's pseudo-spectral scheme, with PhiML's transforms, which are all complex; and by
its difference operators, its Fourier solve for the stream function and explicit Euler steps, as its users write it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import exponax
import jax
import torch
from phi.field import Field as PhiField
from phi.field import spatial_gradient
from phi.physics import diffuse
from phiml import math as phimath
from phiml.math import Tensor as PhiTensor
from phiml.math import spatial
from problem import ALONE, JAX, JITTED_ROLLOUT, JITTED_STEP, Bound, PhiFlow, Problem, periodic

from cotwin import Field, Known, Layout, Positive, Stepper
from cotwin.physics import NavierStokes

DRAG, FORCE, WAVENUMBER = 0.1, 1.0, 4


LAYOUT = periodic([Field("vorticity")], (64, 64))
MODELS: dict[str, Callable[[Positive], Stepper]] = {
    "NavierStokes (ETD-RK2)": lambda viscosity: NavierStokes(
        LAYOUT, viscosity, Known(DRAG), Known(FORCE), Known(float(WAVENUMBER))
    )
}


def same_scheme() -> Problem:

    def build(viscosity: jax.Array) -> Callable[[jax.Array], jax.Array]:
        stepper: Callable[[jax.Array], jax.Array] = exponax.stepper.KolmogorovFlowVorticity(
            2,
            2 * math.pi,
            64,
            LAYOUT.dt,
            diffusivity=viscosity,
            drag=-DRAG,
            injection_mode=WAVENUMBER,
            injection_scale=-FORCE,
        )
        return stepper

    scheme = Spectral(LAYOUT)
    return Problem(
        "Navier-Stokes 2-D, 64²",
        LAYOUT,
        torch.tensor(0.01),
        MODELS,
        PhiFlow(scheme.step, scheme.prepare),
        (
            Bound(JITTED_STEP, 2.5),
            Bound(JITTED_ROLLOUT, 2.5),
            Bound(JAX, 0.95),
            Bound(JAX, 0.9, mode="gradient"),
        ),
        build,
        sign=-1.0,  # exponax counts clockwise
    )


def operators() -> Problem:
    return Problem(
        "Navier-Stokes 2-D, 64², by PhiFlow's operators",
        LAYOUT,
        torch.tensor(0.01),
        MODELS,
        PhiFlow(euler_step, complete=False),
        (Bound(ALONE, 100, batches=(64,)),),
        tolerance=0.05,
    )


def euler_step(vorticity: PhiField, viscosity: PhiTensor) -> PhiField:
    stream = vorticity.with_values(phimath.fourier_poisson(-vorticity.values, LAYOUT.spacing[0]))
    along, slope = spatial_gradient(stream).vector, spatial_gradient(vorticity).vector
    y = vorticity.points.vector["y"]
    rate = (
        diffuse.finite_difference(vorticity, viscosity)
        - (along["y"] * slope["x"] - along["x"] * slope["y"])
        - DRAG * vorticity
        - FORCE * WAVENUMBER * phimath.cos(WAVENUMBER * y)
    )
    return vorticity + LAYOUT.dt * rate


@dataclass(frozen=True)
class Spectral:
    """`cotwin.physics.NavierStokes` in PhiML."""

    layout: Layout

    def wavenumbers(self) -> tuple[PhiTensor, PhiTensor]:
        x, y = self.layout.grid
        modes = phimath.fftfreq(spatial(x=x, y=y), 1.0 / x)
        return modes.vector["x"], modes.vector["y"]

    def prepare(self, viscosity: PhiTensor) -> dict[str, PhiTensor]:
        """e^z, h φ₁(z) and h φ₂(z), aliases removed, by series: |z| is below 0.1 here."""
        kx, ky = self.wavenumbers()
        z = -self.layout.dt * (viscosity * (kx**2 + ky**2) + DRAG)
        kept = phimath.to_float((3 * abs(kx) < self.layout.grid[0]) & (3 * abs(ky) < self.layout.grid[1]))
        phi2 = sum(z**n / math.factorial(n + 2) for n in range(6))
        phi1 = 1 + z * phi2
        return {
            "growth": kept * (1 + z * phi1),
            "first": kept * self.layout.dt * phi1,
            "second": kept * self.layout.dt * phi2,
        }

    def step(self, field: PhiField, prepared: Any) -> PhiField:
        spectrum = phimath.fft(field.values)
        rate = self.rate(spectrum)
        predicted = prepared["growth"] * spectrum + prepared["first"] * rate
        after = predicted + prepared["second"] * (self.rate(predicted) - rate)
        return field.with_values(phimath.real(phimath.ifft(after)))

    def rate(self, spectrum: PhiTensor) -> PhiTensor:
        kx, ky = self.wavenumbers()
        square = kx**2 + ky**2
        stream = spectrum / phimath.where(square == 0, 1.0, square)
        u, v = (phimath.real(phimath.ifft(part)) for part in (1j * ky * stream, -1j * kx * stream))
        advection = (kx**2 - ky**2) * phimath.fft(u * v) + kx * ky * phimath.fft((v - u) * (v + u))
        return advection + self.curl_of_force()

    def curl_of_force(self) -> PhiTensor:
        y = phimath.range(spatial(y=self.layout.grid[1])) * self.layout.spacing[1]
        curl = -FORCE * WAVENUMBER * phimath.cos(WAVENUMBER * y)
        return phimath.fft(phimath.expand(phimath.to_complex(curl), spatial(x=self.layout.grid[0])))
