"""Intervals by resampling what was measured."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.levenberg_marquardt import levenberg_marquardt
from cotwin.estimation.note import Note
from cotwin.estimation.observation import Observation
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.stages import UNSEEN, Stages
from cotwin.parameters import Grouped
from cotwin.physics.requirements import require_positive
from cotwin.seeds import seeded

ENOUGH = 5
"""Trajectories from which on resampling whole ones says something."""


@dataclass(frozen=True)
class Bootstrap:
    """Estimates from resampled measurements.

    samples: by parameter, (P, *K) in natural units. low, high: quantiles of them, for an interval at the level.
    failed: resamplings whose search did not come to rest, which are left out; the estimation's warnings say so.
    """

    samples: dict[str, Tensor]
    low: dict[str, Tensor]
    high: dict[str, Tensor]
    failed: int


def bootstrap(
    estimation: Estimation,
    replicates: int = 200,
    *,
    block: float | None = None,
    seed: int = 0,
    stages: Stages = UNSEEN,
) -> Bootstrap:
    """Estimate again from blocks of time drawn with replacement from all trajectories; all replicates as one batch.

    Laplace's intervals take errors to be independent. Here errors that are alike in time, or differ between
    trajectories, make the replicates scatter more.
    block: length of a block in time, brought to a whole part of the span of the measurements; `math.inf` for whole
        trajectories. None: the span by n^(2/3), n the number of times; but whole trajectories where starts are
        estimated and there are five or more, of each group with unknowns of its own, since a start whose first frames
        are not drawn can be nearly anything.
    Raises ValueError for a block that is not positive, or, but for infinity, longer than the measurements; for whole
    trajectories if there are fewer than two; with a discrepancy; without replicates; and if most resamplings lead to
    no estimate. Where they are too few for the level, the estimation's warnings say so.
    Source: Künsch (1989), Ann. Statist. 17, for the moving blocks.
    """
    require_positive(replicates=replicates)
    problem = estimation.problem
    if problem.discrepancy is not None:
        raise ValueError(
            "blocks of time that are drawn anew have no discrepancy that goes on from one to the next; leave the "
            "bootstrap or the discrepancy out."
        )
    repeats = resample(problem, replicates, block, seed).to(estimation.z.device)
    # Starts whose first observation was not drawn are far from where they were, and take long to find.
    search, points = partial(levenberg_marquardt, iterations=100), estimation.z.repeat(replicates, 1)
    solution = stages.solve(search, problem.resampled(repeats), points, repeats)
    good = solution.z[solution.converged]
    if 2 * len(good) < replicates:
        raise ValueError(
            f"only {len(good)} of {replicates} resamplings led to an estimate; use longer blocks, or observe more."
        )
    if len(good) < replicates:
        estimation.warnings.append(
            Note(
                "resamplings_left_out",
                f"{replicates - len(good)} of {replicates} resamplings did not come to rest and are left out of the "
                "bootstrap. Its intervals may be too narrow.",
            )
        )
    raw, _ = problem.parts(good)
    samples = {
        name: torch.stack([problem.unknowns.value(name, one) for one in raw]).detach().cpu()
        for name in problem.unknowns.parameters
    }
    tail = (1 - estimation.level) / 2
    enough = math.ceil(1 / tail - 1e-6)
    if len(good) < enough:
        estimation.warnings.append(
            Note(
                "few_resamplings",
                f"{len(good)} resamplings are few for intervals of {estimation.level:.3g}: their ends cannot lie "
                f"beyond the outermost one, and are too near. Take {enough:,} or more.",
            )
        )
    low = {name: values.quantile(tail, dim=0) for name, values in samples.items()}
    high = {name: values.quantile(1 - tail, dim=0) for name, values in samples.items()}
    return Bootstrap(samples, low, high, replicates - len(good))


def resample(problem: LeastSquares, replicates: int, block: float | None, seed: int) -> Float[Tensor, "P M"]:
    """How often each value counts in each replicate, on the CPU; the arguments and errors as for `bootstrap`."""
    # Drawn on the CPU, so that a seed means the same on every device.
    observation, generator = copy.deepcopy(problem.observation).cpu(), seeded(seed)
    alike = _alike(problem)
    if block is None and problem.starts.size and alike >= ENOUGH:
        block = math.inf
    if block == math.inf:
        if alike == 1 < observation.num_trajectories:
            raise ValueError(
                "one trajectory alone tells of some unknown; drawn as a whole, it says the same each time. "
                "Give a block of time, or none."
            )
        return _whole(observation, replicates, generator)
    return _blocks(observation, replicates, _parts(observation, block), generator)


def _alike(problem: LeastSquares) -> int:
    """Trajectories of the smallest group that has unknowns of its own; all, where no unknown differs."""
    groups = [
        one.of(problem.given) for one in problem.stepper.modules() if problem.given and isinstance(one, Grouped)
    ]
    return min(
        [problem.observation.num_trajectories, *(int(own.unique(return_counts=True)[1].min()) for own in groups)]
    )


def _parts(observation: Observation, block: float | None) -> int:
    """How many blocks make up the span of the measurements."""
    times = observation.time.unique()
    span = float(times[-1] - times[0])
    length = span / len(times) ** (2 / 3) if block is None else block
    if not 0 < length <= span:
        raise ValueError(f"block is {length}; give a length of time up to that of the measurements, {span:g}.")
    if block is not None and length < (1 - 1e-6) * float(times.diff().min()):
        raise ValueError(
            f"block is {length}, less than the time between measurements, {float(times.diff().min()):g}; a block "
            "holds at least one of them."
        )
    return round(span / length)


def _whole(observation: Observation, replicates: int, generator: torch.Generator) -> Float[Tensor, "P M"]:
    """How often each value is drawn, where trajectories are, as many as there are."""
    count = observation.num_trajectories
    if count < 2:
        raise ValueError("there is one trajectory, so whole ones cannot be resampled; give a block of time.")
    which = torch.randint(count, (replicates, count), generator=generator)
    drawn = torch.zeros(replicates, count, dtype=torch.float64)
    return drawn.scatter_add(1, which, torch.ones_like(drawn))[:, observation.trajectory]


def _blocks(
    observation: Observation, replicates: int, parts: int, generator: torch.Generator
) -> Float[Tensor, "P M"]:
    """How often each value is drawn, in the mean once, in blocks of so many parts of the span from any trajectory."""
    first, last = float(observation.time.min()), float(observation.time.max())
    length = (last - first) / parts
    # A block may begin before the first time and end after the last, so that the ends are drawn as often as the
    # rest; hence it takes one more than cover the span.
    blocks = observation.num_trajectories * (parts + 1)
    which = torch.randint(observation.num_trajectories, (replicates, blocks), generator=generator)
    begin = (
        first
        - length
        + (last - first + length) * torch.rand(replicates, blocks, generator=generator, dtype=torch.float64)
    )
    repeats = torch.zeros(replicates, observation.size, dtype=torch.float64)
    for block in range(blocks):
        begins = begin[:, block, None]
        inside = (observation.time >= begins) & (observation.time < begins + length)
        repeats += inside & (observation.trajectory == which[:, block, None])
    return repeats
