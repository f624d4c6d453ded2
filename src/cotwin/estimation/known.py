"""What a point is known to be worth, by the Jacobian where that is cheap."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.information import FullInformation, Information
from cotwin.estimation.linear import Linearised
from cotwin.estimation.low_rank import LowRankInformation
from cotwin.estimation.problem import LeastSquares

MOST_BY_JACOBIAN = 300
"""Unknowns up to which Jacobians are cheaper than they are useful; beyond, searches go along gradients."""


@dataclass(frozen=True)
class Known:
    """What is known at a point.

    information: on the unknowns; None where there are none but networks' weights. taken: how much of each value its
    own prediction takes up. linear: the problem around the point; None where there are too many unknowns for that.
    """

    information: Information | None
    taken: Float[Tensor, " M"]
    linear: Linearised | None

    @classmethod
    def at(cls, problem: LeastSquares, z: Float[Tensor, " Z"]) -> Known:
        nothing = torch.zeros(problem.observation.size, dtype=torch.float64, device=z.device)
        if not len(problem.unknowns):
            return cls(None, nothing, None)
        if len(problem.unknowns) <= MOST_BY_JACOBIAN:
            linear = problem.linearise(z[None])
            idle = problem.unknowns.idle(z[: len(problem.unknowns)])
            full = FullInformation.of(linear.jacobian()[0], problem.unknowns.labels, idle)
            return cls(full, linear.leverage()[0], linear)
        low_rank = LowRankInformation.of(problem, z)
        return cls(low_rank, nothing + low_rank.learned / problem.observation.size, None)
