"""The level of the noise, estimated with the unknowns."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.problem import LeastSquares

ROUNDS = 20
SETTLED = 1e-3
"""Change of the noise, by part, below which it stays."""


def first_guess(problem: LeastSquares) -> Float[Tensor, " C"]:
    """A tenth of what the values of each channel vary by; nan where nothing of a channel was measured."""
    channel, values = problem.observation.channel, problem.values.view(-1, problem.observation.size)[0]
    spread = [
        float(values[channel == c].std(correction=0)) if bool((channel == c).any()) else torch.nan
        for c in range(problem.observation.layout.channels)
    ]
    level = 0.1 * torch.tensor(spread, dtype=torch.float64, device=values.device)
    return torch.where(level == 0, 1.0, level)


def remaining(problem: LeastSquares, z: Float[Tensor, " Z"], taken: Float[Tensor, " M"]) -> Float[Tensor, " C"]:
    """σ_c² = Σ residual² / Σ (1 − leverage) over the values of a channel.

    taken: the leverages, how much of each value its own prediction takes up.
    Raises ValueError where fewer than one value is left for the noise of a channel.
    """
    return remaining_each(problem, z[None], taken[None])[0]


def remaining_each(
    problem: LeastSquares, z: Float[Tensor, "P Z"], taken: Float[Tensor, "P M"]
) -> Float[Tensor, "P C"]:
    """The same at each of P points. Raises ValueError as `remaining` does."""
    channel = problem.observation.channel
    nothing = taken.new_zeros(len(z), problem.observation.layout.channels)
    total = nothing.index_add(1, channel, problem.misfit(z).square())
    counts = nothing.index_add(1, channel, 1 - taken)
    if bool((counts[:, channel] < 1).any()):
        raise ValueError(
            "the values are too few to estimate the noise as well: fewer than one is left for it. Give the noise, "
            "or observe more."
        )
    # Data without any noise would end in a division by zero; below rounding of the values there is none.
    least = torch.finfo(problem.dtype).eps * first_guess(problem)
    return torch.maximum(problem.deviation * (total / counts).sqrt(), least)
