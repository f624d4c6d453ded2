"""Whether a grid is fine enough for the intervals: the model at the estimate against itself on a finer grid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.rollouts import Refined

MOST_BYTES = 2**31
"""Of states on the finer grid, up to which it is rolled out."""
TIMES = {2: "twice", 3: "three times"}


def on_grid(found: Estimation, finer: Refined) -> Iterator[str]:
    """Which unknowns would come out beyond their intervals on a finer grid.

    finer: the same model, with the same unknowns, on a finer grid. By one Gauss-Newton step from the estimate z, the
    starts eliminated: s = −(JᵀJ)⁻¹ Jᵀ (r_finer(z) − r(z)), J the Jacobian on the grid of the estimate.
    Costs one linearisation there and one rollout on the finer grid. Nothing is said beyond 300 unknowns, for which J
    is not made. Raises ValueError where the finer model's parameters are others.
    """
    if not isinstance(found.information, FullInformation):
        return
    layout, steps = finer.solver_layout, found.problem.observation.num_steps + 1
    size = 8 * len(found.starts) * steps * layout.channels * math.prod(layout.grid)
    if size > MOST_BYTES:
        yield f"{_unsaid()}: states on a finer one would take {size / 2**30:.1f} GiB."
        return
    step = _step(found, finer)
    if not bool(step.isfinite().all()):
        yield f"{_unsaid()}: on a finer one the model diverges at the estimate."
        return
    moved = [words for name in found.intervals if (words := _moved(found, name, step))]
    if moved:
        factor = layout.grid[0] // found.stepper.solver_layout.grid[0]
        yield (
            f"the grid is too coarse for these intervals: on one {TIMES.get(factor, f'{factor} times')} as fine "
            f"{', '.join(moved)}. Set physical.refine={finer.factor}."
        )


def unchecked(error: Exception) -> str:
    """That a model could not be compared with itself on a finer grid."""
    return f"{_unsaid()}: {error}"


def _unsaid() -> str:
    return "whether the grid is fine enough for the intervals was not looked at"


def _step(found: Estimation, finer: Refined) -> Float[Tensor, " N"]:
    """How far the raw unknowns would go; not finite where the finer model diverges."""
    problem, z = found.problem, found.z[None]
    linear = problem.linearise(z)
    missed = problem.on(finer).misfit(z) - linear.misfit
    if not bool(missed.isfinite().all()):
        return torch.full((len(problem.unknowns),), torch.nan)
    nothing = {"prior": torch.zeros_like(linear.prior), "white": torch.zeros_like(linear.white)}
    step = replace(linear, misfit=missed, **nothing).solve(torch.zeros_like(z[:, 0]))
    return problem.parts(step)[0][0]


def _moved(found: Estimation, name: str, step: Float[Tensor, " N"]) -> str:
    """Where an unknown would come out, at the point where that is farthest from its interval; empty if within it."""
    unknowns, interval = found.problem.unknowns, found.intervals[name]
    there = unknowns.value(name, found.z[: len(unknowns)] + step).detach().cpu().flatten()
    here, low, high = (one.flatten() for one in (interval.value, interval.low, interval.high))
    half = (high - low) / 2
    beyond = torch.maximum(there - high, low - there) / half
    if not bool((beyond > 0).any()):
        return ""
    most = int(beyond.nan_to_num(nan=-torch.inf).argmax())
    at = ", ".join(str(int(index)) for index in torch.unravel_index(torch.tensor(most), interval.value.shape))
    value, spread = float(here[most]), float(half[most])
    digits = max(3, _exponent(value) - _exponent(spread) + 2)
    return (
        f"{name}{f'[{at}]' if at else ''} would come out at about {float(there[most]):.{digits - 1}g} "
        f"(here {value:.{digits}g} ± {spread:.2g})"
    )


def _exponent(number: float) -> int:
    return math.floor(math.log10(abs(number) or 1.0))
