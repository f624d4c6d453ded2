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

BEFOREHAND = 2.0
"""Degrees of freedom that what is supposed of a discrepancy's deviation counts for."""
CERTAIN = 1e9
"""Degrees of freedom of noise that is known: quantiles are normal."""


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
    def by(cls, problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised) -> Known:
        """From the problem around the point."""
        idle = problem.unknowns.idle(z[: len(problem.unknowns)])
        full = FullInformation.of(linear.jacobian()[0], problem.unknowns.labels, idle)
        return cls(full, linear.leverage()[0], linear)

    @classmethod
    def at(cls, problem: LeastSquares, z: Float[Tensor, " Z"]) -> Known:
        nothing = torch.zeros(problem.observation.size, dtype=torch.float64, device=z.device)
        if not len(problem.unknowns):
            linear = problem.linearise(z[None]) if problem.starts.size else None
            return cls(None, nothing if linear is None else linear.leverage()[0], linear)
        if len(problem.unknowns) <= MOST_BY_JACOBIAN:
            return cls.by(problem, z, problem.linearise(z[None]))
        low_rank = LowRankInformation.of(problem, z)
        return cls(low_rank, nothing + low_rank.learned / problem.observation.size, None)

    def freedom(self, problem: LeastSquares, noise_is_known: bool) -> float:
        """Degrees of freedom of the errors' level, of the unknown that has the fewest.

        The variance of an unknown, V = Σ_c V_c, V_c by the noise of channel c, is as sure as one of V²/Σ_c (V_c²/ν_c)
        degrees of freedom, ν_c those left of the channel, or infinitely many where the noise is known. A discrepancy
        has parts of its own, by the modes that tell of its deviation.
        Source: Satterthwaite (1946), Biometrics Bulletin 2.
        """
        if noise_is_known and problem.discrepancy is None:
            return CERTAIN
        seen = problem.observation.channel.unique()
        own = [problem.observation.channel == one for one in seen]
        left = torch.stack([(1 - self.taken[rows]).sum() for rows in own])
        left = torch.full_like(left, CERTAIN) if noise_is_known else left
        if self.linear is None or not isinstance(self.information, FullInformation):
            return float(left.sum())
        covariance = self.information.covariance()
        moved = self.linear.by_raw_alone()[0] @ covariance
        parts = torch.stack([moved[rows].square().sum(dim=0) for rows in own])
        if problem.discrepancy is not None:
            by_model = problem.discrepancy.energy(moved.mT)[seen]
            told = BEFOREHAND + problem.discrepancy.learned(self.linear.fitted()[0])[seen]
            parts, left = torch.cat([parts - by_model, by_model]), torch.cat([left, told])
        parts = parts / covariance.diagonal()
        return float((1 / (parts.square() / left[:, None]).sum(dim=0)).min())
