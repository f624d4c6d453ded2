"""Intervals by resampling what was measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.levenberg_marquardt import levenberg_marquardt
from cotwin.estimation.observation import Observation


@dataclass(frozen=True)
class Bootstrap:
    """Estimates from resampled measurements.

    samples: by parameter, (P, *K) in natural units. low, high: quantiles of them, for an interval at the level.
    failed: resamplings whose search did not come to rest, which are left out.
    """

    samples: dict[str, Tensor]
    low: dict[str, Tensor]
    high: dict[str, Tensor]
    failed: int


def bootstrap(
    estimation: Estimation, replicates: int = 200, *, block: float | None = None, seed: int = 0
) -> Bootstrap:
    """Estimate again from blocks of time drawn with replacement from all trajectories; all replicates as one batch.

    Errors that hang together in time, or differ between trajectories, which Laplace's intervals take to be
    independent, show in how far the replicates scatter.
    block: length of a block in time, brought to a whole part of the span of the measurements; if not given the span
        by n^(2/3), n the number of times.
    Raises ValueError for a block that is not positive, or longer than the measurements.
    Source: Künsch (1989), Ann. Statist. 17, for the moving blocks.
    """
    problem, observation = estimation.problem, estimation.problem.observation
    times = observation.time.unique()
    span = float(times[-1] - times[0])
    length = span / len(times) ** (2 / 3) if block is None else block
    if not 0 < length <= span:
        raise ValueError(f"block is {length}; give a length of time up to that of the measurements, {span:g}.")
    repeats = _repeats(observation, replicates, round(span / length), torch.Generator().manual_seed(seed))
    # Starts whose first observation was not drawn are far from where they were, and take long to find.
    solution = levenberg_marquardt(problem.resampled(repeats), estimation.z.repeat(replicates, 1), iterations=100)
    good = solution.z[solution.converged]
    if not len(good):
        raise ValueError("no resampling led to an estimate; use longer blocks, or observe more.")
    raw, _ = problem.parts(good)
    samples = {
        name: torch.stack([problem.unknowns.value(name, one) for one in raw]).detach()
        for name in problem.unknowns.parameters
    }
    tail = (1 - estimation.level) / 2
    low = {name: values.quantile(tail, dim=0) for name, values in samples.items()}
    high = {name: values.quantile(1 - tail, dim=0) for name, values in samples.items()}
    return Bootstrap(samples, low, high, replicates - len(good))


def _repeats(
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
