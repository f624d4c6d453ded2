"""Intervals where the starts were taken as they were measured, with noise."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation, Information
from cotwin.estimation.intervals import holding, laplace_interval
from cotwin.estimation.note import Note

DRAWS = 6
"""Of the noise."""
MUCH = 0.5
"""Of a standard deviation, from which on what the noise does is heeded."""


@dataclass(frozen=True)
class Shaken(Information):
    """What is known beside noise that moves the raw unknowns by steps such as these: covariances add.

    known: without that noise. steps: as the noise was drawn.
    """

    known: Information
    steps: Float[Tensor, "K N"]

    @property
    def condition(self) -> float:
        return self.known.condition

    @property
    def weakest(self) -> str:
        return self.known.weakest

    def deviations(self, slope: Float[Tensor, "K N"]) -> Float[Tensor, " K"]:
        moved = (slope @ self.steps.mT).square().mean(dim=1)
        return (self.known.deviations(slope).square() + moved).sqrt()

    def warnings(self, on_bound: Collection[str]) -> list[Note]:
        return self.known.warnings(on_bound)


def with_noise_of_starts(found: Estimation) -> Estimation:
    """The estimate with intervals that know of the noise of the starts, and a note, where that is much.

    By one Gauss-Newton step each from starts with as much noise η added again, s = −(JᵀJ)⁻¹ Jᵀ r, J and r at these
    starts, always for the same draws of η. A bias, which the mean of s shows, is widened for, not taken off. The
    estimate as it is beyond 300 unknowns, for which J is not made, and where starts are estimated.
    """
    problem, known = found.problem, found.spread
    if problem.starts.size or known is None or not isinstance(found.information, FullInformation):
        return found
    z, raw = found.z[None], found.z[: len(problem.unknowns)]
    still = torch.zeros_like(z[:, 0])
    noisier = (problem.starting_from(problem.starts.guess + noise) for noise in _draws(found))
    if found.ensemble is None:
        steps = torch.cat([one.linearise(z).solve(still) for one in noisier])
    else:
        # Derivatives would be of the program's own noise; the ensemble's slopes serve for all draws.
        linear = found.linear
        steps = torch.cat([replace(linear, misfit=one.misfit(z)).solve(still) for one in noisier])
    each = torch.eye(len(raw), dtype=raw.dtype, device=raw.device)
    ratio = (steps.square().mean(dim=0).sqrt() / found.information.deviations(each)).nan_to_num()
    if not bool((ratio > MUCH).any()) or not bool(steps.isfinite().all()):
        return found
    shaken = Shaken(known, steps)
    intervals = {
        name: holding(laplace_interval(problem.unknowns, name, raw, shaken, found.reach), own)
        for name, own in found.intervals.items()
    }
    most = int(ratio.argmax())
    note = Note(
        "noise_in_starts",
        "the starts are taken as measured. Their noise moves estimates, most of all "
        f"{problem.unknowns.labels[most]}, by {float(ratio[most]):.2g} of its standard deviations. The intervals are "
        "widened by that, but a bias is left in the estimate. Have the starts estimated.",
    )
    return replace(found, spread=shaken, intervals=intervals, warnings=[*found.warnings, note])


def _draws(found: Estimation) -> Iterator[Float[Tensor, "B C *S"]]:
    problem = found.problem
    static = torch.tensor(problem.observation.layout.static_channels, device=problem.starts.guess.device)
    level = torch.where(static, 0.0, problem.deviation.nan_to_num().to(problem.starts.guess))
    generator = torch.Generator().manual_seed(0)
    for _ in range(DRAWS):
        noise = torch.randn(problem.starts.guess.shape, generator=generator, dtype=torch.float64).to(level)
        yield noise * level.view(-1, *[1] * problem.observation.layout.dims)
