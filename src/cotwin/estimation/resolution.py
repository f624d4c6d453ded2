"""Whether grid and time step suit the intervals: the model at the estimate against itself on finer ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.rollouts import Refined, Substepped
from cotwin.stepper import Stepper

MOST_BYTES = 2**31
"""Of the finer model's states, up to which it is rolled out."""
TIMES = {2: "twice", 3: "three times"}


@dataclass(frozen=True)
class Finer:
    """The same model, with the same unknowns, solved more finely.

    fault, there: what is wrong where it comes out elsewhere, and where it does, in words. cure: a sentence.
    states: on its grid, for each frame.
    """

    stepper: Stepper
    fault: str
    there: str
    cure: str
    states: int = 1

    @classmethod
    def grid(cls, stepper: Refined, of: Stepper) -> Finer:
        """On a finer grid than `of`."""
        factor = stepper.solver_layout.grid[0] // of.solver_layout.grid[0]
        return cls(
            stepper,
            "the grid is too coarse",
            f"on one {TIMES.get(factor, f'{factor} times')} as fine",
            f"Set physical.refine={stepper.factor}.",
        )

    @classmethod
    def steps(cls, stepper: Substepped, substeps: int | None) -> Finer:
        """With shorter steps. substeps: of each interval so far; None where the model has no such setting."""
        factor = stepper.factor
        cure = "Solve it with shorter steps" if substeps is None else f"Set physical.substeps={factor * substeps}"
        words = "with half as long ones" if factor == 2 else f"with ones {factor} times shorter"
        return cls(stepper, "the time steps are too long", words, f"{cure}.", factor)


def on_resolution(found: Estimation, finer: Finer) -> Iterator[str]:
    """Which unknowns would come out beyond their intervals with a finer model.

    By one Gauss-Newton step from the estimate z, the starts eliminated: s = −(JᵀJ)⁻¹ Jᵀ (r_finer(z) − r(z)), J the
    Jacobian of the model that was estimated.
    Costs one linearisation and one rollout of the finer model. Nothing is said beyond 300 unknowns, for which J is
    not made. Raises ValueError where the finer model's parameters are others.
    """
    if not isinstance(found.information, FullInformation):
        return
    layout, frames = finer.stepper.solver_layout, found.problem.observation.num_steps + 1
    size = 8 * len(found.starts) * frames * finer.states * layout.channels * math.prod(layout.grid)
    if size > MOST_BYTES:
        yield unchecked(f"its states {finer.there} would take {size / 2**30:.1f} GiB.")
        return
    step = _step(found, finer.stepper)
    if not bool(step.isfinite().all()):
        yield unchecked(f"{finer.there} the model diverges at the estimate.")
        return
    moved = [words for name in found.intervals if (words := _moved(found, name, step))]
    if moved:
        yield f"{finer.fault} for these intervals: {finer.there} {', '.join(moved)}. {finer.cure}"


def unchecked(reason: object) -> str:
    """That a model could not be compared with itself solved more finely."""
    return f"whether grid and time steps suit the intervals was not looked at: {reason}"


def _step(found: Estimation, finer: Stepper) -> Float[Tensor, " N"]:
    """How far the raw unknowns would go; not finite where the finer model diverges."""
    problem, z = found.problem, found.z[None]
    linear = problem.linearise(z)
    missed = problem.on(finer).misfit(z) - linear.misfit
    if not bool(missed.isfinite().all()):
        return torch.full((len(problem.unknowns),), torch.nan)
    nothing = {name: torch.zeros_like(getattr(linear, name)) for name in ("prior", "white", "tilt")}
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
