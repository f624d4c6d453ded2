"""Advection and diffusion of a scalar in two dimensions; PhiFlow by the stages of `AdvectionDiffusion`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import exponax
import jax
import jax.numpy as jnp
import torch
from phi.field import Field as PhiField
from phi.field import spatial_gradient
from phi.physics import diffuse
from phiml.math import Tensor as PhiTensor
from problem import ALONE, JITTED_ROLLOUT, JITTED_STEP, Bound, PhiFlow, Problem, periodic
from rkl2 import rkl2

from cotwin import Field, Known, Positive
from cotwin.physics import Advection, AdvectionDiffusion
from cotwin.rollouts import Compiled

VELOCITY = (1.0, 0.6)
VOLUMES, COMPILED = "AdvectionDiffusion (3 parts of 3 stages)", "Compiled AdvectionDiffusion"


def plane() -> Problem:
    layout = periodic([Field("smoke")], (64, 64))
    velocity = torch.tensor(VELOCITY)

    def volumes(diffusivity: Positive) -> AdvectionDiffusion:
        return AdvectionDiffusion(layout, Known(velocity), diffusivity)

    def build(diffusivity: jax.Array) -> Callable[[jax.Array], jax.Array]:
        stepper: Callable[[jax.Array], jax.Array] = exponax.stepper.AdvectionDiffusion(
            2, 2 * math.pi, 64, layout.dt, velocity=jnp.array(VELOCITY), diffusivity=diffusivity * jnp.eye(2)
        )
        return stepper

    same_scheme = (VOLUMES, COMPILED)
    return Problem(
        "advection 2-D, 64²",
        layout,
        torch.tensor(0.05),
        {
            "Advection (exact)": lambda diffusivity: Advection(layout, Known(velocity), diffusivity),
            VOLUMES: volumes,
            COMPILED: lambda diffusivity: Compiled(volumes(diffusivity)),
        },
        PhiFlow(lambda u, diffusivity: step(u, diffusivity, layout.dt)),
        (
            Bound(ALONE, 100, same_scheme, batches=(64,)),
            Bound(JITTED_STEP, 2.5, same_scheme),
            Bound(JITTED_ROLLOUT, 2.5, same_scheme),
        ),
        build,
    )


def step(u: PhiField, diffusivity: PhiTensor, dt: float) -> PhiField:
    """Three parts, of a third, a half and all of dt; see `cotwin.physics.AdvectionDiffusion`."""
    after = u
    for part in (1 / 3, 1 / 2, 1.0):
        slopes = spatial_gradient(after).vector
        carried = slopes["x"] * (-part * dt * VELOCITY[0]) + slopes["y"] * (-part * dt * VELOCITY[1])
        after = rkl2(partial(change, carried=carried, diffusivity=part * dt * diffusivity), u, stages=3)
    return after


def change(u: PhiField, carried: PhiField, diffusivity: PhiTensor) -> PhiField:
    return diffuse.finite_difference(u, diffusivity) + carried
