"""What an estimate will take, before it runs: rollouts from counts, time from one Jacobian."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cotwin.estimation import LeastSquares
from cotwin.estimation.known import MOST_BY_JACOBIAN
from cotwin.experiment.calibrate import Task

JACOBIANS = 40
"""That an estimate takes about as long as: presets took 35 to 70, and what follows here."""
BESIDES = 2.0
"""Seconds of what does not grow with the rollouts."""


@dataclass(frozen=True)
class Forecast:
    """Of an estimate alone, without profiles, bootstrap, posterior and repetitions on finer grids.

    unknowns: numbers of the parameters. starts: numbers of the initial states that are estimated too.
    rollouts: sets of trajectories that one Jacobian rolls out, of so many steps. seconds: of all.
    """

    unknowns: int
    starts: int
    rollouts: int
    trajectories: int
    steps: int
    seconds: float


def forecast(task: Task) -> Forecast | None:
    """By timing one Jacobian; None where the search goes along gradients: networks, more than 300 numbers."""
    problem = LeastSquares(task.stepper, task.starts, task.measurements, task.priors, task.given)
    if problem.unknowns.closures or len(problem.unknowns) > MOST_BY_JACOBIAN:
        return None
    z = problem.present()
    problem.misfit(z)  # whatever is made once
    begun = time.perf_counter()
    problem.sketch(z, problem.paces(z))
    took = time.perf_counter() - begun
    return Forecast(
        unknowns=len(problem.unknowns),
        starts=problem.size - len(problem.unknowns),
        rollouts=1 + len(problem.unknowns) + problem.starts.size,
        trajectories=len(problem.starts.guess),
        steps=problem.observation.num_steps,
        seconds=BESIDES + JACOBIANS * took,
    )
