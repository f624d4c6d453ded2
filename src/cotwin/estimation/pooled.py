"""Estimates of groups with a prior in common: what it is, and intervals that know how little is known of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.intervals import holding, laplace_interval
from cotwin.estimation.pooling import SPREADS, change, log_evidence, quadratic
from cotwin.estimation.priors.pooled import FEW, Pooled
from cotwin.estimation.start_noise import Shaken


@dataclass(frozen=True)
class Pool:
    """What groups have in common.

    centre: of all groups that there could be, in natural units; low, high: the ends of its interval. spread: of their
    numbers free of bounds, mostly logarithms. scale: of the half-normal prior of the spread; None where there are
    enough groups without.
    """

    name: str
    groups: int
    centre: float
    low: float
    high: float
    spread: float
    scale: float | None


def pools(found: Estimation) -> list[Pool]:
    """What was found of each.

    Of groups u with spread τ the centre is normal about their mean ū, Var = Var(ū) + τ²/G.
    """
    every, unknowns = [], found.problem.unknowns
    for name, prior in found.problem.priors.items():
        if isinstance(prior, Pooled) and found.spread is not None:
            place = unknowns.place(name)
            groups, slope = place.stop - place.start, found.z.new_zeros(1, len(unknowns))
            slope[0, place] = 1 / groups
            deviation = (found.spread.deviations(slope)[0].square() + prior.spread.square() / groups).sqrt()
            middle, reach = found.z[place].mean(), found.reach * deviation
            centre, low, high = (float(prior.parameter.bounded(middle + by * reach)) for by in (0, -1, 1))
            scale = prior.scale if groups < FEW else None
            every.append(Pool(name, groups, centre, low, high, float(prior.spread), scale))
    return every


def with_unsure_spreads(found: Estimation) -> Estimation:
    """The estimate with intervals that know how little is known of the spreads.

    With the variance of the estimate as the spread goes through all that are probable, about the one that is printed.
    Source: Kass & Steffey (1989), J. Am. Stat. Assoc. 84.
    """
    problem = found.problem
    pooled = {name: prior for name, prior in problem.priors.items() if isinstance(prior, Pooled)}
    if not pooled or found.spread is None or not isinstance(found.information, FullInformation):
        return found
    raw = found.z[: len(problem.unknowns)]
    normal, pull = quadratic(problem, found.z, found.linear)
    extra = torch.zeros_like(normal)
    for name, prior in pooled.items():
        log = log_evidence(problem, name, prior, normal, pull)
        weights = torch.softmax(log, dim=0)
        here = torch.linalg.inv(normal)
        for spread, weight in zip(SPREADS, weights, strict=True):
            if weight > 1e-6:
                covariance = torch.linalg.inv(normal + change(problem, name, float(prior.spread), float(spread)))
                moved = covariance @ pull - here @ pull
                extra = extra + weight * (covariance - here + torch.outer(moved, moved))
    sizes, directions = torch.linalg.eigh(extra)
    # Steps whose mean square is what comes to the covariance.
    steps = (directions * (len(sizes) * sizes.clamp(min=0)).sqrt()).mT
    unsure = Shaken(found.spread, steps)
    intervals = {
        name: holding(laplace_interval(problem.unknowns, name, raw, unsure, found.reach), own)
        for name, own in found.intervals.items()
    }
    return replace(found, spread=unsure, intervals=intervals)
