"""Ensemble Kalman inversion beside ten Levenberg-Marquardt searches, on a program whose results are rough.

    python benchmarks/estimation/ensemble.py            # three minutes on one core

Growth and spread of a field, ∂u/∂t = ∂/∂x (0.002 k ∂u/∂x) + k u (1 − u), k of five or fifty coefficients, from four
starts, each of 64 values seen six times with noise of 0.01. The program computes in numbers alone, and its result is
smooth, off by a part that a hash of its digits decides, or rounded. The data are of the smooth one.
Coefficients are drawn from the prior, log-normal around 1 by a factor √e. Error: root mean square of log(k/truth).
Of ten searches, from the stepper's values and nine points of a Sobol sequence, the one of least cost counts; calls
are those of all ten.
Goal, for fifty coefficients where it is not smooth: error at most 1.1 times theirs, at most a third of their calls.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cotwin import Field, Layout, Positive
from cotwin.estimation import EnsembleKalman, Grid, LeastSquares, Measurements, levenberg_marquardt
from cotwin.estimation.multi_start import sobol_points
from cotwin.estimation.priors import LogNormal
from cotwin.physics import ExternalStepper

POINTS, STEPS, INNER, NOISE, SEARCHES = 64, 6, 8, 0.01, 10
LAYOUT = Layout.box([Field("u")], grid=(POINTS,), extent=[(0.0, 1.0)], boundary="periodic", dt=0.2)


@dataclass(frozen=True)
class Program:
    """One data interval. rough: the part by which a result is off; digits: to which it is rounded."""

    rough: float = 0.0
    digits: int | None = None

    def __call__(self, u: Any, dt: float, parameters: dict[str, Any]) -> Any:
        k, h = parameters["growth"] @ _bumps(len(parameters["growth"])), 1 / POINTS
        face = 0.001 * (k + np.roll(k, 1))
        for _ in range(INNER):
            flux = face * (u - np.roll(u, 1, -1)) / h
            u = u + dt / INNER * ((np.roll(flux, -1, -1) - flux) / h + k * u * (1 - u))
        if self.rough:
            mixed = zlib.crc32(np.ascontiguousarray(u).tobytes())
            u = u * (1 + self.rough * np.random.default_rng(mixed).standard_normal(u.shape))
        return u if self.digits is None else np.round(u, self.digits)

    def __str__(self) -> str:
        if self.rough:
            return f"off by {self.rough:.1%}"
        return "smooth" if self.digits is None else f"rounded to {self.digits} digits"


def _bumps(count: int) -> Any:
    x, places = (np.arange(POINTS) + 0.5) / POINTS, np.arange(count)[:, None] / count
    bumps = np.exp(-((((x - places + 0.5) % 1 - 0.5) * count) ** 2))
    return bumps / bumps.sum(axis=0)


def problem(count: int, program: Program) -> tuple[LeastSquares, ExternalStepper, Tensor]:
    """What is to be minimised, the program behind it, and the true logarithms."""
    random = np.random.default_rng(0)
    truth = 0.5 * random.standard_normal(count)
    phase = np.arange(POINTS) / POINTS + random.random((4, 1))
    states = [(0.3 + 0.2 * np.sin(2 * np.pi * phase * np.arange(1, 5)[:, None]))[:, None]]
    for _ in range(STEPS):
        states.append(Program()(states[-1], LAYOUT.dt, {"growth": np.exp(truth)}))
    seen = Grid(LAYOUT, 4, STEPS, first=1)
    values = seen(torch.from_numpy(np.stack(states, axis=1)))
    values = values + NOISE * torch.from_numpy(random.standard_normal(len(values)))
    stepper = ExternalStepper(LAYOUT, program, {"growth": Positive(torch.ones(count, dtype=torch.float64))})
    prior = {"growth": LogNormal(1.0, math.exp(0.5))}
    start = torch.from_numpy(states[0])
    return LeastSquares(stepper, start, Measurements(seen, values, NOISE), prior), stepper, torch.from_numpy(truth)


def main() -> None:
    np.seterr(over="ignore", invalid="ignore")  # far from the truth the program diverges, as programs do
    torch.set_num_threads(1)
    print("| coefficients, program | error of the ensemble | of ten searches | ratio | calls | theirs | ratio |")
    print("|---|---|---|---|---|---|---|")
    for count in (5, 50):
        for program in (Program(), Program(rough=0.003), Program(rough=0.01), Program(digits=2)):
            report(count, program)


def report(count: int, program: Program) -> None:
    squares, stepper, truth = problem(count, program)
    begin = squares.present()
    mine = EnsembleKalman()(squares, begin)
    calls = stepper.effort.calls
    points = torch.cat([begin, sobol_points(squares, SEARCHES - 1, seed=0)])
    theirs = levenberg_marquardt(squares, points)
    others = stepper.effort.calls - calls
    error, best = (
        float((z - truth).square().mean().sqrt()) for z in (mine.z[0], theirs.z[int(theirs.cost.argmin())])
    )
    rest = "" if bool(mine.converged[0]) else " (not at rest)"
    print(
        f"| {count}, {program} | {error:.3f}{rest} | {best:.3f} | {error / best:.2f} | {calls:,} | {others:,} | "
        f"{calls / others:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
