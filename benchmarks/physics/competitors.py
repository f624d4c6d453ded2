"""What takes part: native models, PhiFlow eager and jitted, JAX, each with a rollout and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from phi.field import Field as PhiField
from phiml.math import jit_compile
from problem import ALONE, EAGER, JAX, JITTED_ROLLOUT, JITTED_STEP, STEPS, Problem
from torch import Tensor

from cotwin import Stepper
from cotwin.physics.phiflow import from_fields, to_fields, to_phi


@dataclass(frozen=True)
class Competitor:
    """A rollout.

    forward, gradient: what is timed; the gradient is that of the mean square of the last state to the coefficient,
    None where it is not timed. last, slope: the last state and that gradient as ours, for the check before.
    """

    forward: Callable[[], object]
    last: Callable[[], Tensor]
    gradient: Callable[[], object] | None
    slope: Callable[[], Tensor]


def native(stepper: Stepper, coefficient: Tensor, state: Tensor) -> Competitor:
    def gradient() -> Tensor:
        (found,) = torch.autograd.grad(stepper.rollout(state, STEPS)[:, -1].square().mean(), stepper.parameters())
        return found

    forward = torch.no_grad()(lambda: stepper.rollout(state, STEPS))
    # Positive is learned through its logarithm: d/d raw = coefficient · d/d coefficient.
    return Competitor(forward, lambda: forward()[:, -1], gradient, lambda: gradient() / coefficient)


def phiflow(problem: Problem, state: Tensor) -> dict[str, Competitor]:
    """Eager, batched and alone; jitted by steps, as PhiFlow's own examples do it, and the whole rollout in one."""
    step, prepare = problem.phiflow.step, problem.phiflow.prepare

    def rollout_by(advance: Callable[[PhiField, Any], PhiField]) -> Callable[[PhiField, Any], PhiField]:
        def rollout(field: PhiField, coefficient: Any) -> PhiField:
            prepared = prepare(coefficient)
            for _ in range(STEPS):
                field = advance(field, prepared)
            return field

        return rollout

    eager = rollout_by(step)
    found = {ALONE: in_phiflow(problem, eager, state[:1])}
    if problem.phiflow.complete:
        found[EAGER] = in_phiflow(problem, eager, state)
        found[JITTED_STEP] = in_phiflow(problem, rollout_by(jit_compile(step)), state)
        found[JITTED_ROLLOUT] = in_phiflow(problem, jit_compile(eager), state)
    return found


def in_phiflow(problem: Problem, rollout: Callable[[PhiField, Any], PhiField], state: Tensor) -> Competitor:
    """Conversion to fields is paid once, before; fields are not converted back."""
    layout = problem.layout
    (name,) = (field.name for field in layout.fields)
    start = to_fields(state, layout, {name} if problem.phiflow.staggered else ())[name]
    leaf = problem.coefficient.clone().requires_grad_()

    def forward() -> PhiField:
        return rollout(start, to_phi(leaf, layout))

    def gradient() -> Tensor:
        values = forward().values
        (found,) = torch.autograd.grad(values.native(values.shape).square().mean(), leaf)
        return found

    last = torch.no_grad()(lambda: from_fields({name: forward()}, layout))
    return Competitor(torch.no_grad()(forward), last, gradient if problem.phiflow.complete else None, gradient)


def in_jax(problem: Problem, state: Tensor) -> dict[str, Competitor]:
    """Jitted, vmapped over samples, one scan over steps."""
    if problem.jax is None:
        return {}
    build = problem.jax

    def rollout(coefficient: jax.Array, start: jax.Array) -> jax.Array:
        step = jax.vmap(build(coefficient))
        return jax.lax.scan(lambda u, _: (step(u),) * 2, start, length=STEPS)[1]

    def loss(coefficient: jax.Array, start: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(rollout(coefficient, start)[-1]))

    start, coefficient = jnp.asarray(problem.sign * state.numpy()), jnp.asarray(problem.coefficient.numpy())
    jitted, slope = jax.jit(rollout), jax.jit(jax.grad(loss))

    def forward() -> jax.Array:
        return jitted(coefficient, start).block_until_ready()

    def gradient() -> jax.Array:
        return slope(coefficient, start).block_until_ready()

    def as_tensor(array: jax.Array) -> Tensor:
        return torch.from_numpy(np.array(array))

    def last() -> Tensor:
        return problem.sign * as_tensor(forward()[-1])

    return {JAX: Competitor(forward, last, gradient, lambda: as_tensor(gradient()))}
