"""What a further measurement would tell, before it is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import RESOLUTION, FullInformation
from cotwin.estimation.intervals import Interval, laplace_interval
from cotwin.estimation.known import MOST_BY_JACOBIAN
from cotwin.estimation.linear import Linearised
from cotwin.estimation.observation import Grid, Joined, Observation, going_on, in_between
from cotwin.estimation.problem import AT_ONCE, LeastSquares
from cotwin.estimation.unknowns import Unknowns
from cotwin.parameters import Elementwise
from cotwin.stepper import Stepper

Kind = Literal["sensor", "sensors", "longer", "denser", "experiment"]
LONGER = (0.25, 0.5, 1.0)
"""Parts of the time that it could go on."""
MOST_SENSORS = 256
"""Places at which a sensor is thought of, in each channel."""
TOGETHER = 3
"""Sensors that are chosen to be the best together."""


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


def next_measurements(
    found: Estimation, *, experiments: Sequence[int] | None = None, together: int = TOGETHER
) -> Further:
    """By how much further measurements would narrow each interval, to first order and with the noise as it is.

    One more sensor at grid points of each channel that was measured, over the times that were measured; the best few
    such sensors together, chosen one after the other by the determinant of the information; the same observation for
    25, 50 and 100 % longer, and in the middle between the times seen; each experiment again.

    experiments: to which each trajectory belongs, if one experiment is several trajectories, one after the other.
        Then its last trajectory is what goes on. If not given each is an experiment.

    The information of K values with derivatives W to the unknowns θ and R to a start's numbers, of which H = JᵀJ + 1
    is known: (W + R dε/dθ)ᵀ (1 + R H⁻¹ Rᵀ)⁻¹ (W + R dε/dθ), so the starts are integrated out. An experiment that is
    done again has a start of its own. Exact for linear models; with exact starts, prior and noise.
    Source: Chaloner & Verdinelli (1995), Stat. Sci. 10, for the criterion.

    Raises ValueError where networks' weights or more than 300 numbers are unknown.
    """
    require_foreseeable(found.stepper)
    problem, z, information = found.problem, found.z[None], found.information
    assert isinstance(information, FullInformation)
    belongs = list(range(len(problem.guess))) if experiments is None else list(experiments)
    linear = problem.linearise(z)
    idle = problem.unknowns.idle(found.z[: len(problem.unknowns)])
    base, measure = Base.at(linear, idle, problem.unknowns.labels), _Measure.of(found, information)
    notes = list[str]()
    grid, axes = _sensors(problem)
    ways = list(_ways(problem.observation, _ending(belongs, problem.guess.device), notes))
    seen = problem.seeing(Joined(grid, *(way for _, _, way in ways))).linearise(z)
    triangles = base.of_sensors(seen, grid)
    sensors = [measure.factors(base.information(one)) for one in triangles]
    (channels, places), each = _named(problem, grid, axes), grid.size // len(triangles)
    candidates = [
        Candidate("sensor", f"one more sensor, of {words}", each, factors)
        for words, factors in zip(places, sensors, strict=True)
    ]
    if together > 1:
        chosen, known = _greedy(base, linear, seen, grid, triangles, together)
        words = "; ".join(places[one] for one in chosen)
        factors = measure.factors(known)
        candidates.append(Candidate("sensors", f"{together} more sensors, of {words}", together * each, factors))
    first = grid.size
    for kind, words, way in ways:
        rows = torch.arange(first, first + way.size, device=z.device)
        first, told = first + way.size, base.of(seen, rows)
        if bool(told.isfinite().all()):
            candidates.append(Candidate(kind, words, way.size, measure.factors(base.information(told))))
        else:
            notes.append(f"The simulator diverges with {words}, so of that nothing can be said.")
    candidates.extend(_repeated(base, linear, measure, belongs))
    shape = (len(channels), *map(len, axes))
    by_name = {name: torch.tensor([one[name] for one in sensors]).view(shape) for name in measure.now}
    return Further(
        level=found.level,
        intervals=_intervals(found, information),
        unknowns=problem.unknowns,
        candidates=sorted(candidates, key=lambda one: -one.gain),
        sensors=Sensors(channels, axes, by_name),
        notes=notes,
    )


def require_foreseeable(stepper: Stepper) -> None:
    """Raise ValueError where the weights of networks are unknown, or more numbers than Jacobians are made of."""
    unknowns = Unknowns(stepper)
    weights = unknowns.closures
    if weights:
        raise ValueError(
            f"the weights of networks are unknown too ({weights[0]} and others), and intervals hold them fixed; what "
            "more would tell can be said of parameters alone. Fix the weights, or leave this out."
        )
    if len(unknowns) > MOST_BY_JACOBIAN:
        raise ValueError(
            f"{len(unknowns)} unknown numbers are too many to say what more would tell; the most are "
            f"{MOST_BY_JACOBIAN}. Estimate a coarser field."
        )


@dataclass(frozen=True)
class Base:
    """What is known by now.

    triangle: R of the Jacobian to the N unknowns, starts integrated out. follow: how each start's n numbers follow
    the unknowns. root: L⁻¹ of each start, L Lᵀ = JᵀJ + 1.
    """

    triangle: Float[Tensor, "N N"]
    follow: Float[Tensor, "B n N"]
    root: Float[Tensor, "B n n"]
    idle: Float[Tensor, "G N"]
    labels: list[str]

    @classmethod
    def at(cls, linear: Linearised, idle: Float[Tensor, "G N"], labels: list[str]) -> Base:
        size, (_, starts, n) = len(labels), linear.white.shape
        like = linear.by_raw
        eye = torch.eye(n, dtype=like.dtype, device=like.device)
        following = linear.following(torch.eye(size, dtype=like.dtype, device=like.device))[:, size:]
        follow = following.mT.reshape(starts, n, size) if n else like.new_zeros(starts, 0, size)
        root = linear.scattered(eye[:, None].expand(n, starts, n)).movedim(0, 1)
        return cls(torch.linalg.qr(linear.jacobian()[0], mode="r")[1], follow, root, idle, labels)

    def information(self, *rows: Float[Tensor, "K N"]) -> FullInformation:
        """With rows of a Jacobian besides."""
        return FullInformation.of(torch.cat([self.triangle, *rows]), self.labels, self.idle)

    def of(self, seen: Linearised, rows: Int[Tensor, " K"]) -> Float[Tensor, "Q N"]:
        """Rows for what is seen there, starts integrated out."""
        found = []
        for index in range(len(self.follow)):
            own = rows[seen.trajectory[rows] == index]
            found.append(self._explained(index, seen.by_raw[0, own], seen.by_white[0, own]))
        return torch.cat(found)

    def of_sensors(self, seen: Linearised, grid: Grid) -> Float[Tensor, "G N N"]:
        """The same for each sensor, as triangles. grid: the first values in seen, at the same times for each."""
        assert grid.index is not None
        stacks = list[Tensor]()
        for index in range(len(self.follow)):
            own = (grid.trajectory == index).nonzero().flatten()
            if len(own):
                times = len(grid.time[own].unique())
                by_raw, by_white = (
                    one[0, own].unflatten(0, (times, -1)).transpose(0, 1) for one in (seen.by_raw, seen.by_white)
                )
                stacks.append(self._explained(index, by_raw, by_white))
        triangles: Tensor = torch.linalg.qr(torch.cat(stacks, dim=1), mode="r")[1]
        return triangles

    def _explained(self, index: int, by_raw: Float[Tensor, "*G K N"], by_white: Float[Tensor, "*G K n"]) -> Tensor:
        """Rows whose products are the information on the unknowns."""
        slope, spread = by_raw + by_white @ self.follow[index], by_white @ self.root[index].mT
        count, n = spread.shape[-2:]
        if count <= n:
            eye = torch.eye(count, dtype=slope.dtype, device=slope.device)
            factor = torch.linalg.cholesky(eye + spread @ spread.mT)
            solved: Tensor = torch.linalg.solve_triangular(factor, slope, upper=False)
            return solved
        # (1 + S Sᵀ)⁻¹ is what Q of (S; 1) leaves of the rows, without a large matrix.
        identity = torch.eye(n, dtype=slope.dtype, device=slope.device).expand(*spread.shape[:-2], n, n)
        q = torch.linalg.qr(torch.cat([spread, identity], dim=-2))[0]
        padded = torch.nn.functional.pad(slope, (0, 0, 0, n))
        left: Tensor = padded - q @ (q.mT @ padded)
        return left


@dataclass(frozen=True)
class _Measure:
    """Standard deviations of the unknowns. slopes: by name, derivatives to the raw numbers. now: as they are."""

    slopes: Mapping[str, Float[Tensor, "K N"]]
    now: Mapping[str, float]

    @classmethod
    def of(cls, found: Estimation, information: FullInformation) -> _Measure:
        unknowns, slopes = found.problem.unknowns, dict[str, Tensor]()
        raw = found.z[: len(unknowns)]
        for name, parameter in unknowns.parameters.items():
            if isinstance(parameter, Elementwise):
                # Of the raw number, which the interval is formed in.
                slopes[name] = torch.eye(len(raw), dtype=raw.dtype, device=raw.device)[unknowns.place(name)]
            else:
                slopes[name] = torch.func.jacfwd(partial(unknowns.value, name))(raw).double().reshape(-1, len(raw))
        return cls(slopes, {name: _size(information, slope) for name, slope in slopes.items()})

    def factors(self, information: FullInformation) -> dict[str, float]:
        then = {name: _size(information, slope) for name, slope in self.slopes.items()}
        return {
            name: 1.0 if math.isinf(then[name]) else max(1.0, self.now[name] / then[name]) for name in self.slopes
        }


def _size(information: FullInformation, slope: Float[Tensor, "K N"]) -> float:
    return float(information.deviations(slope).square().mean().sqrt())


def _sensors(problem: LeastSquares) -> tuple[Grid, list[list[float]]]:
    """Every grid point, or every so many, of each channel of which the noise is known, at the steps measured."""
    seen, layout = problem.observation, problem.observation.layout
    steps = (seen.time / layout.dt).round().long().clamp(max=seen.num_steps)
    times = torch.zeros(seen.num_trajectories, seen.num_steps + 1, dtype=torch.bool, device=seen.time.device)
    times[seen.trajectory, steps] = True
    known = torch.zeros(layout.channels, dtype=torch.bool, device=times.device)
    known[seen.channel.unique()] = True
    a_place = 8 * int(times.sum()) * int(known.sum()) * (len(problem.unknowns) + problem.start_size)
    most = max(1, min(MOST_SENSORS, 4 * AT_ONCE // a_place))
    stride = next(one for one in range(1, 10**9) if math.prod(-(-n // one) for n in layout.grid) <= most)
    places = torch.zeros(layout.grid, dtype=torch.bool, device=times.device)
    places[tuple(slice(None, None, stride) for _ in layout.grid)] = True
    mask = times.view(*times.shape, 1, *[1] * layout.dims) & known.view(-1, *[1] * layout.dims) & places
    axes = [layout.points(axis)[::stride] for axis in range(layout.dims)]
    return Grid(layout, seen.num_trajectories, seen.num_steps, mask, first=0), [list(axis) for axis in axes]


def _named(problem: LeastSquares, grid: Grid, axes: list[list[float]]) -> tuple[list[str], list[str]]:
    """The channels' names, and each sensor's, in the order of the grid's values at one time."""
    names = problem.observation.layout.channel_names
    channels = [names[one] for one in grid.channel.unique().tolist()]
    points = [
        ", ".join(
            f"{axis} = {axes[number][int(at)]:.3g}"
            for number, (axis, at) in enumerate(zip("xyz", place, strict=False))
        )
        for place in torch.cartesian_prod(*(torch.arange(len(axis)) for axis in axes)).view(-1, len(axes))
    ]
    return channels, [f"{channel} at {point}" for channel in channels for point in points]


def _ending(belongs: list[int], device: torch.device) -> Bool[Tensor, " B"]:
    """Which trajectories are the last of their experiment."""
    later = [belongs[index + 1 :] for index in range(len(belongs))]
    return torch.tensor([one not in after for one, after in zip(belongs, later, strict=True)], device=device)


def _ways(
    observation: Observation, ending: Bool[Tensor, " B"], notes: list[str]
) -> Iterator[tuple[Kind, str, Observation]]:
    """The same observation at more times."""
    unit = "" if observation.layout.time_unit == "1" else f" {observation.layout.time_unit}"
    for part in sorted({max(1, round(part * observation.num_steps)) for part in LONGER}):
        words = f"the same experiment for {part * observation.layout.dt:.3g}{unit} longer"
        words += f" ({100 * part / observation.num_steps:.0f} % of a rollout)"
        try:
            yield "longer", words, going_on(observation, part, ending)
        except ValueError:
            notes.append(f"Nothing would be seen by {words}.")
    try:
        yield "denser", "the same experiment twice as dense in time", in_between(observation)
    except ValueError:
        notes.append("There is one time alone, so nothing lies between times.")


def _repeated(base: Base, linear: Linearised, measure: _Measure, belongs: list[int]) -> Iterator[Candidate]:
    normals, _ = linear.by_trajectory(len(belongs))
    for number, experiment in enumerate(dict.fromkeys(belongs)):
        own = torch.tensor([one == experiment for one in belongs], device=normals.device)
        values, vectors = torch.linalg.eigh(normals[own].sum(dim=0))
        rows = values.clamp(min=0).sqrt()[:, None] * vectors.mT
        count = int(own[linear.trajectory].sum())
        words = f"experiment {number} again (counted from 0), from the same start"
        yield Candidate("experiment", words, count, measure.factors(base.information(rows)))


def _greedy(
    base: Base,
    linear: Linearised,
    seen: Linearised,
    grid: Grid,
    triangles: Float[Tensor, "G N N"],
    count: int,
) -> tuple[list[int], FullInformation]:
    """Sensors one after the other, each the best beside those before it; and what is known with all of them."""
    chosen = list[int]()
    while True:
        best = max(range(len(triangles)), key=lambda one: _log_determinant(base.information(triangles[one])))
        chosen.append(best)
        if len(chosen) == count:
            return chosen, base.information(triangles[best])
        rows = torch.arange(best, grid.size, len(triangles), device=linear.trajectory.device)
        linear = _beside(linear, seen, rows)
        base = Base.at(linear, base.idle, base.labels)
        triangles = base.of_sensors(seen, grid)


def _beside(linear: Linearised, seen: Linearised, rows: Int[Tensor, " K"]) -> Linearised:
    parts = {
        name: torch.cat([getattr(linear, name), getattr(seen, name)[:, rows]], dim=1)
        for name in ("misfit", "by_raw", "by_white")
    }
    return replace(linear, **parts, trajectory=torch.cat([linear.trajectory, seen.trajectory[rows]]))


def _log_determinant(information: FullInformation) -> float:
    return float(information.values.clamp(min=RESOLUTION * float(information.values[0])).log().sum())


def _intervals(found: Estimation, information: FullInformation) -> dict[str, Interval]:
    raw = found.z[: len(found.problem.unknowns)]
    return {
        name: laplace_interval(found.problem.unknowns, name, raw, information, found.quantile)
        for name in found.problem.unknowns.parameters
    }
