"""How many real trajectories a model trained alone would need to do as well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cotwin.study.ratios import geometric_mean


@dataclass(frozen=True)
class Gain:
    """Efficiency gain, trajectories needed alone over those that were used; geometric mean over seeds.

    at_least: whether alone never did as well with any number that was tried, in some seed.
    """

    factor: float
    at_least: bool

    def __str__(self) -> str:
        return f"{'at least ' if self.at_least else ''}{self.factor:.3g}"


def gain(alone: Mapping[int, Sequence[float]], reached: Sequence[float], used: int) -> Gain:
    """From errors of the model alone, for each number of trajectories and seed, and of the arm that used `used`.

    Errors alone are taken as the least with as many trajectories or fewer, and as powers of the number between.

    >>> str(gain({1: [0.8], 2: [0.4], 4: [0.2], 8: [0.1]}, [0.15], used=2))
    '2.67'
    """
    needed = [
        _needed({number: errors[seed] for number, errors in alone.items()}, error)
        for seed, error in enumerate(reached)
    ]
    largest = max(alone)
    return Gain(geometric_mean([min(one, largest) for one in needed]) / used, any(one > largest for one in needed))


def _needed(alone: Mapping[int, float], error: float) -> float:
    """Trajectories at which alone reaches an error; infinite if never."""
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
