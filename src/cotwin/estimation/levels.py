"""Intervals where starts may be off their guesses together: what is said of a field that nothing measures."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.intervals import holding, laplace_interval
from cotwin.estimation.note import Note
from cotwin.estimation.start_noise import MUCH, Shaken

PART = 0.01
"""Of a deviation, by which guesses are moved to see what it does."""


def off_together(found: Estimation) -> tuple[Float[Tensor, "K Z"], Float[Tensor, "K C"]]:
    """Steps of the estimate that go with steps of the guesses, each of a channel everywhere; covariances add.

    Along the guess, in deviations c, the misfit changes by ∂r, and the estimate follows by s = −(JᵀJ + 1)⁻¹ Jᵀ ∂r:
    where values tell the level, the starts' own weights take it back. What is left, R = ∂r + J s with those weights,
    tells of c itself: of covariance C = (1 + RᵀR)⁻¹ about −C ∂rᵀr. A bias, which that mean shows, counts as a step.
    Weights that all grow alike tell nothing, since the deviation of a field follows them.
    """
    problem, z = found.problem, found.z[None]
    noisy, layout = problem.starts.noisy, problem.observation.layout
    common = torch.zeros(layout.channels) if noisy is None or noisy.common is None else noisy.common
    levels = torch.diag(common.to(z))[common > 0]
    if not len(levels):
        return z[:0], levels
    guess, paces, along = problem.starts.guess, problem.paces(z), list[Tensor]()
    for level in levels:
        shift = PART * level.view(-1, *[1] * layout.dims).to(guess)
        ahead, behind = (problem.starting_from(guess + sign * shift).misfit(z, paces) for sign in (1, -1))
        along.append((ahead - behind) / (2 * PART))
    linear = found.linear
    still = {name: torch.zeros_like(getattr(linear, name)) for name in ("prior", "white", "tilt")}
    moved = [replace(linear, misfit=one, **still) for one in along]
    steps = torch.cat([one.solve(torch.zeros_like(z[:, 0])) for one in moved])
    size = len(problem.unknowns)
    left = torch.cat(
        [
            torch.cat([one.misfit_after(step[None]) for one, step in zip(moved, steps, strict=True)]),
            steps[:, :size] @ linear.prior_by_raw[0].mT,
            _turned(steps[:, size:].view(len(steps), len(guess), len(problem.starts.moving), -1), linear.white[0]),
        ],
        dim=1,
    )
    covariance = torch.linalg.inv(torch.eye(len(steps)).to(left) + left @ left.mT)
    root = torch.linalg.cholesky(covariance)
    mean = -covariance @ torch.cat(along) @ linear.misfit[0]
    drawn = torch.cat([root.mT, mean[None]])
    return drawn @ steps, drawn @ levels


def _turned(steps: Float[Tensor, "K B V n"], white: Float[Tensor, "B Vn"]) -> Float[Tensor, "K BVn"]:
    """Steps of the starts' weights less what makes all of a channel grow alike."""
    own = white.view(steps.shape[1:])
    growth = (steps * own).sum(dim=(1, 3), keepdim=True) / own.square().sum(dim=(0, 2), keepdim=True).clamp(
        min=1e-300
    )
    return (steps - growth * own).flatten(1)


def with_unsure_levels(found: Estimation) -> Estimation:
    """The estimate with intervals that know of it, to first order, and a note where that is much.

    The estimate as it is beyond 300 unknowns, for which J is not made.
    """
    problem, known = found.problem, found.spread
    if known is None or not isinstance(found.information, FullInformation):
        return found
    steps, _ = off_together(found)
    raw = found.z[: len(problem.unknowns)]
    steps = steps[:, : len(raw)]
    if not len(steps) or not bool(steps.isfinite().all()):
        return found
    # `Shaken` takes the mean over draws, and these come on top of each other.
    unsure = Shaken(known, len(steps) ** 0.5 * steps)
    intervals = {
        name: holding(laplace_interval(problem.unknowns, name, raw, unsure, found.reach), own)
        for name, own in found.intervals.items()
    }
    widened = replace(found, spread=unsure, intervals=intervals)
    each = torch.eye(len(raw), dtype=raw.dtype, device=raw.device)
    ratio = (steps.square().sum(dim=0).sqrt() / found.information.deviations(each)).nan_to_num()
    if not bool((ratio > MUCH).any()):
        return widened
    most = int(ratio.argmax())
    note = Note(
        "level_said",
        "estimates hang on what was said of fields that nothing measures. These may be off everywhere, which moves "
        f"{problem.unknowns.labels[most]} most, by {float(ratio[most]):.2g} of its standard deviations. The "
        "intervals are widened by that. Say more closely what is known, or measure those fields once.",
    )
    return replace(widened, warnings=[*found.warnings, note])
