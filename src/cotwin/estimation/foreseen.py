"""What further measurements would tell: by how much each would narrow which interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.intervals import Interval
from cotwin.estimation.unknowns import Unknowns

Kind = Literal["sensor", "sensors", "longer", "denser", "experiment"]


@dataclass(frozen=True)
class Candidate:
    """Something that could be measured besides, and what it would tell.

    words: what it is. values: how many it adds. factors: by unknown, its standard deviation now over that with the
    candidate, so 2 for half of it; infinite for an unknown that only the candidate determines. Of a field or another
    array by the mean variance of its numbers.
    """

    kind: Kind
    words: str
    values: int
    factors: Mapping[str, float]

    @property
    def gain(self) -> float:
        """The geometric mean of the factors."""
        return math.exp(sum(math.log(one) for one in self.factors.values()) / len(self.factors))


@dataclass(frozen=True)
class Sensors:
    """One more sensor at each of some grid points, over the times that were measured.

    channels: their names. axes: coordinates of the points along each axis. factors: as of `Candidate`, (C, *G).
    """

    channels: list[str]
    axes: list[list[float]]
    factors: Mapping[str, Float[Tensor, "C *G"]]


@dataclass(frozen=True)
class Further:
    """What further measurements would tell: candidates of each kind, in the order of their gain.

    intervals: now, at the level, without the noise of starts, correlated residuals or the error of the numerics.
    """

    level: float
    intervals: Mapping[str, Interval]
    unknowns: Unknowns
    candidates: list[Candidate]
    sensors: Sensors
    notes: list[str]

    def best(self, kind: Kind, name: str | None = None) -> Candidate | None:
        """The candidate of a kind that tells most of an unknown, or of all together."""
        own = [one for one in self.candidates if one.kind == kind]
        return max(own, key=lambda one: one.gain if name is None else one.factors[name], default=None)

    def interval(self, name: str, factor: float) -> tuple[Tensor, Tensor]:
        """The ends of an interval that is narrower by a factor, in numbers that have no bounds."""
        now, parameter = self.intervals[name], self.unknowns.parameters[name]
        low, middle, high = (parameter.unbounded(end) for end in (now.low, now.value, now.high))
        below, above = (parameter.bounded(middle + (end - middle) / factor).detach() for end in (low, high))
        return below, above

    @property
    def verdict(self) -> str:
        """What to measure next, in one sentence."""
        best = max(self.candidates, key=lambda one: one.gain, default=None)
        if best is None or not best.gain > 1.005:
            return "None of the measurements that were looked at would narrow an interval."
        name = max(best.factors, key=lambda one: best.factors[one])
        most = "which is determined then" if math.isinf(best.factors[name]) else f"{best.factors[name]:.2f} times"
        others = "" if len(best.factors) == 1 else f" ({best.gain:.2f} in the mean of all)"
        return (
            f"Measure next {best.words} ({best.values:,} values): it narrows most the interval of {name}, "
            f"{most}{others}."
        )

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for next.json."""
        return {
            "verdict": self.verdict,
            "level": self.level,
            "notes": self.notes,
            "unknowns": [
                {
                    "name": name,
                    "unit": one.unit,
                    "value": one.value.tolist(),
                    "standard_deviation": one.deviation.tolist(),
                    "interval": [one.low.tolist(), one.high.tolist()],
                }
                for name, one in self.intervals.items()
            ],
            "candidates": [
                {"kind": one.kind, "what": one.words, "values": one.values, "narrower_by": dict(one.factors)}
                for one in self.candidates
            ],
            "sensors": {
                "channels": self.sensors.channels,
                "axes": self.sensors.axes,
                "narrower_by": {name: one.tolist() for name, one in self.sensors.factors.items()},
            },
        }
