"""How often the intervals of one unknown hold its truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.intervals import Interval
from cotwin.parameters import Parameter

BY_CHANCE = 0.01
"""How rarely intervals that are right are called wrong, all unknowns together."""


@dataclass(frozen=True)
class Coverage:
    """Of an unknown with K numbers over D draws, in the numbers without bounds that intervals are formed in.

    unit: its own. level: of the intervals.
    errors: estimate less truth, in the estimate's deviations. reaches: the same by half widths of the interval,
    without sign. ranks: which part of the estimated posterior lies below the truth; uniform where all is right.
    """

    name: str
    unit: str
    level: float
    errors: Float[Tensor, "D K"]
    reaches: Float[Tensor, "D K"]
    ranks: Float[Tensor, "D K"]

    @classmethod
    def of(
        cls,
        name: str,
        level: float,
        parameter: Parameter,
        truths: Sequence[Tensor],
        intervals: Sequence[Interval],
        freedoms: Sequence[float],
    ) -> Coverage:
        """truths: in natural units. freedoms: of the Student's distributions that the intervals are of."""
        truth, value, low, high = (
            parameter.unbounded(torch.stack(list(parts))).detach().reshape(len(truths), -1)
            for parts in (
                truths,
                (one.value for one in intervals),
                (one.low for one in intervals),
                (one.high for one in intervals),
            )
        )
        reach = 2 * (value - truth) / (high - low)
        freedom = torch.tensor(freedoms, dtype=torch.float64)[:, None]
        quantile = torch.from_numpy(scipy.stats.t.ppf(0.5 + level / 2, freedom.numpy()))
        errors = reach * quantile
        ranks = torch.from_numpy(scipy.stats.t.cdf(-errors.numpy(), freedom.numpy()))
        return cls(name, parameter.unit, level, errors, reach.abs(), ranks)

    @property
    def draws(self) -> int:
        """D."""
        return len(self.errors)

    @property
    def share(self) -> float:
        """Of the intervals that hold their truth, all numbers together."""
        return float((self.reaches <= 1).double().mean())

    @property
    def share_error(self) -> float:
        """Its standard error. Numbers of one draw are not independent, so it is by how draws differ."""
        return _error((self.reaches <= 1).double().mean(dim=1))

    @property
    def bias(self) -> float:
        """Mean error, in deviations."""
        return float(self.errors.mean())

    @property
    def bias_error(self) -> float:
        """Its standard error, by how draws differ."""
        return _error(self.errors.mean(dim=1))

    def rank_counts(self, bars: int) -> list[int]:
        """How many ranks lie in each of so many equal parts of zero to one."""
        counts: list[int] = torch.histc(self.ranks, bins=bars, min=0.0, max=1.0).long().tolist()
        return counts

    @property
    def factor(self) -> float:
        """By which deviations must be multiplied for the intervals to hold the truth as often as they should."""
        rank = min(1.0, self.level * (self.draws + 1) / self.draws)
        return float(self.reaches.flatten().quantile(rank, interpolation="higher"))

    @property
    def chance(self) -> float:
        """How rarely a share is as far from the level by chance, if the numbers of a draw were all as one.

        They are not quite, in a field. Then it is rarer than that.
        """
        held = round(self.share * self.draws)
        return float(scipy.stats.binomtest(held, self.draws, self.level).pvalue)

    def off(self, unknowns: int) -> bool:
        """Whether the share is not what it should be, by more than chance; of so many unknowns looked at."""
        return self.chance < BY_CHANCE / unknowns


def _error(values: Float[Tensor, " D"]) -> float:
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
