"""Whether intervals can be relied on: the same experiment again and again, with truths that are known.

It finds what makes Laplace's intervals wrong where model and noise are right: an equation that bends within them,
bias, bounds, few values, other minima. A wrong model, or wrong noise, it cannot find: its data are made with both.
Source: Talts et al. (2018), arXiv:1804.06788, simulation-based calibration.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from cotwin.estimation.checkable import fewest, require_possible
from cotwin.estimation.coverage import Coverage
from cotwin.estimation.estimation import Estimation
from cotwin.estimation.intervals import Interval
from cotwin.estimation.redone import Redone, redone, searched
from cotwin.estimation.replicas import Replicas, Source
from cotwin.estimation.unknowns import Unknowns

SEARCHES = 10
"""Draws that the whole search is tried on too."""
APART = 0.5
"""Deviations between two estimates of the same data, from which on they are two."""
JUDGED = {"nonlinear", "on_bound", "out_of_range", "hardly_determined", "lone_minimum"}
"""Codes of notes that make an estimate unreliable, of which a check is the judge."""
LOST = 0.05
"""Part of the draws that may lead to no estimate without a word in the verdict."""
TIMED, TIMED_ALONE = 10, 2
"""Draws by which a forecast is made, where all are one batch, and where each is estimated by itself."""
BARS = 20
"""Into which ranks are counted for check.json."""

Ends = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Check:
    """What came of repeating an experiment.

    level: of the intervals. source, starts: what truths were drawn from, and their starts; None where starts are
    exact. draws: how many truths. diverged: draws whose truth has no finite rollout, so that there was nothing to
    estimate from. unsettled: draws whose search did not come to rest, or left an unknown undetermined; `estimate`
    would say so. The rest are in `coverages`, by the parameters.
    searches, same, nowhere: draws that the whole search was tried on as well; those where it came to the same place
    as a search begun at the truth, and those where it led to no estimate.
    reasons: what makes the estimate itself unreliable, that no check can judge (codes of notes).
    printed, corrected: ends of the estimate's own intervals; of those that do not cover as they should, such that
    they would. Fields at the points of the data.
    """

    level: float
    source: Source
    starts: Source | None
    draws: int
    diverged: int
    unsettled: int
    coverages: dict[str, Coverage]
    searches: int
    same: int
    nowhere: int
    reasons: list[str]
    printed: dict[str, Ends]
    corrected: dict[str, Ends]
    seconds: float

    @property
    def settled(self) -> int:
        """Draws that led to an estimate."""
        return self.draws - self.diverged - self.unsettled

    @property
    def off(self) -> dict[str, Coverage]:
        """Those that cover more or less often than they should, by more than chance."""
        return {name: one for name, one in self.coverages.items() if one.off(len(self.coverages))}

    @property
    def verdict(self) -> str:
        """In a sentence or two."""
        level = f"{100 * self.level:g} %"
        if self.settled < fewest(self.level):
            return f"No verdict: only {self.settled} of {self.draws} repetitions led to an estimate."
        narrow = {name: one for name, one in self.off.items() if one.share < self.level}
        wide = {name: one for name, one in self.off.items() if one.share > self.level}
        said = []
        if narrow:
            said.append(f"Do not rely on the {level} interval of {_shares(narrow)} of {self.settled} repetitions.")
        elif self.reasons:
            said.append(
                f"Do not rely on the {level} intervals: the estimate says why ({', '.join(self.reasons)}), and a "
                "check cannot judge that. Were model and noise right, they would hold the truth as often as they "
                "should."
            )
        else:
            said.append(
                f"The {level} intervals can be relied on if model and noise are right: in {self.settled} repetitions "
                "of the experiment they held the truth as often as they should."
            )
        if wide:
            said.append(f"Wider than need be is that of {_shares(wide)}.")
        lost = self.draws - self.settled
        if lost > LOST * self.draws:
            said.append(f"But {lost} of {self.draws} repetitions led to no estimate.")
        if self.same < self.searches:
            said.append(f"But {self.searches - self.same} of {self.searches} whole searches ended elsewhere.")
        return " ".join(said)

    @property
    def reliable(self) -> bool:
        """Whether no interval covers too seldom, few draws were lost, and every whole search ended at the truth."""
        narrow = any(one.share < self.level for one in self.off.values())
        lost = self.draws - self.settled > LOST * self.draws
        complete = not lost and self.same == self.searches and self.settled >= fewest(self.level)
        return complete and not narrow and not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for check.json."""
        return {
            "verdict": self.verdict,
            "reliable": self.reliable,
            "level": self.level,
            "truths_from": self.source,
            "starts_from": self.starts,
            "draws": self.draws,
            "diverged": self.diverged,
            "unsettled": self.unsettled,
            "whole_searches": self.searches,
            "whole_searches_at_the_same_place": self.same,
            "whole_searches_without_estimate": self.nowhere,
            "reasons_of_the_estimate": self.reasons,
            "seconds": self.seconds,
            "unknowns": [self._json(name, one) for name, one in self.coverages.items()],
        }

    def _json(self, name: str, one: Coverage) -> dict[str, Any]:
        corrected = self.corrected.get(name)
        return {
            "name": name,
            "coverage": one.share,
            "coverage_standard_error": one.share_error,
            "by_chance": one.chance,
            "bias": one.bias,
            "bias_standard_error": one.bias_error,
            "factor": one.factor,
            "interval": [end.tolist() for end in self.printed[name]],
            "corrected_interval": None if corrected is None else [end.tolist() for end in corrected],
            "rank_counts": one.rank_counts(BARS),
        }


@dataclass(frozen=True)
class Forecast:
    """Seconds that a draw and a whole search take."""

    draw: float
    search: float
    searches: int

    def seconds(self, draws: int) -> float:
        """At most about, since many draws in a batch take less each."""
        return draws * self.draw + self.searches * self.search

    def draws_within(self, seconds: float) -> int:
        """How many draws take no longer, by tens."""
        return max(0, int((seconds - self.searches * self.search) / self.draw) // 10 * 10)


def unjudged(reasons: list[str]) -> list[str]:
    """Of the codes that make an estimate unreliable, those of which no check is the judge."""
    return [code for code in reasons if code not in JUDGED]


def check(
    found: Estimation,
    draws: int = 200,
    *,
    searches: int = SEARCHES,
    seed: int = 0,
    say: Callable[[str], None] = lambda stage: None,
) -> Check:
    """Repeat the experiment of an estimate with truths that are known, and count how often intervals hold them.

    Each draw: a truth (`Replicas.drawn` says from where), its rollout, the same observation of it, noise of the
    estimate's level, and the estimate again, begun at its truth, with its noise where that was estimated. Of
    `searches` draws the whole search as well, from where `estimate` began. say: is told each stage.

    It judges Laplace's intervals; those of `found` may be wider (by the numerics, or correlated residuals), and are
    corrected by the same factor.

    Raises ValueError where there is nothing to check: few draws, networks' weights or more than 300 numbers as
    unknowns, data that say nothing of one, no noise, or a search that did not come to rest.
    """
    begun = time.monotonic()
    require_possible(found, draws)
    say(f"{draws} truths and what would be measured of them")
    replicas = Replicas.drawn(found, draws, seed)
    which = replicas.measured
    say(f"{len(which)} estimates, each begun at its truth")
    made = dict(zip(which.tolist(), redone(found, replicas, which), strict=True))
    settled = {index: one for index, one in made.items() if one is not None}
    intervals = {index: one.intervals(found.problem, found.level) for index, one in settled.items()}
    coverages = _coverages(found, replicas, settled, intervals) if settled else {}
    tried = list(settled)[:searches]
    say(f"{len(tried)} of them by the whole search")
    ended = {index: searched(found, replicas, index, seed) for index in tried}
    same = sum(
        one is not None and _same(intervals[index], one.intervals(found.problem, found.level))
        for index, one in ended.items()
    )
    outcome = Check(
        level=found.level,
        source=replicas.source,
        starts=replicas.starts,
        draws=draws,
        diverged=draws - len(which),
        unsettled=len(which) - len(settled),
        coverages=coverages,
        searches=len(tried),
        same=same,
        nowhere=sum(one is None for one in ended.values()),
        reasons=unjudged(found.reasons),
        printed={name: _at_points(found, (one.low, one.high)) for name, one in found.intervals.items()},
        corrected={},
        seconds=0.0,
    )
    corrected = {
        name: _at_points(found, _stretched(found.problem.unknowns, found.intervals[name], one.factor))
        for name, one in outcome.off.items()
    }
    return replace(outcome, corrected=corrected, seconds=time.monotonic() - begun)


def forecast(found: Estimation, *, searches: int = SEARCHES, seed: int = 0) -> Forecast:
    """How long a check takes, from a few draws and one whole search. Raises ValueError as `check` does."""
    require_possible(found, fewest(found.level))
    count = TIMED_ALONE if found.problem.starts.size or found.discrepancy is not None else TIMED
    begun = time.monotonic()
    replicas = Replicas.drawn(found, count, seed)
    which = replicas.measured
    for one in redone(found, replicas, which):
        if one is not None:
            one.intervals(found.problem, found.level)
    drawn = time.monotonic()
    if searches and len(which):
        searched(found, replicas, int(which[0]), seed)
    return Forecast((drawn - begun) / count, time.monotonic() - drawn, searches)


def _coverages(
    found: Estimation, replicas: Replicas, settled: dict[int, Redone], intervals: dict[int, dict[str, Interval]]
) -> dict[str, Coverage]:
    unknowns = found.problem.unknowns
    raws = {index: replicas.truth[index, : len(unknowns)] for index in settled}
    return {
        name: Coverage.of(
            name,
            found.level,
            parameter,
            truths=[unknowns.value(name, raw).detach().double().cpu() for raw in raws.values()],
            intervals=[own[name] for own in intervals.values()],
            freedoms=[one.freedom for one in settled.values()],
        )
        for name, parameter in unknowns.parameters.items()
    }


def _same(one: dict[str, Interval], other: dict[str, Interval]) -> bool:
    return all(
        bool(((own.value - other[name].value).abs() <= APART * own.deviation).all()) for name, own in one.items()
    )


def _stretched(unknowns: Unknowns, interval: Interval, factor: float) -> Ends:
    """An interval so many times as wide, in the numbers that have no bounds."""
    parameter = unknowns.parameters[interval.name]
    low, middle, high = (parameter.unbounded(end) for end in (interval.low, interval.value, interval.high))
    below, above = (parameter.bounded(middle + factor * (end - middle)).detach() for end in (low, high))
    return below, above


def _at_points(found: Estimation, ends: Ends) -> Ends:
    return found.stepper.at_data_points(ends[0]), found.stepper.at_data_points(ends[1])


def _shares(some: dict[str, Coverage]) -> str:
    return ", ".join(
        f"{name}: it held the truth in {100 * one.share:.0f} % ± {100 * one.share_error:.0f} %"
        for name, one in some.items()
    )
