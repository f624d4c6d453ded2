"""Native simulators against the same equations written in PhiFlow with its own operators, in one run.

    python benchmarks/bench_physics.py            # about three minutes
    python benchmarks/bench_physics.py --quick    # a smoke test; its figures mean nothing

Thousand steps·samples per second of process CPU time, on one pinned core and one thread, float32, rollouts of 8
data intervals; forward without gradient, and forward plus backward to the coefficient. Competitors take turns;
medians over the rounds. PhiFlow runs eager (its torch jit gave wrong gradients), batched, and one sample at a time.
Both sides advance one data interval a step: PhiFlow by one step of explicit Euler with its finite differences, the
native models by their own schemes, which do more work a step (named in the table) and are at least second order.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from phi.field import Field as PhiField
from phi.field import divergence, spatial_gradient
from phi.physics import advect, diffuse
from torch import Tensor

from cotwin import Field, Layout, Positive, Stepper
from cotwin.physics import Burgers, Heat, SpectralBurgers, random_fourier
from cotwin.physics.phiflow import from_fields, phiflow_context, to_fields, to_phi

STEPS = 8
GOALS = {"PhiFlow, batched": 15.0, "PhiFlow, one by one": 200.0}


@dataclass(frozen=True)
class Problem:
    """One equation: the native models by name, and one explicit Euler step of it in PhiFlow."""

    name: str
    layout: Layout
    coefficient: Tensor
    native: dict[str, Callable[[Positive], Stepper]]
    phiflow_rate: Callable[[PhiField, object], PhiField]
    tolerance: float


def problems() -> list[Problem]:
    """Burgers in one and two dimensions and heat with a coefficient field, all stable at one Euler step."""
    line = box(("u",), (128,), dt=0.005)
    plane = box(("velocity",), (64, 64), dt=0.005)
    slab = box(("temperature",), (64, 64), dt=0.005)
    x = torch.tensor(slab.points(0))
    conductivity = (0.1 * (1 + 0.5 * x.sin()[:, None] * x.cos()[None, :])).float()

    def burgers_line(u: PhiField, nu: object) -> PhiField:
        # PhiFlow's advect wants a vector; this is what it does, for a scalar.
        return diffuse.finite_difference(u, nu) - u * spatial_gradient(u).vector["x"]

    def burgers_plane(u: PhiField, nu: object) -> PhiField:
        return diffuse.finite_difference(u, nu) + advect.finite_difference(u, u)

    def heat(u: PhiField, kappa: PhiField) -> PhiField:
        # Not diffuse.finite_difference(u, kappa): that takes a third longer, and on a face the smaller κ of the two
        # cells where Cotwin takes their mean, so that its gradient to κ is another one, by 15 %.
        return divergence(kappa * spatial_gradient(u))

    return [
        Problem(
            "Burgers 1-D, 128",
            line,
            torch.tensor(0.05),
            {
                "SpectralBurgers (ETD-RK2)": lambda nu: SpectralBurgers(line, nu, substeps=1),
                "Burgers (SSP-RK3)": lambda nu: Burgers(line, nu, max_speed=4.0, substeps=1),
            },
            burgers_line,
            tolerance=0.02,
        ),
        Problem(
            "Burgers 2-D, 64²",
            plane,
            torch.tensor(0.05),
            {
                "Burgers (SSP-RK3)": lambda nu: Burgers(plane, nu, max_speed=4.0, substeps=1),
                "SpectralBurgers (ETD-RK2)": lambda nu: SpectralBurgers(plane, nu, substeps=1),
            },
            burgers_plane,
            tolerance=0.02,
        ),
        Problem(
            "heat 2-D, 64², κ(x, y)",
            slab,
            conductivity,
            {"Heat (RKL2, 3 stages)": lambda kappa: Heat(slab, kappa)},
            heat,
            tolerance=0.02,
        ),
    ]


def box(names: tuple[str, ...], grid: tuple[int, ...], dt: float) -> Layout:
    vector = names[0] == "velocity"
    fields = [Field(name, components=len(grid) if vector else 1) for name in names]
    return Layout.box(fields, grid=grid, extent=[(0.0, 2 * math.pi)] * len(grid), boundary="periodic", dt=dt)


def native(stepper: Stepper, state: Tensor) -> Tensor:
    """The last state of a rollout."""
    return stepper.rollout(state, STEPS)[:, -1]


def phiflow(problem: Problem, start: dict[str, PhiField], coefficient: Tensor) -> Tensor:
    """The last state of the same rollout in PhiFlow, by explicit Euler; conversion is paid once."""
    (name,) = start
    field = start[name]
    known = to_phi(coefficient, problem.layout)
    if coefficient.dim():
        known = field.with_values(known)
    for _ in range(STEPS):
        field = field + problem.layout.dt * problem.phiflow_rate(field, known)
    return from_fields({name: field}, problem.layout)


def rounds(competitors: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median seconds of CPU time for one sample and step, the competitors taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for run in competitors.values():
        run()
    for _ in range(repeats):
        for name, run in competitors.items():
            seconds[name].append(run())
    return {name: statistics.median(values) for name, values in seconds.items()}


def timed(work: Callable[[], object], samples: int, least: float) -> Callable[[], float]:
    """Seconds of CPU time a sample and step of `work`, repeated for at least `least` seconds."""

    def run() -> float:
        calls, begin = 0, time.process_time()
        while True:
            work()
            calls += 1
            elapsed = time.process_time() - begin
            if elapsed >= least:
                return elapsed / (calls * samples * STEPS)

    return run


def measure(problem: Problem, batch: int, repeats: int, least: float) -> None:
    """Check that all solve the same equation, gradients included, then time them and print the table."""
    state = random_fourier(problem.layout, batch, torch.Generator().manual_seed(0), modes=3)
    leaf = problem.coefficient.clone().requires_grad_()
    batched, single = to_fields(state, problem.layout), to_fields(state[:1], problem.layout)
    steppers = {name: make(Positive(problem.coefficient)) for name, make in problem.native.items()}

    reference = phiflow(problem, batched, leaf)
    (slope,) = torch.autograd.grad(reference.square().mean(), leaf)
    reference = reference.detach()
    print(f"\n{problem.name}, batch {batch}; difference from PhiFlow after {STEPS} steps, of the change in them:")
    for name, stepper in steppers.items():
        last = native(stepper, state)
        (to_raw,) = torch.autograd.grad(last.square().mean(), list(stepper.parameters()))
        difference = float((last.detach() - reference).norm() / (reference - state).norm())
        # Positive is learned through its logarithm: d/d raw = coefficient · d/d coefficient.
        of_slope = float((to_raw / problem.coefficient - slope).norm() / slope.norm())
        print(f"  {name}: {difference:.1%}; of the gradient to the coefficient: {of_slope:.1%}")
        if max(difference, of_slope) > problem.tolerance:
            raise SystemExit(f"{name} and PhiFlow do not solve the same problem; the times would mean nothing.")

    def forward(work: Callable[[], Tensor]) -> Callable[[], object]:
        return torch.no_grad()(work)

    def gradient(work: Callable[[], Tensor]) -> Callable[[], object]:
        return lambda: work().square().mean().backward()

    print(f"  {'':28}{'forward':>10}{'gradient':>10}   ratio: {'forward':>8}{'gradient':>9}")
    results = []
    for mode in (forward, gradient):
        competitors = {
            name: timed(mode(lambda stepper=stepper: native(stepper, state)), batch, least)
            for name, stepper in steppers.items()
        }
        competitors["PhiFlow, batched"] = timed(mode(lambda: phiflow(problem, batched, leaf)), batch, least)
        competitors["PhiFlow, one by one"] = timed(mode(lambda: phiflow(problem, single, leaf)), 1, least)
        results.append(rounds(competitors, repeats))
    for name in results[0]:
        speeds = "".join(f"{1e-3 / result[name]:10.3g}" for result in results)
        print(f"  {name:28}{speeds}")
    for name in steppers:
        for other, goal in GOALS.items():
            ratios = "".join(f"{result[other] / result[name]:9.3g}" for result in results)
            print(f"    {name} against {other} (goal {goal:g}):{ratios}")


def main() -> None:
    """Pin, measure every problem, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round: a smoke test")
    parser.add_argument("--batch", type=int, default=16, help="samples at once")
    arguments = parser.parse_args()
    quick = arguments.quick
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    with phiflow_context(torch.float32, torch.device("cpu")):
        for problem in problems():
            measure(problem, arguments.batch, repeats=1 if quick else 7, least=0.0 if quick else 0.5)


if __name__ == "__main__":
    main()
