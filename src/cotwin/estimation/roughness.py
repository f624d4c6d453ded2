"""How rough the results of a user's program are, and over which steps differences of them are derivatives."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.note import Note
from cotwin.estimation.problem import LeastSquares
from cotwin.seeds import seeded

STEPS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Of raw numbers, mostly logarithms, over which differences are tried, the shortest first."""
PRECISE, SMOOTH, ROUGH = 1e-8, 1e-3, 0.1
"""Parts by which differences over a step and over two may differ: for results in double precision, for steps to be
good, and to be of any use."""


def by_steps(problem: LeastSquares, z: Float[Tensor, " Z"]) -> tuple[LeastSquares, list[Note]]:
    """The problem with differences over the shortest steps that suit its program, and what speaks against them.

    What is rounded, as results in a text file are, or computed in single precision, or changes by chance, has no
    derivative over the steps that suit double precision. With all raw numbers moved at once, by signs drawn with a
    fixed seed, differences over a step and over two agree where these see more than the roughness and less than the
    curvature. Four rollouts a step, mostly of one step.
    Source: Moré & Wild (2012), ACM Trans. Math. Softw. 38, for steps by the noise of a function.
    """
    tried = [_tried(problem, z, STEPS[0])]
    while tried[-1][0] > SMOOTH and len(tried) < len(STEPS):
        tried.append(_tried(problem, z, STEPS[len(tried)]))
    apart, noise = min(tried, key=lambda one: one[0])
    step = STEPS[[one[0] for one in tried].index(apart)]
    if not math.isfinite(apart):  # the unknowns change nothing, or everything diverges: others say so
        return problem, []
    notes = []
    if apart > ROUGH:
        notes.append(
            Note(
                "rough",
                "results of the program change by steps or by chance, so derivatives are hardly known: differences "
                f"over steps of {step:g} and {2 * step:g} differ by {apart:.0%}, over other steps by more. Search "
                "without them: estimation.search=ensemble_kalman.",
            )
        )
    return (problem if apart < PRECISE else problem.with_roughness(step, noise)), notes


def _tried(problem: LeastSquares, z: Float[Tensor, " Z"], step: float) -> tuple[float, Float[Tensor, " C"]]:
    """By which part differences over a step and two differ, in the worst channel, and the noise that makes them."""
    signs = torch.zeros_like(z)
    count = len(problem.unknowns)
    signs[:count] = 2.0 * torch.randint(2, (count,), generator=seeded(0)).to(z) - 1
    moves = step * torch.tensor([-2.0, -1.0, 1.0, 2.0], dtype=z.dtype, device=z.device)
    back, behind, ahead, beyond = problem.predicted(z + moves[:, None] * signs)
    near, far = (ahead - behind) / (2 * step), (beyond - back) / (4 * step)
    apart, size = (_by_channel(problem, one) for one in (near - far, far))
    part = torch.where(size > 0, apart / size, torch.nan)
    seen = part[~part.isnan()]
    # Differences of independent errors s: s √(1/2 + 1/8)/step.
    return float(seen.max()) if len(seen) else math.inf, step * apart / math.sqrt(5 / 8)


def _by_channel(problem: LeastSquares, values: Float[Tensor, " M"]) -> Float[Tensor, " C"]:
    """Root mean square; not a number for a channel that is not seen."""
    squares, counts = (
        values.new_zeros(problem.observation.layout.channels).index_add(0, problem.observation.channel, one)
        for one in (values.square(), torch.ones_like(values))
    )
    return (squares / counts).sqrt()
