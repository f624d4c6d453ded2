"""What is odd in the states (T, C, *S) of one trajectory, not a number where unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from cotwin.data.stored.contents import Array

ALIVE = 0.1
"""Of a channel's deviation, by which what is beside a dead sensor varies in time."""
FEW = 0.1
"""Of points, or of frames: what is found in more is how the field is, and no fault."""
SPARSE = 0.5
"""Of points that are never seen: from there on they are places without a sensor."""
STOPPED = 0.01
"""Of a channel's deviation, by which states have to change before they stand still: less, and they came to rest."""
SPIKE, ABOVE_NOISE = 0.5, 10.0
"""Of a channel's deviation, and times what scatters in time: how far a spike stands out, in time and in space."""
ABOVE_OTHERS = 2.0
"""Times what its neighbours differ by from each other, likewise: a crest on a coarse grid is less."""
FEWEST = 4
"""States from which anything can be told."""

Values = Float[NDArray[np.float64], "T C *S"]


@dataclass(frozen=True)
class Spike:
    """A value that stands out from all its neighbours in time and space."""

    frame: int
    component: int
    point: tuple[int, ...]
    value: float
    beside: float


def unseen(values: Values) -> Bool[NDArray[np.bool_], "C *S"]:
    """Points that are never seen, where most are."""
    seen = np.logical_or.reduce(np.isfinite(values), axis=0)
    found = np.zeros(seen.shape, dtype=bool)
    for channel, own in enumerate(seen):
        if own.mean() > 1 - SPARSE:
            found[channel] = ~own
    return found


def stuck(values: Values) -> Bool[NDArray[np.bool_], "C *S"]:
    """Points that hold one value while what is beside them moves.

    The outermost may hold the value of a wall, and are not judged by that.
    """
    found = np.zeros(values.shape[1:], dtype=bool)
    if len(values) < FEWEST:
        return found
    for channel, own in enumerate(np.moveaxis(values, 1, 0)):
        known = np.isfinite(own)
        deviation = float(own[known].std()) if known.any() else 0.0
        lowest, highest = np.fmin.reduce(own, axis=0), np.fmax.reduce(own, axis=0)
        constant = (lowest == highest) & (known.sum(axis=0) >= FEWEST)
        beside = _smallest_beside(np.where(constant, np.nan, highest - lowest))
        own_found = constant & (beside > ALIVE * deviation)
        found[channel] = own_found if own_found.mean() <= FEW else False
    return found


def _smallest_beside(spread: Array) -> Array:
    """Of what is on both sides along each axis the smallest; zero at the ends of an axis, and beside such points."""
    smallest = np.full(spread.shape, np.inf)
    for axis in range(spread.ndim):
        for way in (1, -1):
            moved = np.roll(spread, way, axis)
            ends = [slice(None)] * spread.ndim
            ends[axis] = slice(0, 1) if way == 1 else slice(-1, None)
            moved[tuple(ends)] = 0.0
            smallest = np.minimum(smallest, np.nan_to_num(moved, nan=0.0))
    return smallest


def frozen(values: Values) -> list[int]:
    """Frames that are what the one before was, to the last bit; not where all came to rest, or had not begun."""
    if len(values) < FEWEST:
        return []
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat)
    deviation = float(flat[known].std()) if known.any() else 0.0
    steps = np.abs(np.diff(flat, axis=0))
    change = np.fmax.reduce(steps, axis=1, initial=-1.0)
    same = (change == 0) & (known[1:] == known[:-1]).all(axis=1)
    if not deviation > 0 or same.all():
        return []
    last = int(np.argmin(same[::-1]))
    before = change[len(same) - last - 1]
    if last and before < STOPPED * deviation:
        same[len(same) - last :] = False
    uniform = np.fmin.reduce(flat, axis=1) == np.fmax.reduce(flat, axis=1)
    return [int(at) + 1 for at in np.flatnonzero(same & ~uniform[1:])]


def spikes(values: Values) -> list[Spike]:
    """Values that stand out from all that is beside them in time and in space, where that is rare."""
    found: list[Spike] = []
    if len(values) < FEWEST:
        return found
    for channel, own in enumerate(np.moveaxis(values, 1, 0)):
        known = own[np.isfinite(own)]
        bends = np.abs(np.diff(own, n=2, axis=0))
        bends = bends[np.isfinite(bends)]
        if not known.size or not bends.size:
            continue
        scatter = 1.4826 * float(np.median(bends)) / 6**0.5
        least = max(SPIKE * float(known.std()), ABOVE_NOISE * scatter)
        height = _height(own)
        where = np.argwhere(height > least) if least > 0 else np.empty((0, own.ndim), dtype=int)
        if len({int(at[0]) for at in where}) <= max(1, FEW * len(own)):
            for frame, *point in where.tolist():
                value = float(own[(frame, *point)])
                away = float(height[(frame, *point)])
                found.append(Spike(frame, channel, tuple(point), value, away))
    return found


def _height(own: Float[NDArray[np.float64], "T *S"]) -> Array:
    """How far each value is above all its neighbours, or below all; zero where neither, where these differ as much
    from each other, and where too few are known."""
    above, below = np.full(own.shape, np.inf), np.full(own.shape, np.inf)
    count = np.zeros(own.shape, dtype=np.int8)
    for axis in range(own.ndim):
        step = np.diff(own, axis=axis)
        for way, side in ((1, slice(1, None)), (-1, slice(None, -1))):
            here = tuple(side if one == axis else slice(None) for one in range(own.ndim))
            difference = way * step
            above[here] = np.fmin(above[here], difference)
            below[here] = np.fmin(below[here], -difference)
            count[here] += np.isfinite(difference)
    height = np.maximum(np.maximum(above, below), 0.0)
    # How far apart the neighbours are: what is above one of them, less what is above another.
    apart = -(above + below)
    return np.where((count >= 3) & np.isfinite(height) & (height > ABOVE_OTHERS * apart), height, 0.0)
