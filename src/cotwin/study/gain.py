"""How many real trajectories a model trained alone would need to do as well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cotwin.study.ratios import paired


@dataclass(frozen=True)
class Gain:
    """Efficiency gain, trajectories needed alone over those that were used.

    factor: geometric mean over seeds, low and high: its interval. bound: what the factor is where some seeds need
    more trajectories than were tried ("at least"), do with the fewest ("at most"), or both ("about").
    """

    factor: float
    low: float
    high: float
    bound: Literal["", "at least", "at most", "about"] = ""

    def __str__(self) -> str:
        if self.bound:
            return f"{self.bound} {self.factor:.3g} times"
        return f"{self.factor:.3g} times ({self.low:.3g} to {self.high:.3g})"


def gain(
    alone: Mapping[int, Sequence[float]], reached: Sequence[float], used: int, level: float = 0.9
) -> Gain | None:
    """From errors of the model alone, for each number of trajectories and seed, and of the arm that used `used`.

    Errors alone are taken as the least with as many trajectories or fewer, and as powers of the number between.
    None where the arm diverged with a seed.

    >>> str(gain({1: [0.8] * 3, 2: [0.4] * 3, 4: [0.2] * 3, 8: [0.1] * 3}, [0.15, 0.16, 0.14], used=2))
    '2.67 times (2.39 to 2.99)'
    """
    if not all(map(math.isfinite, reached)):
        return None
    fewest, most = min(alone), max(alone)
    needed = [
        _needed({number: errors[seed] for number, errors in alone.items()}, error)
        for seed, error in enumerate(reached)
    ]
    ratio = paired([min(one, most) for one in needed], [used] * len(needed), level=level)
    below, above = any(one <= fewest for one in needed), any(one > most for one in needed)
    bounds: dict[tuple[bool, bool], Literal["", "at least", "at most", "about"]] = {
        (False, False): "",
        (False, True): "at least",
        (True, False): "at most",
        (True, True): "about",
    }
    return Gain(ratio.mean, ratio.low, ratio.high, bounds[below, above])


def _needed(alone: Mapping[int, float], error: float) -> float:
    """Trajectories at which alone reaches an error, the fewest if with them already; infinite if never."""
    before, least = 0, math.inf
    for number in sorted(alone):
        new = min(least, alone[number])
        if new <= error:
            if not before or not math.isfinite(least) or least <= new:
                return number
            part = (math.log(least) - math.log(error)) / (math.log(least) - math.log(new))
            return math.exp(math.log(before) + part * (math.log(number) - math.log(before)))
        before, least = number, new
    return math.inf
