"""Errors of two arms, paired over seeds: how many times as large, and how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import scipy.stats

FEWEST = 3
"""Seeds from which on something is said. With two, Student's interval is six times as wide as with many."""
NEGLIGIBLE = 0.01
"""Of an error, that makes no difference however sure it is."""
Word = Literal["better", "worse", "same", "open", "diverges", "unsaid"]


def geometric_mean(values: Sequence[float]) -> float:
    """Of those that are finite; infinite where none is.

    >>> geometric_mean([1.0, 4.0, math.inf])
    2.0
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return math.inf
    return math.exp(statistics.fmean(map(_log, finite)))


@dataclass(frozen=True)
class Ratio:
    """errors of one arm over those of another with the same seeds.

    mean: geometric. low, high: Student's interval. seeds: pairs in which both are finite.
    lost: in how many seeds the one, and the other, diverged. same: whether all errors agree to the last digit.
    """

    mean: float
    low: float
    high: float
    seeds: int
    lost: tuple[int, int] = (0, 0)
    same: bool = False

    @property
    def word(self) -> Word:
        """What may be said of the first arm."""
        if self.seeds + max(self.lost) < FEWEST:
            return "unsaid"
        if self.lost[0] != self.lost[1] or not self.seeds:
            return "diverges"
        if self.same:
            return "same"
        if self.seeds < FEWEST or self.low <= 1 <= self.high or abs(self.mean - 1) < NEGLIGIBLE:
            return "open"
        return "better" if self.high < 1 else "worse"


def paired(one: Sequence[float], other: Sequence[float], noise: float = 0.0, level: float = 0.9) -> Ratio:
    """Of the errors of two arms, seed by seed, by Student's t on the logarithms of their ratios.

    noise: the standard deviation of such a logarithm where the treatments are the same (`noise_of`). The interval is
    never narrower than it allows: few seeds may agree by chance.

    >>> ratio = paired([1.0, 1.1, 0.9], [2.0, 2.0, 2.0])
    >>> round(ratio.mean, 2), round(ratio.low, 2), round(ratio.high, 2), ratio.word
    (0.5, 0.42, 0.59, 'better')
    """
    both = [pair for pair in zip(one, other, strict=True) if all(map(math.isfinite, pair))]
    lost = tuple(sum(not math.isfinite(error) for error in errors) for errors in (one, other))
    logs = [_log(above) - _log(below) for above, below in both]
    same = bool(both) and all(above == below for above, below in both)
    count, mean = len(logs), statistics.fmean(logs) if logs else math.nan
    if count < 2:
        return Ratio(_exp(mean), 0.0, math.inf, count, lost, same)  # type: ignore[arg-type]
    half = 0.0
    if not same:
        spread = max(statistics.stdev(logs), noise)
        half = float(scipy.stats.t.ppf(0.5 + level / 2, count - 1)) * spread / math.sqrt(count)
    return Ratio(_exp(mean), _exp(mean - half), _exp(mean + half), count, lost, same)  # type: ignore[arg-type]


def noise_of(null: Sequence[float], again: Sequence[float]) -> float:
    """Root mean square logarithm of the ratio of errors after the same treatment, once more with another order.

    Of trainings that both end finite; zero where there are none.
    """
    squares = [
        (_log(above) - _log(below)) ** 2
        for above, below in zip(null, again, strict=True)
        if math.isfinite(above) and math.isfinite(below)
    ]
    return math.sqrt(statistics.fmean(squares)) if squares else 0.0


def _log(error: float) -> float:
    return math.log(max(error, 1e-300))  # an exact model's is zero


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
