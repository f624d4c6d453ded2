"""When states were measured: at equal steps or beside them, with frames missing, and with gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from cotwin.data.between import Between
from cotwin.data.room import MEMORY, Room
from cotwin.data.stored.contents import Array, setting, step, unevenness
from cotwin.pieces import pieces

TOLERANCE = 1e-3
"""Of a step, within which a state is at a frame exactly."""
NEAR = 0.01
"""Of a step, within which a state is taken for a frame's unless asked otherwise."""
MORE = 0.1
"""Of a step: a tolerance that is told of where it takes more states."""
LONG = 8
"""Steps of a gap, at most, that a window may step through: where there are more a trajectory is cut."""
MOST_STEPS = 1e9
"""Of a trajectory: with more a time is no time."""
FEWEST = 4
"""States between two gaps, for which it is cut unless it were mostly empty otherwise."""
TRIED = 32
"""Intervals between states, and trajectories, at most, that are tried for the step."""


@dataclass(frozen=True)
class Stretch:
    """States of one trajectory without a long gap between them.

    trajectory: its number in the file. first: which of its states is the first one here. frame: when that is, in
    whole steps after the trajectory's first state. steps: of each state after the first one here, (K,).
    """

    trajectory: int
    first: int
    frame: int
    steps: NDArray[np.float64]

    @property
    def frames(self) -> int:
        """From its first state on, to hold them all."""
        return int(np.ceil(self.steps[-1])) + 1

    @property
    def states(self) -> slice:
        """Which of its trajectory's they are."""
        return slice(self.first, self.first + len(self.steps))

    def framed(self, tolerance: float) -> NDArray[np.bool_]:
        """Which states are frames: no more than so much of a step beside one, and none nearer to it."""
        beside = np.abs(self.steps - np.round(self.steps))
        near = beside <= tolerance
        order = np.lexsort((beside, np.round(self.steps)))
        nearest = np.zeros(len(self.steps), dtype=bool)
        nearest[order[np.unique(np.round(self.steps)[order], return_index=True)[1]]] = True
        return near & nearest


@dataclass(frozen=True)
class Frames:
    """Where the states of a file lie, in steps dt from the first one of each stretch.

    tolerance: of a step, by which a state may lie beside a frame. measured: states of each trajectory.
    stretches: in the order of the trajectories and of time.
    """

    dt: float
    tolerance: float
    measured: int
    stretches: tuple[Stretch, ...]

    @classmethod
    def of(cls, times: Array, count: int, source: str, dt: float | None = None, tolerance: float = NEAR) -> Frames:
        """Of so many trajectories with these times, one row for all or one for each.

        dt: the step; if not given the usual one, or another interval between states that more of them meet. A
        trajectory is cut at gaps of more than `LONG` steps, where at least `FEWEST` states lie between them, or
        where it would else be empty for the most part.
        Raises ValueError for times that do not rise, and where nothing is left.
        """
        rows = np.atleast_2d(np.asarray(times, dtype=np.float64))
        problem = next((found for row in np.atleast_2d(times) if (found := unevenness(row, ""))), None)
        _require_rising(np.atleast_2d(times), rows, problem, source)
        even = problem is None and np.ptp(steps := [step(row) for row in rows]) <= TOLERANCE * steps[0]
        if dt is None:
            dt = steps[0] if even else _suggested(rows, tolerance)
        with np.errstate(over="ignore"):
            spans = (rows[:, -1] - rows[:, 0]) / dt
        if not spans.max() < MOST_STEPS:
            raise ValueError(
                f"{source}: the times of a trajectory go from {rows[spans.argmax(), 0]:.6g} to "
                f"{rows[spans.argmax(), -1]:.6g}, {spans.max():.3g} steps of {dt:.6g}; one of them is wrong, or the "
                f"step, {setting('dt')}."
            )
        rounding = 4 * np.finfo(times.dtype).eps * np.abs(rows).max() / dt if times.dtype.kind == "f" else 0.0
        if rounding > 1 and not even:
            raise ValueError(
                f"{source}: times up to {np.abs(rows).max():.6g} are held as {times.dtype}, which rounds them by a "
                f"good part of a step of {dt:.6g}; write them in double precision, or count them from the start."
            )
        own = [
            _stretches(np.arange(rows.shape[1]) * 1.0 if even and dt == steps[0] else (row - row[0]) / dt, rounding)
            for row in rows
        ]
        every = zip(range(count), own if len(own) == count else own * count, strict=True)
        stretches = tuple(Stretch(number, *one) for number, parts in every for one in parts)
        if not stretches:
            raise ValueError(
                f"{source}: no two states lie within {LONG} steps of {dt:.6g}; choose a longer step with "
                f"{setting('dt')}."
            )
        return cls(dt, tolerance, rows.shape[1], stretches)

    @classmethod
    def regular(cls, trajectories: int, measured: int, dt: float) -> Frames:
        """One state at each step."""
        steps = np.arange(measured, dtype=np.float64)
        return cls(dt, NEAR, measured, tuple(Stretch(number, 0, 0, steps) for number in range(trajectories)))

    @classmethod
    def from_state(cls, times: Array, trajectories: int, first: int, dt: float) -> Frames:
        """From one state of each trajectory on, whatever the gaps."""
        rows = np.broadcast_to(np.asarray(times, dtype=np.float64), (trajectories, times.shape[-1]))[:, first:]
        each = ((row - row[0]) / dt for row in rows)
        return cls(
            dt, NEAR, times.shape[-1], tuple(Stretch(number, first, 0, steps) for number, steps in enumerate(each))
        )

    @property
    def count(self) -> int:
        """Frames of the longest stretch."""
        return max(one.frames for one in self.stretches)

    @property
    def whole(self) -> bool:
        """Whether all states are frames, and no frame is missing."""
        return all(np.array_equal(one.steps, np.arange(self.measured)) for one in self.stretches)

    def notes(self) -> Iterator[str]:
        """What was done with times that are not equally spaced, for people."""
        if self.whole:
            return
        number = len({one.trajectory for one in self.stretches})
        kept = sum(len(one.steps) for one in self.stretches)
        framed, more = (
            sum(int(one.framed(tolerance).sum()) for one in self.stretches) for tolerance in (self.tolerance, MORE)
        )
        beside = max(float(np.abs(one.steps - np.round(one.steps)).max()) for one in self.stretches)
        if beside > 0:
            cure = f"; {MORE:g} as {setting('dt_tolerance')} would take {more}" if more > framed else ""
            yield (
                f"times are uneven: {framed} of {kept} states lie at steps of {self.dt:.6g}, to {self.tolerance:g} "
                f"of one, and training uses these{cure}; estimates and errors on held-out data use all {kept}, "
                "simulated states interpolated in time"
            )
        missing = sum(one.frames - len(np.unique(np.round(one.steps))) for one in self.stretches)
        if missing and beside == 0:
            yield f"of the frames at steps of {self.dt:.6g} {missing} are missing: nothing is scored there"
        if len(self.stretches) > number:
            cut = next(n for n, one in enumerate(self.stretches) if one.frame > 0)
            after, here = self.stretches[cut - 1], self.stretches[cut]
            yield (
                f"trajectories are cut at {len(self.stretches) - number} gaps of more than {LONG} steps, the first "
                f"in trajectory {here.trajectory} between its states {after.states.stop - 1} and {here.first}: "
                f"no window crosses them, and {len(self.stretches)} stretches have starts of their own"
            )
        alone = self.measured * (1 + max(one.trajectory for one in self.stretches)) - kept
        if alone:
            yield f"{alone} states stand alone between long gaps and are not used"

    def spread(
        self,
        states: Float[Tensor, "N T C *S"],
        mask: Bool[Tensor, "N T C *S"] | None,
        static: Sequence[bool],
        room: Room = MEMORY,
    ) -> tuple[Float[Tensor, "R F C *S"], Bool[Tensor, "R F C *S"], Between | None]:
        """States of each stretch at their frames, zero and not observed at others, and those beside the frames.

        Static channels are everywhere.
        """
        shape = (len(self.stretches), self.count, *states.shape[2:])
        off = [(one.steps != one.steps.round()) | ~one.framed(self.tolerance) for one in self.stretches]
        cure = f"interpolate them to equal steps, or take fewer with another {setting('dt')}"
        room.require(
            (sum(int(one.sum()) for one in off), *shape[2:]), states.itemsize + 1, "what lies beside the frames", cure
        )
        wide = room.zeros(shape, states.dtype, "states with frames for all times")
        seen, beside = room.zeros(shape, torch.bool, "what of them was observed"), []
        fixed = torch.tensor(static)
        for row, (one, aside) in enumerate(zip(self.stretches, off, strict=True)):
            steps, framed = torch.from_numpy(one.steps), torch.from_numpy(one.framed(self.tolerance))
            own = slice(one.trajectory, one.trajectory + 1), one.states
            for piece in pieces(states[own]):
                values = piece.of(states[own])[0]
                there = torch.ones_like(values, dtype=torch.bool) if mask is None else piece.of(mask[own])[0]
                now, near, apart = steps[piece.frames], framed[piece.frames], torch.from_numpy(aside[piece.frames])
                at = now.round().long()[near]
                wide[row, at], seen[row, at] = values[near], there[near]
                rows = torch.full_like(now, row)[apart].long()
                beside.append((rows, now[apart], near[apart], values[apart], there[apart]))
            for piece in pieces(wide[row : row + 1]):
                wide[row, piece.frames, fixed] = states[one.trajectory, one.first, fixed]
                seen[row, piece.frames, fixed] = True
        columns = [torch.cat(column) for column in zip(*beside, strict=True)]
        return wide, seen, Between(*columns) if len(columns[0]) else None


def _require_rising(times: Array, rows: NDArray[np.float64], problem: str | None, source: str) -> None:
    gaps = np.diff(rows, axis=1)
    if rows.shape[1] < 2:
        raise ValueError(
            f"{source}: holds a single state, and a trajectory needs two or more. Where each file holds one state, "
            "join them along time first, in the order of their times (np.stack, or xarray.open_mfdataset)."
        )
    if not np.isfinite(rows).all() or (gaps < 0).all():
        raise ValueError(f"{source}: times are not equally spaced: {(problem or '').rstrip('; ')}.")
    if not (gaps > 0).all():
        row, index = (int(one[0]) for one in (gaps <= 0).nonzero())
        raise ValueError(
            f"{source}: times do not rise from {times[row, index]} (index {index}) to {times[row, index + 1]} (index "
            f"{index + 1}); sort the states by time, and leave out what is there twice."
        )


def _suggested(rows: NDArray[np.float64], tolerance: float) -> float:
    """The step at which most states lie: the usual one, or another interval between states.

    An interval is tried as it is, as all states between long gaps fit it, and halved. Where fewer than half of the
    states meet any, less those that would stand alone, the usual one: of times at random some meet each by chance.
    """
    rows = rows[:TRIED]
    gaps = np.diff(rows, axis=1)
    usual = float(np.median(gaps, axis=1).min())
    span = float(np.ptp(rows, axis=1).max())
    if not span < MOST_STEPS * usual:
        return usual
    tried = np.unique(np.quantile(gaps, np.linspace(0, 1, TRIED)))
    tried = tried[span < MOST_STEPS * tried]
    whole = [one for gap in (usual, *tried.tolist()) for one in (gap, _fitted(rows, gap))]
    candidates = [*whole, *(one / 2 for one in whole)]

    def met(dt: float) -> tuple[int, int, float]:
        parts = [Stretch(0, *one) for row in rows for one in _stretches((row - row[0]) / dt, 0.0)]
        alone = rows.size - sum(len(one.steps) for one in parts)
        return sum(int(one.framed(tolerance).sum()) for one in parts) - alone, -len(parts), dt

    def beside(dt: float) -> float:
        parts = [one for row in rows for _, _, one in _stretches((row - row[0]) / dt, 0.0)]
        return float(np.abs(np.concatenate(parts) - np.concatenate(parts).round()).mean()) if parts else np.inf

    best, usual = max(map(met, candidates)), min((usual, _fitted(rows, usual)), key=beside)
    return best[2] if best[0] > max(met(usual)[0], rows.size / 2) else usual


def _fitted(rows: NDArray[np.float64], dt: float) -> float:
    """A step by least squares, from the first state of each stretch on."""
    product = square = 0.0
    for row in rows:
        for _, _, steps in _stretches((row - row[0]) / dt, 0.0):
            whole = np.concatenate([[0.0], np.diff(steps).round().cumsum()])
            product, square = product + float(whole @ steps), square + float(whole @ whole)
    return dt * product / square if square > 0 else dt


def _stretches(steps: Array, rounding: float) -> list[tuple[int, int, NDArray[np.float64]]]:
    """Of one trajectory: first state, its place in whole steps, and the steps of all after it."""
    gaps = np.diff(steps)
    cuts = np.flatnonzero(gaps > LONG) + 1
    parts = np.split(np.arange(len(steps)), cuts)
    sparse = steps[-1] - steps[0] + 1 > LONG * len(steps)
    if not sparse and min(map(len, parts)) < FEWEST:
        parts = [np.arange(len(steps))]
    found = []
    for part in parts:
        if len(part) > 1:
            own = steps[part] - steps[part[0]]
            exact = np.abs(own - own.round()) <= max(TOLERANCE, min(rounding, 0.1))
            found.append((int(part[0]), round(float(steps[part[0]])), np.where(exact, own.round(), own)))
    return found
