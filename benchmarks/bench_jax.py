"""What the JAX adapter costs: an exponax model through `JaxStepper` against the same jitted function called directly.

    python benchmarks/bench_jax.py            # about two minutes
    python benchmarks/bench_jax.py --quick    # a smoke test; its figures mean nothing

Process CPU time on one pinned core, float32, rollouts of 8 data intervals, competitors taking turns, medians. Forward
without gradient, and forward plus backward to the viscosity from a given gradient of all states: for JAX alone both
in one jitted function.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

# Before JAX is imported: one thread, as the core is one.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import exponax
import jax
import jax.numpy as jnp
import torch
from torch import Tensor

from cotwin import Field, Layout, Positive
from cotwin.physics import random_fourier
from cotwin.physics.jax import JaxStepper

STEPS = 8
GOAL = 0.10
LENGTH = 2 * math.pi
DT = 0.005


def burgers(parameters: dict[str, Any]) -> exponax.BaseStepper:
    return exponax.stepper.Burgers(1, LENGTH, 128, DT, diffusivity=parameters["viscosity"], conservative=True)


def navier_stokes(parameters: dict[str, Any]) -> exponax.BaseStepper:
    return exponax.stepper.NavierStokesVorticity(2, LENGTH, 64, DT, diffusivity=parameters["viscosity"])


PROBLEMS = {"Burgers 1-D, 128": (burgers, (128,)), "Navier-Stokes 2-D, 64²": (navier_stokes, (64, 64))}


def competitors(build: Callable[[Any], Any], grid: tuple[int, ...], batch: int) -> dict[str, Callable[[], object]]:
    """The four, after a check that both sides compute the same."""
    layout = Layout.box([Field("u")], grid=grid, extent=[(0.0, LENGTH)] * len(grid), boundary="periodic", dt=DT)
    stepper = JaxStepper(layout, build, {"viscosity": Positive(0.05)})
    (raw,) = stepper.parameters()
    state = random_fourier(layout, batch, torch.Generator().manual_seed(0), modes=3)
    start, logarithm = jnp.asarray(state.numpy()), jnp.log(jnp.float32(0.05))

    def roll(logarithm: jax.Array, start: jax.Array) -> jax.Array:
        step = jax.vmap(build({"viscosity": jnp.exp(logarithm)}))
        _, states = jax.lax.scan(lambda u, _: (step(u),) * 2, start, length=STEPS)
        return jnp.moveaxis(jnp.concatenate([start[None], states]), 0, 1)

    forward = jax.jit(roll)
    weights = torch.randn(batch, STEPS + 1, 1, *grid, generator=torch.Generator().manual_seed(1))
    outer = jnp.asarray(weights.numpy())

    @jax.jit
    def slope(logarithm: jax.Array, start: jax.Array, outer: jax.Array) -> tuple[jax.Array, tuple[jax.Array]]:
        states, pullback = jax.vjp(lambda logarithm: roll(logarithm, start), logarithm)
        return states, pullback(outer)

    def gradient() -> Tensor:
        raw.grad = None
        stepper.rollout(state, STEPS).backward(weights)
        assert raw.grad is not None
        return raw.grad

    with torch.no_grad():
        difference = (stepper.rollout(state, STEPS) - torch.tensor(forward(logarithm, start).tolist())).abs()
    if float(difference.max()) > 1e-5 or not math.isclose(
        gradient(), slope(logarithm, start, outer)[1][0], rel_tol=1e-3
    ):
        raise SystemExit("the adapter and JAX do not compute the same; the times would mean nothing.")
    return {
        "forward, JAX": lambda: forward(logarithm, start).block_until_ready(),
        "forward, adapter": torch.no_grad()(lambda: stepper.rollout(state, STEPS)),
        "gradient, JAX": lambda: jax.block_until_ready(slope(logarithm, start, outer)),
        "gradient, adapter": gradient,
    }


def seconds(work: Callable[[], object], least: float) -> float:
    """CPU time of one call, over calls that take at least so long together."""
    calls, begin = 0, time.process_time()
    while True:
        work()
        calls += 1
        elapsed = time.process_time() - begin
        if elapsed >= least:
            return elapsed / calls


def main() -> None:
    """Measure and print, the overhead as a fraction of JAX alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round: a smoke test")
    quick = parser.parse_args().quick
    repeats, least = (1, 0.0) if quick else (7, 0.3)
    torch.set_num_threads(1)
    print(
        f"{'overhead of the adapter (goal at most ' + format(GOAL, '.0%') + ' from batch 16 on)':56} forward gradient"
    )
    for name, (build, grid) in PROBLEMS.items():
        for batch in (1, 16, 64):
            works = competitors(build, grid, batch)
            taken: dict[str, list[float]] = {label: [] for label in works}
            for _ in range(repeats):
                for label, work in works.items():
                    taken[label].append(seconds(work, least))
            median = {label: statistics.median(values) for label, values in taken.items()}
            ratios = [median[f"{mode}, adapter"] / median[f"{mode}, JAX"] - 1 for mode in ("forward", "gradient")]
            figures = f"JAX {1e3 * median['forward, JAX']:.3g} and {1e3 * median['gradient, JAX']:.3g} ms"
            print(f"  {name}, batch {batch:3}: {figures:32} {ratios[0]:7.1%} {ratios[1]:8.1%}")


if __name__ == "__main__":
    main()
