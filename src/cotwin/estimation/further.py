"""What a further measurement would tell, before it is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.foreseen import Candidate, Further, Kind, Sensors
from cotwin.estimation.gain import Base, Measure, greedy
from cotwin.estimation.information import FullInformation
from cotwin.estimation.intervals import Interval, laplace_interval
from cotwin.estimation.known import MOST_BY_JACOBIAN
from cotwin.estimation.linear import Linearised
from cotwin.estimation.observation import Grid, Joined, Observation, going_on, in_between
from cotwin.estimation.prediction import AT_ONCE
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.unknowns import Unknowns
from cotwin.stepper import Stepper

LONGER = (0.25, 0.5, 1.0)
"""Parts of the time that it could go on."""
MOST_SENSORS = 256
"""Places at which a sensor is thought of, in each channel."""
TOGETHER = 3
"""Sensors that are chosen to be the best together."""


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

    Raises ValueError where networks' weights or more than 300 numbers are unknown, and with a discrepancy.
    """
    require_foreseeable(found.stepper, correlated=found.discrepancy is not None)
    problem, z, information = found.problem, found.z[None], found.information
    assert isinstance(information, FullInformation)
    belongs = list(range(len(problem.starts.guess))) if experiments is None else list(experiments)
    linear = problem.linearise(z)
    idle = problem.unknowns.idle(found.z[: len(problem.unknowns)])
    base, measure = Base.at(linear, idle, problem.unknowns.labels), Measure.of(found, information)
    notes = list[str]()
    grid, axes = _sensors(problem)
    ways = list(_ways(problem.observation, _ending(belongs, problem.starts.guess.device), notes))
    seen = problem.seeing(Joined(grid, *(way for _, _, way in ways))).linearise(z)
    triangles = base.of_sensors(seen, grid)
    sensors = [measure.factors(base.information(one)) for one in triangles]
    (channels, places), each = _named(problem, grid, axes), grid.size // len(triangles)
    candidates = [
        Candidate("sensor", f"one more sensor, of {words}", each, factors)
        for words, factors in zip(places, sensors, strict=True)
    ]
    if together > 1:
        chosen, known = greedy(base, linear, seen, grid, triangles, together)
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


def require_foreseeable(stepper: Stepper, correlated: bool) -> None:
    """Raise ValueError where the weights of networks are unknown, or more numbers than Jacobians are made of.

    correlated: whether a discrepancy is admitted, with which nothing is said either.
    """
    if correlated:
        raise ValueError(
            "with a discrepancy errors are not independent, and what more values would tell is said for errors that "
            "are. Estimate without the discrepancy to ask that."
        )
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


def _sensors(problem: LeastSquares) -> tuple[Grid, list[list[float]]]:
    """Every grid point, or every so many, of each channel of which the noise is known, at the steps measured."""
    seen, layout = problem.observation, problem.observation.layout
    steps = (seen.time / layout.dt).round().long().clamp(max=seen.num_steps)
    times = torch.zeros(seen.num_trajectories, seen.num_steps + 1, dtype=torch.bool, device=seen.time.device)
    times[seen.trajectory, steps] = True
    known = torch.zeros(layout.channels, dtype=torch.bool, device=times.device)
    known[seen.channel.unique()] = True
    a_place = 8 * int(times.sum()) * int(known.sum()) * (len(problem.unknowns) + problem.starts.size)
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


def _repeated(base: Base, linear: Linearised, measure: Measure, belongs: list[int]) -> Iterator[Candidate]:
    normals, _ = linear.by_trajectory(len(belongs))
    for number, experiment in enumerate(dict.fromkeys(belongs)):
        own = torch.tensor([one == experiment for one in belongs], device=normals.device)
        values, vectors = torch.linalg.eigh(normals[own].sum(dim=0))
        rows = values.clamp(min=0).sqrt()[:, None] * vectors.mT
        count = int(own[linear.trajectory].sum())
        words = f"experiment {number} again (counted from 0), from the same start"
        yield Candidate("experiment", words, count, measure.factors(base.information(rows)))


def _intervals(found: Estimation, information: FullInformation) -> dict[str, Interval]:
    raw = found.z[: len(found.problem.unknowns)]
    return {
        name: laplace_interval(found.problem.unknowns, name, raw, information, found.quantile)
        for name in found.problem.unknowns.parameters
    }
