"""Pressure projection and staggered Navier-Stokes in a closed box against PhiFlow's, in one run.

    python benchmarks/bench_flow.py            # about a minute
    python benchmarks/bench_flow.py --quick    # a smoke test; its figures mean nothing

Process CPU time on one pinned core and one thread, float32, 64², competitors taking turns, medians over the rounds.
Projection: cosine transforms against PhiFlow's conjugate gradients, each to a largest divergence below 1e-4 of a
velocity of size one. Generation: one SSP-RK3 step, three projections, for each data interval at batch 64, against one
explicit Euler step, one projection, of PhiFlow's finite differences, one sample at a time, the projection to a
tolerance of 1e-5, PhiFlow's own default. Before anything is timed, both are checked to give the same. PhiFlow's
semi-Lagrangian advection is faster, and is timed too, but with its own viscosity solves another problem.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from phi.field import Field as PhiField
from phi.physics import advect, diffuse
from phi.physics.fluid import make_incompressible
from phiml.math import Solve
from torch import Tensor

from cotwin import Field, Known, Layout, Stepper
from cotwin.physics.incompressible import IncompressibleFlow
from cotwin.physics.initial_flow import random_flow
from cotwin.physics.phiflow import from_fields, phiflow_context, to_fields
from cotwin.physics.projection import Projection, divergence

VISCOSITY = 0.002
STEPS = 4
LARGEST_DIVERGENCE = 1e-4
LAYOUT = Layout.box(
    [Field("velocity", components=2)], grid=(64, 64), extent=[(0, 1), (0, 1)], boundary="dirichlet", dt=0.002
)
GOALS = {"projection": 100.0, "generation": 1000.0}


def medians(competitors: dict[str, Callable[[], object]], repeats: int, least: float) -> dict[str, float]:
    """Median seconds of CPU time of one call, the competitors taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for run in competitors.values():
        run()
    for _ in range(repeats):
        for name, run in competitors.items():
            calls, begin = 0, time.process_time()
            while not calls or time.process_time() - begin < least:
                run()
                calls += 1
            seconds[name].append((time.process_time() - begin) / calls)
    return {name: statistics.median(values) for name, values in seconds.items()}


def solve(tolerance: float) -> Solve:
    return Solve("CG", rel_tol=tolerance, abs_tol=tolerance, rank_deficiency=0)


def projected(velocity: PhiField, tolerance: float) -> PhiField:
    return make_incompressible(velocity, solve=solve(tolerance))[0]


def by_differences(velocity: PhiField) -> PhiField:
    """STEPS steps of explicit Euler."""
    for _ in range(STEPS):
        rate = diffuse.finite_difference(velocity, VISCOSITY) + advect.finite_difference(velocity, velocity)
        velocity = projected(velocity + LAYOUT.dt * rate, 1e-5)
    return velocity


def semi_lagrangian(velocity: PhiField) -> PhiField:
    """The same with PhiFlow's stable advection, which adds a viscosity of up to Δx²/(8 dt)."""
    for _ in range(STEPS):
        spread = LAYOUT.dt * diffuse.finite_difference(velocity, VISCOSITY)
        velocity = projected(advect.semi_lagrangian(velocity, velocity, LAYOUT.dt) + spread, 1e-5)
    return velocity


def largest_divergence(velocity: Tensor) -> float:
    return float(divergence(velocity, LAYOUT).abs().max())


def measure_projection(batch: int, repeats: int, least: float) -> float:
    """The ratio of times; a random divergence on a smooth flow."""
    generator = torch.Generator().manual_seed(0)
    smooth = random_flow(LAYOUT, batch, generator)
    velocity = smooth + 0.1 * torch.randn(smooth.shape, generator=generator)
    projection = Projection(LAYOUT)
    field = to_fields(velocity, LAYOUT, {"velocity"})["velocity"]
    ours = projection(velocity)
    for tolerance in (1e-4, 1e-5, 1e-6, 1e-7):
        theirs = from_fields({"velocity": projected(field, tolerance)}, LAYOUT)
        if largest_divergence(theirs) < LARGEST_DIVERGENCE:
            break
    found = [largest_divergence(velocity), largest_divergence(ours), largest_divergence(theirs)]
    if max(found[1:]) > LARGEST_DIVERGENCE or float((ours - theirs).abs().max()) > 1e-4:
        raise SystemExit(f"the two projections do not do the same; largest divergences {found}.")
    seconds = medians(
        {"transforms": lambda: projection(velocity), "CG": lambda: projected(field, tolerance)}, repeats, least
    )
    native, phiflow = 1e3 * seconds["transforms"], 1e3 * seconds["CG"]
    ratio = phiflow / native
    print(
        f"projection 64², batch {batch}: {native:.3g} ms, PhiFlow's CG (tolerance {tolerance:g}) {phiflow:.3g} ms, "
        f"{ratio:.0f} times (goal {GOALS['projection']:.0f}); largest divergence "
        f"{found[0]:.2g}, after {found[1]:.1g} and {found[2]:.1g}"
    )
    return ratio


def measure_generation(repeats: int, least: float, batch: int = 64) -> float:
    """The ratio of times a sample and step, PhiFlow by differences."""
    start = random_flow(LAYOUT, batch, torch.Generator().manual_seed(1))
    stepper: Stepper = IncompressibleFlow(LAYOUT, Known(VISCOSITY), max_speed=4.0)
    field = to_fields(start[:1], LAYOUT, {"velocity"})["velocity"]
    ours = stepper.rollout(start, STEPS)[:1, -1]
    others = {"differences": by_differences, "semi-Lagrangian": semi_lagrangian}
    differences = {}
    for name, run in others.items():
        theirs = from_fields({"velocity": run(field)}, LAYOUT)
        differences[name] = float((ours - theirs).norm() / (ours - start[:1]).norm())
    if differences["differences"] > 0.05:
        raise SystemExit(f"PhiFlow's flow differs, of the change, by {differences}; the times would mean nothing.")
    competitors: dict[str, Callable[[], object]] = {"native": lambda: stepper.rollout(start, STEPS)}
    competitors |= {name: partial(run, field) for name, run in others.items()}
    seconds = medians(competitors, repeats, least)
    native = seconds["native"] / (batch * STEPS)
    print(f"staggered Navier-Stokes 64²: batch {batch}, {1 / native:.0f} steps·samples/s")
    for name, difference in differences.items():
        phiflow = seconds[name] / STEPS
        print(
            f"  PhiFlow one by one, {name}: {1 / phiflow:.2f}/s, {phiflow / native:.0f} times "
            f"(goal {GOALS['generation']:.0f}); differs by {difference:.1%} of the change in {STEPS} steps"
        )
    return seconds["differences"] / STEPS / native


@torch.no_grad()
def measure(repeats: int, least: float) -> None:
    """Print every ratio."""
    with phiflow_context(torch.float32, torch.device("cpu")):
        for batch in (1, 16, 64):
            measure_projection(batch, repeats, least)
        measure_generation(repeats, least)


def main() -> None:
    """Pin, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round: a smoke test")
    quick = parser.parse_args().quick
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    measure(repeats=1 if quick else 7, least=0.0 if quick else 0.5)


if __name__ == "__main__":
    main()
