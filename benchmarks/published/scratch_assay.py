"""Cells that close a scratch: Fisher-KPP against porous Fisher, four initial numbers together.

    python benchmarks/published/scratch_assay.py

Data: Jin et al. (2016), J. Theor. Biol. 390, PC-3 cells. Each of the three replicates of an initial number is a well
of its own: what distinguishes them at first does so two days later too. So there are twelve trajectories, each with
its own start, estimated from the whole of it (`NoisyStarts`), and one set of D, r and K for all; the noise is
estimated.

    Fisher-KPP  u_t = (D u_x)_x + r u (1 − u/K)      porous  u_t = (D (u/K)^m u_x)_x + r u (1 − u/K), m = 1 or free

Held-out error: of each initial number, predicted with what the other three say, from its own first profiles. A model
is used to foretell an experiment that was not done; other replicates of the same initial number are too easily met.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from rows import DATA, Clock, Row, rms, show
from torch import Tensor

from cotwin import Field, Known, Layout, Positive, rollout
from cotwin.estimation import (
    Bootstrap,
    Estimation,
    Grid,
    Measurements,
    NoisyStarts,
    bootstrap,
    estimate,
    levenberg_marquardt,
    profile,
)
from cotwin.physics import Fisher
from cotwin.physics.closures import Closure, Constant, Logistic, Power

FILE = DATA / "scratch_assay.npz"
CEILING = 4e-3
Build = Callable[[Layout], Fisher]


def _fisher(layout: Layout, diffusivity: Callable[[Positive], Closure]) -> Fisher:
    """One capacity K, shared by growth and mobility."""
    capacity = Positive(1.7e-3, unit="cells/µm²")
    growth = Logistic(Positive(0.05, unit="1/h"), capacity)
    return Fisher(layout, diffusivity(capacity), growth, CEILING, substeps=3)


def fisher_kpp(layout: Layout) -> Fisher:
    return _fisher(layout, lambda capacity: Constant(Positive(500.0, unit="µm²/h")))


def porous(layout: Layout) -> Fisher:
    return _fisher(layout, lambda capacity: Power(Positive(1000.0, unit="µm²/h"), capacity, Known(1.0)))


def porous_of_any_power(layout: Layout) -> Fisher:
    return _fisher(layout, lambda capacity: Power(Positive(1000.0, unit="µm²/h"), capacity, Positive(1.0)))


MODELS: dict[str, Build] = {"Fisher-KPP": fisher_kpp, "porous": porous, "porous, m free": porous_of_any_power}


def densities() -> tuple[Layout, Tensor]:
    """The layout, and densities of (initial number, replicate, time, 1, position)."""
    with np.load(FILE) as arrays:
        x, t, density = arrays["x"], arrays["t"], torch.tensor(arrays["density"], dtype=torch.float64)
    half = float(x[1] - x[0]) / 2
    layout = Layout.box(
        [Field("density", unit="cells/µm²")],
        grid=(len(x),),
        extent=[(float(x[0]) - half, float(x[-1]) + half)],
        boundary="neumann",
        dt=float(t[1] - t[0]),
        space_unit="µm",
        time_unit="h",
    )
    return layout, density[..., None, :]


def fit(build: Build, layout: Layout, wells: Tensor) -> Estimation:
    """All of the wells (B, T, 1, X) together; their first profiles are data like all others."""
    seen = Grid(layout, len(wells), wells.shape[1] - 1, first=0)
    starts = NoisyStarts(wells[:, 0], wells[:, 0].std().view(1))
    return estimate(build(layout), starts, Measurements(seen, seen(wells)))


def held_out(build: Build, layout: Layout, density: Tensor) -> list[float]:
    """Of each initial number the r.m.s. error, in cells/µm², by what the others say."""
    errors = []
    for number in range(len(density)):
        others = torch.cat([density[:number], density[number + 1 :]]).flatten(0, 1)
        found = fit(build, layout, others)
        wells = density[number]
        with torch.no_grad():
            foretold = rollout(found.stepper, wells[:, 0], wells.shape[1] - 1)
        errors.append(float((foretold - wells)[:, 1:].square().mean().sqrt()))
    return errors


def by_wells(found: Estimation, replicates: int = 40, seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """Intervals by drawing whole wells with replacement: what differs between wells counts in full."""
    problem, wells = found.problem, found.problem.observation.num_trajectories
    drawn = torch.randint(wells, (replicates, wells), generator=torch.Generator().manual_seed(seed))
    counts = torch.nn.functional.one_hot(drawn, wells).sum(dim=1).double()
    resampled = problem.resampled(counts[:, problem.observation.trajectory])
    # Some starts lie about zero, where the porous mobility has a kink: no search comes to rest by the last digits.
    solution = levenberg_marquardt(resampled, found.z.repeat(replicates, 1), tolerance=1e-5)
    print(f"<!--   of {replicates} draws of wells {int(solution.converged.sum())} came to rest -->", flush=True)
    raw, _ = problem.parts(solution.z[solution.converged])
    tail = (1 - found.level) / 2
    values = {name: torch.stack([problem.unknowns.value(name, one) for one in raw]) for name in found.intervals}
    return {name: (value.quantile(tail), value.quantile(1 - tail)) for name, value in values.items()}


def by_blocks(found: Estimation, replicates: int = 40) -> Bootstrap | None:
    """Intervals by drawing blocks of sixteen hours; None where hardly any draw comes to rest."""
    try:
        blocks = bootstrap(found, replicates, block=16.0)
    except ValueError as error:
        print(f"<!--   blocks: {error} -->", flush=True)
        return None
    print(f"<!--   of {replicates} draws of blocks {replicates - blocks.failed} came to rest -->", flush=True)
    return blocks


def say(found: Estimation) -> None:
    """Four kinds of intervals side by side."""
    for warning in found.warnings:
        print(f"<!--   {warning} -->", flush=True)
    wells, profiled = by_wells(found), profile(found)
    blocks = by_blocks(found)
    for name, one in found.intervals.items():
        kinds = {"Laplace": (one.low, one.high), "profile": profiled[name], "wells": wells[name]}
        if blocks is not None:
            kinds["blocks of time"] = (blocks.low[name], blocks.high[name])
        ends = ", ".join(f"{kind} {float(low):.3g} to {float(high):.3g}" for kind, (low, high) in kinds.items())
        print(f"<!--   {name} = {float(one.value):.4g} {one.unit}: {ends} -->", flush=True)
    print(f"<!--   noise {float(found.noise[0]):.3g} -->", flush=True)


def main() -> None:
    layout, density = densities()
    clock = Clock()
    for name, build in MODELS.items():
        errors = held_out(build, layout, density)
        measured = f"{1e4 * rms(errors):.3f} ({', '.join(f'{1e4 * one:.2f}' for one in errors)})"
        show(
            Row(f"Scratch assay, {name}: held-out error in 10⁻⁴ cells/µm²", "none", "name the better", measured),
            __file__,
            clock.seconds(),
        )
    for name, build in MODELS.items():
        print(f"<!-- {name} -->", flush=True)
        for number, wells in enumerate(density):
            alone = fit(build, layout, wells).intervals
            values = ", ".join(f"{label} {float(one.value):.3g}" for label, one in alone.items())
            print(f"<!--   initial number {number} alone: {values} -->", flush=True)
        say(fit(build, layout, density.flatten(0, 1)))


if __name__ == "__main__":
    main()
