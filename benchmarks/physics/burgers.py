"""Burgers' equation in one and two dimensions; PhiFlow by central differences and explicit Euler steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import exponax
import jax
import torch
from phi.field import Field as PhiField
from phi.field import spatial_gradient
from phi.physics import advect, diffuse
from phiml.math import Tensor as PhiTensor
from problem import ALONE, JAX, JITTED_ROLLOUT, JITTED_STEP, STEPS, Bound, PhiFlow, Problem, periodic

from cotwin import Field, Layout, Positive, Stepper
from cotwin.physics import Burgers, SpectralBurgers
from cotwin.rollouts import Compiled

SPECTRAL, STENCIL, COMPILED = "SpectralBurgers (ETD-RK2)", "Burgers (SSP-RK3)", "Compiled Burgers"


def line() -> Problem:
    layout = periodic([Field("u")], (128,))

    def step(u: PhiField, viscosity: PhiTensor) -> PhiField:
        # PhiFlow's advect wants a vector; this is what it does, for a scalar.
        return u + layout.dt * (diffuse.finite_difference(u, viscosity) - u * spatial_gradient(u).vector["x"])

    return Problem(
        "Burgers 1-D, 128",
        layout,
        torch.tensor(0.05),
        models(layout, at_once=STEPS),
        PhiFlow(step),
        (
            Bound(ALONE, 1000, batches=(64,)),
            Bound(JITTED_STEP, 12),
            Bound(JITTED_ROLLOUT, 12),
            Bound(JAX, 0.8, (COMPILED,)),
            Bound(JAX, 0.5, (COMPILED,), "gradient"),
        ),
        stepper_of_exponax(layout, conservative=True),
    )


def plane() -> Problem:
    layout = periodic([Field("velocity", components=2)], (64, 64))

    def step(u: PhiField, viscosity: PhiTensor) -> PhiField:
        return u + layout.dt * (diffuse.finite_difference(u, viscosity) + advect.finite_difference(u, u))

    return Problem(
        "Burgers 2-D, 64²",
        layout,
        torch.tensor(0.05),
        models(layout, at_once=1),
        PhiFlow(step),
        (Bound(ALONE, 100, batches=(64,)), Bound(JAX, 2), Bound(JAX, 1.5, mode="gradient")),
        stepper_of_exponax(layout, conservative=False),
    )


def models(layout: Layout, at_once: int) -> dict[str, Callable[[Positive], Stepper]]:
    """at_once: steps compiled in one piece, which takes long where a step is large and gains where one is small."""
    return {
        SPECTRAL: lambda viscosity: SpectralBurgers(layout, viscosity, substeps=1),
        STENCIL: lambda viscosity: Burgers(layout, viscosity, max_speed=4.0, substeps=1),
        COMPILED: lambda viscosity: Compiled(Burgers(layout, viscosity, max_speed=4.0, substeps=1), at_once),
    }


def stepper_of_exponax(layout: Layout, conservative: bool) -> Callable[[jax.Array], Callable[[jax.Array], jax.Array]]:
    def build(viscosity: jax.Array) -> Callable[[jax.Array], jax.Array]:
        stepper: Callable[[jax.Array], jax.Array] = exponax.stepper.Burgers(
            layout.dims, 2 * math.pi, layout.grid[0], layout.dt, diffusivity=viscosity, conservative=conservative
        )
        return stepper

    return build
