"""Estimates before and after the error of grid and time steps is taken off, where the truth is known exactly.

    python benchmarks/estimation/numerics.py

Exact solutions of five equations at the points of coarse grids, with noise; as `cotwin estimate` treats them. Errors
in half widths of the intervals that know of the noise alone.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cotwin.experiment import calibrate
from cotwin.experiment.load import validate

DRAWS, FIRST = 25, 100
Problem = tuple[dict[str, Any], dict[str, Any], dict[str, float]]


def waves(parts: Any, rate: float, x: Any, t: Any, shape: Callable[[Any], Any]) -> Any:
    """Sums of shape(jπx) that decay as exp(−rate (jπ)² t)."""
    decay = [a * np.exp(-rate * (j * np.pi) ** 2 * t)[:, None] * shape(j * np.pi * x) for j, a in enumerate(parts, 1)]
    return sum(decay)


MIXED = ((1, 0.5, 0.5), (0.6, 1, 0.3), (1.2, -0.5, 0.6))


def heat(n: int, nodes: bool) -> Problem:
    """Of cells insulated, of nodes held at zero."""
    x, t = np.linspace(0, 1, n) if nodes else (np.arange(n) + 0.5) / n, np.arange(11) * 0.05
    u = np.stack([waves(parts, 0.1, x, t, np.sin if nodes else np.cos) for parts in MIXED])
    arrays = {"x": x, "t": t, "u": u, "boundary": "dirichlet" if nodes else "neumann"}
    return arrays, {"model": "heat", "diffusivity": {"initial": 0.05}}, {"diffusivity": 0.1}


def plate(n: int) -> Problem:
    x, t = (np.arange(n) + 0.5) / n, np.arange(9) * 0.05

    def one(*parts: tuple[int, int, float]) -> Any:
        return sum(
            a
            * np.exp(-0.1 * np.pi**2 * (j * j + k * k) * t)[:, None, None]
            * np.multiply.outer(np.cos(j * np.pi * x), np.cos(k * np.pi * x))
            for j, k, a in parts
        )

    u = np.stack([one((1, 1, 1), (2, 0, 0.5), (1, 2, 0.5)), one((1, 1, 0.6), (2, 0, 1), (1, 2, 0.5))])
    arrays = {"x": x, "y": x, "t": t, "u": u, "boundary": "neumann"}
    return arrays, {"model": "heat", "diffusivity": {"initial": 0.05}}, {"diffusivity": 0.1}


def carried(n: int) -> Problem:
    x, t = np.arange(n) * 2 * np.pi / n, np.arange(13) * 0.1
    parts = ((1, 1), (2, 0.6), (3, 0.3))
    u = [
        sum(a * np.exp(-0.05 * j**2 * t)[:, None] * np.cos(j * (x - 0.7 * t[:, None] + s)) for j, a in parts)
        for s in (0, 1, 2)
    ]
    model = {"model": "advection_diffusion", "velocity": [{"initial": 0.5}], "diffusivity": {"initial": 0.1}}
    return {"x": x, "t": t, "u": np.stack(u), "boundary": "periodic"}, model, {"velocity": 0.7, "diffusivity": 0.05}


def burgers(n: int) -> Problem:
    """By the transform of Cole and Hopf."""
    x, t = np.arange(n) * 2 * np.pi / n, np.arange(11) * 0.1
    decay = np.exp(-0.1 * t)[:, None]
    u = [
        0.2 * a * decay * np.sin(x - s) / (1 + a * decay * np.cos(x - s)) for a, s in ((0.95, 0), (0.9, 1), (0.97, 2))
    ]
    model = {"model": "burgers", "viscosity": {"initial": 0.2}}
    return {"x": x, "t": t, "u": np.stack(u), "boundary": "periodic"}, model, {"viscosity": 0.1}


def wave(n: int) -> Problem:
    x, t = (np.arange(n) + 0.5) / n, np.arange(13) * 0.05
    u, v = [], []
    for parts in ((1, 0.5), (0.5, 1), (1, -0.6)):
        w = [(j * np.pi, a) for j, a in enumerate(parts, 1)]
        u.append(sum(a * np.cos(k * t)[:, None] * np.cos(k * x) for k, a in w))
        v.append(sum(-a * k * np.sin(k * t)[:, None] * np.cos(k * x) for k, a in w))
    arrays = {"x": x, "t": t, "u": np.stack(u), "v": np.stack(v), "boundary": "neumann"}
    return arrays, {"model": "wave", "speed": {"initial": 0.9}}, {"speed": 1.0}


def fisher(n: int) -> Problem:
    """A front of Ablowitz and Zeppetella (1979)."""
    x, t = -25 + 55 * (np.arange(n) + 0.5) / n, np.arange(13) * 0.25
    u = [(1 + np.exp((x - s) / math.sqrt(3) - 5 * t[:, None] / 6)) ** -2.0 for s in (0, 2, -2)]
    model = {"model": "fisher", "diffusivity": {"initial": 0.3}, "growth": {"initial": 0.7}, "capacity": 1.0}
    return {"x": x, "t": t, "u": np.stack(u), "boundary": "neumann"}, model, {"diffusivity": 0.5, "growth": 1.0}


CASES: list[tuple[str, Problem, float]] = [
    ("heat, 24 cells", heat(24, nodes=False), 0.02),
    ("heat, 24 cells", heat(24, nodes=False), 0.05),
    ("heat, 12 cells", heat(12, nodes=False), 0.1),
    ("heat, 25 nodes", heat(25, nodes=True), 0.03),
    ("heat, 13 nodes", heat(13, nodes=True), 0.1),
    ("heat, 10 × 10", plate(10), 0.05),
    ("heat, 10 × 10", plate(10), 0.1),
    ("advection and diffusion, 32", carried(32), 0.05),
    ("advection and diffusion, 16", carried(16), 0.1),
    ("Burgers, 48", burgers(48), 0.05),
    ("Burgers, 48", burgers(48), 0.1),
    ("waves, 32", wave(32), 0.03),
    ("Fisher, 120", fisher(120), 0.02),
]


def one(folder: Path, problem: Problem, noise: float, seed: int) -> list[tuple[str, Any]]:
    """Of each unknown: errors before and after, whether intervals hold the truth, and how much wider they are."""
    arrays, model, truth = problem
    rng = np.random.default_rng(seed)
    noisy = {
        name: field + noise * field.std() * rng.normal(size=field.shape)
        for name, field in arrays.items()
        if name in ("u", "v")
    }
    np.savez(folder / "data.npz", **(arrays | noisy))
    settings = {
        "name": "numerics",
        "data": {"kind": "file", "path": str(folder / "data.npz")},
        "physical": model,
        "estimation": {"points": 1},
        "store": {"cache_dir": str(folder / "cache")},
    }
    found = calibrate.run(calibrate.prepare(validate(settings)))
    rows = []
    for name, true in truth.items():
        own, before = found.intervals[name], float(found.in_simulator[name])
        half = found.estimation.reach * float(own.deviation)
        errors = np.array([before - true, float(own.value) - true]) / half
        held = [abs(errors[0]) < 1, float(own.low) < true < float(own.high)]
        rows.append((name, (*errors, *held, float(own.high - own.low) / (2 * half))))
    return rows


def main() -> None:
    """A row for each problem and unknown, and one for all."""
    found: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, problem, noise in CASES:
            for seed in range(FIRST, FIRST + DRAWS):
                for unknown, row in one(Path(folder), problem, noise, seed):
                    found.setdefault(f"{name}, noise {noise:.0%}, {unknown}", []).append(row)
    every = [row for rows in found.values() for row in rows]
    print(
        "| problem | bias before, after | RMS error before, after | held before, after | width |\n" + "|---" * 5 + "|"
    )
    for name, rows in {**found, "all": every}.items():
        before, after, held, held_after, width = np.array(rows, dtype=float).T
        print(
            f"| {name} | {before.mean():+.2f}, {after.mean():+.2f} | {np.sqrt((before**2).mean()):.2f}, "
            f"{np.sqrt((after**2).mean()):.2f} | {held.mean():.0%}, {held_after.mean():.0%} | {width.mean():.2f} |"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
