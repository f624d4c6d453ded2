"""What a check needs before anything long runs."""

from __future__ import annotations

import math

import torch

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.unknowns import Unknowns
from cotwin.stepper import Stepper

CLEAN = 1e3
"""Noise below so many roundings of the largest value is none."""


def fewest(level: float) -> int:
    """Draws of which two are expected outside of their intervals, and twenty; fewer say nothing."""
    return max(20, math.ceil(2 / (1 - level) - 1e-6))


def require_checkable(stepper: Stepper, draws: int, level: float) -> None:
    """Raise ValueError, before anything is estimated, where the estimate could not be checked by so many draws."""
    if draws < fewest(level):
        raise ValueError(
            f"{draws} repetitions are too few to check intervals of {level:.6g}; take {fewest(level):,} or more."
        )
    weights = Unknowns(stepper).closures
    if weights:
        raise ValueError(
            f"the weights of networks are unknown too ({weights[0]} and others). Intervals hold them fixed, so there "
            "is nothing to check; leave the check out, or fix the weights."
        )


def require_possible(found: Estimation, draws: int) -> None:
    """Raise ValueError where an estimate cannot be checked."""
    require_checkable(found.stepper, draws, found.level)
    problem = found.problem
    if not isinstance(found.information, FullInformation):
        raise ValueError(
            f"{len(problem.unknowns)} unknown numbers are too many to check; each draw would take a search along "
            "gradients. Check a coarser field, of at most 300 numbers."
        )
    if found.ensemble is not None:
        raise ValueError("a check estimates by derivatives, this estimate is by an ensemble; search by derivatives.")
    if bool(found.information.blind.any()):
        raise ValueError(
            f"the data say nothing about {found.information.weakest}, so it has no interval to check; fix a "
            "parameter of it (Known), give it a prior, or observe more."
        )
    if not found.converged:
        raise ValueError(
            "the search had not come to rest, so there is no estimate to check yet; start from other values or from "
            "more points (estimation.points)."
        )
    _require_noise(problem)


def _require_noise(problem: LeastSquares) -> None:
    channel = problem.observation.channel
    for one in channel.unique().tolist():
        level, name = float(problem.deviation[one]), problem.observation.layout.channel_names[one]
        largest = float(problem.values[channel == one].abs().max())
        if not math.isfinite(level):
            raise ValueError(f"the noise of {name} is not known, so none can be drawn; give it (estimation.noise).")
        if level <= CLEAN * torch.finfo(problem.dtype).eps * largest:
            raise ValueError(
                f"the noise of {name} is {level:.2g}, no more than rounding: the data are clean, and intervals by "
                "noise mean nothing. Give the noise that measurements would have (estimation.noise)."
            )
