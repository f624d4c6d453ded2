"""The heat equation with a coefficient field; JAX by the same stages of the same finite volumes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import torch
from phi.field import Field as PhiField
from phi.field import divergence, spatial_gradient
from phiml.math import Tensor as PhiTensor
from problem import ALONE, JAX, JITTED_ROLLOUT, JITTED_STEP, Bound, PhiFlow, Problem, periodic
from rkl2 import rkl2

from cotwin import Field, Layout
from cotwin.physics import Heat
from cotwin.rollouts import Compiled

STAGES = 3
COMPILED = "Compiled Heat"


def plane() -> Problem:
    layout = periodic([Field("temperature")], (64, 64))
    x = torch.tensor(layout.points(0))
    conductivity = (0.1 * (1 + 0.5 * x.sin()[:, None] * x.cos()[None, :])).float()

    def step(u: PhiField, kappa: PhiTensor) -> PhiField:
        # Not diffuse.finite_difference(u, kappa): that takes a third longer, and on a face the smaller κ of the two
        # cells where Cotwin takes their mean, so that its gradient to κ is another one, by 15 %.
        return u + layout.dt * divergence(u.with_values(kappa) * spatial_gradient(u))

    return Problem(
        "heat 2-D, 64², κ(x, y)",
        layout,
        conductivity,
        {
            f"Heat (RKL2, {STAGES} stages)": lambda kappa: Heat(layout, kappa, stages=STAGES),
            COMPILED: lambda kappa: Compiled(Heat(layout, kappa, stages=STAGES)),
        },
        PhiFlow(step),
        (
            Bound(ALONE, 1000, batches=(64,)),
            Bound(JITTED_STEP, 12),
            Bound(JITTED_ROLLOUT, 12),
            Bound(JAX, 0.8, (COMPILED,)),
            Bound(JAX, 1.5, (COMPILED,), "gradient"),
        ),
        finite_volumes(layout),
    )


def finite_volumes(layout: Layout) -> Callable[[jax.Array], Callable[[jax.Array], jax.Array]]:
    """One RKL2 step of one sample."""

    def build(kappa: jax.Array) -> Callable[[jax.Array], jax.Array]:
        padded = jnp.pad(kappa, 1, mode="wrap")
        dx, dy = layout.spacing
        along_x = (padded[1:, 1:-1] + padded[:-1, 1:-1]) * (layout.dt / (2 * dx**2))
        along_y = (padded[1:-1, 1:] + padded[1:-1, :-1]) * (layout.dt / (2 * dy**2))

        def change(u: jax.Array) -> jax.Array:
            # Without the barrier XLA computes each stage again for every use of it, which takes more than twice as
            # long; rolls instead of ghosts take more than twice as long again.
            cells = jax.lax.optimization_barrier(jnp.pad(u, ((0, 0), (1, 1), (1, 1)), mode="wrap"))
            flux_x = along_x * (cells[:, 1:, 1:-1] - cells[:, :-1, 1:-1])
            flux_y = along_y * (cells[:, 1:-1, 1:] - cells[:, 1:-1, :-1])
            return flux_x[:, 1:] - flux_x[:, :-1] + flux_y[:, :, 1:] - flux_y[:, :, :-1]

        return lambda u: rkl2(change, u, STAGES)

    return build
