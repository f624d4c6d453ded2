"""What the JAX adapter costs: a model of exponax through `JaxStepper`, and the same function called directly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import burgers
import jax
import jax.numpy as jnp
import navier_stokes
import torch
from common.measure import Ratio, in_turns, per_call
from common.table import Goal, show
from contest import LARGE
from problem import STEPS, Problem
from torch import Tensor

from cotwin import Positive
from cotwin.physics.jax import JaxStepper

OVERHEAD = 1.1  # the most time, of JAX alone


def measure(batch: int, repeats: int, least: float) -> list[dict[str, Any]]:
    return [measure_one(make(), batch, repeats, least) for make in (burgers.line, navier_stokes.same_scheme)]


def measure_one(problem: Problem, batch: int, repeats: int, least: float) -> dict[str, Any]:
    """Forward, and forward with the gradient to the coefficient from a given gradient of all states."""
    taken = in_turns({name: per_call(work, least) for name, work in competitors(problem, batch).items()}, repeats)
    seconds = {name: [one.cpu for one in values] for name, values in taken.items()}
    of_jax = {
        mode: Ratio.of(seconds[f"{mode}, adapter"], seconds[f"{mode}, JAX"]) for mode in ("forward", "gradient")
    }
    goals = [
        Goal(f"adapter, {problem.name}, batch {batch}: {mode} in units of JAX's time", "at most", OVERHEAD, of.median)
        for mode, of in of_jax.items()
        if batch in LARGE
    ]
    return {
        "problem": problem.name,
        "batch": batch,
        "seconds": seconds,
        "of_jax": {mode: asdict(of) for mode, of in of_jax.items()},
        "goals": [asdict(goal) for goal in goals],
    }


def competitors(problem: Problem, batch: int) -> dict[str, Callable[[], object]]:
    """The four, after a check that both sides compute the same."""
    build = problem.jax
    assert build is not None
    stepper = JaxStepper(
        problem.layout, lambda known: build(known["known"]), {"known": Positive(problem.coefficient)}
    )
    (raw,) = stepper.parameters()
    state = problem.start(problem.layout, batch, torch.Generator().manual_seed(0))
    start, logarithm = jnp.asarray(state.numpy()), jnp.log(jnp.asarray(problem.coefficient.numpy()))

    def rollout(logarithm: jax.Array, start: jax.Array) -> jax.Array:
        step = jax.vmap(build(jnp.exp(logarithm)))
        _, states = jax.lax.scan(lambda u, _: (step(u),) * 2, start, length=STEPS)
        return jnp.moveaxis(jnp.concatenate([start[None], states]), 0, 1)

    forward = jax.jit(rollout)
    weights = torch.randn(batch, STEPS + 1, *state.shape[1:], generator=torch.Generator().manual_seed(1))
    outer = jnp.asarray(weights.numpy())

    @jax.jit
    def pulled_back(logarithm: jax.Array, start: jax.Array, outer: jax.Array) -> tuple[jax.Array, Any]:
        states, pullback = jax.vjp(lambda logarithm: rollout(logarithm, start), logarithm)
        return states, pullback(outer)

    def gradient() -> Tensor:
        (found,) = torch.autograd.grad(stepper.rollout(state, STEPS), raw, weights)
        return found

    with torch.no_grad():
        difference = (stepper.rollout(state, STEPS) - torch.tensor(forward(logarithm, start).tolist())).abs().max()
    slope = float(pulled_back(logarithm, start, outer)[1][0])
    if float(difference) > 1e-5 or abs(float(gradient()) - slope) > 1e-3 * abs(slope):
        raise SystemExit("the adapter and JAX do not compute the same; the times would mean nothing.")
    return {
        "forward, JAX": lambda: forward(logarithm, start).block_until_ready(),
        "forward, adapter": torch.no_grad()(lambda: stepper.rollout(state, STEPS)),
        "gradient, JAX": lambda: jax.block_until_ready(pulled_back(logarithm, start, outer)),
        "gradient, adapter": gradient,
    }


def report(results: list[dict[str, Any]]) -> None:
    rows = []
    for result in results:
        times = [f"{1e3 * Ratio.over(values).median:.3g} ms" for values in result["seconds"].values()]
        ratios = [str(Ratio(**of)) for of in result["of_jax"].values()]
        rows.append((f"{result['problem']}, batch {result['batch']}", *times, *ratios))
    heads = (*results[0]["seconds"], "forward, of JAX", "gradient, of JAX")
    show(("the JAX adapter", *heads), rows)
