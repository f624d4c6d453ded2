"""From readings of sensors to trajectories on a model's grid, where nothing is seen, with the sensors beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cotwin.data.assembling.outside import SPLINED
from cotwin.data.assembling.precision import Precision, fitting_precision
from cotwin.data.assembling.times import NEAR, TOLERANCE
from cotwin.data.nearest import nearest
from cotwin.data.room import require_room
from cotwin.data.stored.contents import setting
from cotwin.data.tables.columns import AXES
from cotwin.data.tables.long_form import LongForm, Numbers, read_long_form
from cotwin.data.trajectories import Trajectories
from cotwin.given import Course, Given
from cotwin.layout import Boundary, Centring, Ends, Layout
from cotwin.sensors import Sensors

KINDS = "'periodic', 'dirichlet' (a value), 'neumann' (a flux), 'robin' (an exchange) or 'outflow'"
USUAL = 0.5
"""Of the times, that have to lie at steps of their usual interval for it to be the model's step."""
MOST_EMPTY = 10
"""Steps for each time, at most, of a step that nobody said."""


def read_sensors(
    path: str | Path,
    *,
    names: Mapping[str, str] | None = None,
    fields: Sequence[str] | None = None,
    grid: Sequence[int] | None = None,
    extent: Sequence[tuple[float, float]] | None = None,
    boundary: Boundary | Sequence[Ends] | None = None,
    points: Centring | Sequence[Centring] | None = None,
    dt: float | None = None,
    begin: float | None = None,
    precision: Precision = "auto",
    given: Sequence[str] = (),
) -> Trajectories:
    """Trajectories from a CSV or parquet file of readings, docs/data.md; on the model's grid nothing is observed.

    names: what the file calls times, places, trajectories and readings. fields: quantities to read, in this order.
    grid, extent, boundary, points, dt: of the model; dt is the usual interval between times if there is one.
    begin: the time at which all trajectories start; that of its first reading for each if not given.
    given: columns of what is no reading but known: a number of each trajectory, or a course in time.

    Raises ValueError, naming the line or the setting, for what does not fit, and for what has to be said.
    """
    table = read_long_form(path, names or {}, fields, given)
    first = _begins(table, begin)
    since = table.time - first[table.trajectory]
    layout = _layout(table, since, grid, extent, boundary, points, dt)
    _require_inside(table, layout)
    steps = since / layout.dt
    steps = np.where(np.abs(steps - np.round(steps)) <= TOLERANCE, np.round(steps), steps)
    sensors, source = _sorted(table, steps), table.table.source
    frames, count = int(np.ceil(steps.max())) + 1, len(table.labels)
    if frames < 2:
        raise ValueError(f"{source}: all readings of a trajectory are of one time; a model needs several.")
    require_room(
        (count, frames, *layout.state_shape),
        32,
        f"{source}: trajectories on the model's grid",
        f"choose a longer {setting('dt')}, or fewer points with {setting('grid')}",
    )
    states, seen = nearest(sensors, layout, count, frames)
    dtype, said = fitting_precision(states, seen, layout, precision)
    states = states.to(dtype)
    known = _given_of(table, steps, first, layout.dt).to(dtype)
    notes = (*table.notes, *_notes(table, sensors, layout), *said)
    return Trajectories(states, layout, torch.zeros_like(seen), source, notes, known, sensors=sensors)


def _layout(
    table: LongForm,
    since: Numbers,
    grid: Sequence[int] | None,
    extent: Sequence[tuple[float, float]] | None,
    boundary: Boundary | Sequence[Ends] | None,
    points: Centring | Sequence[Centring] | None,
    dt: float | None,
) -> Layout:
    """Of the model. Raises ValueError for what has to be said of it, with the setting that says it."""
    source, dims = table.table.source, table.lower.shape[1]
    if grid is None:
        raise ValueError(
            f"{source}: the readings have no grid; say how many points the model's has, for each axis: "
            f"{setting('grid')} = {[64] * dims}."
        )
    if extent is None:
        there = [[float(table.lower[:, axis].min()), float(table.upper[:, axis].max())] for axis in range(dims)]
        raise ValueError(
            f"{source}: readings do not say where the domain ends; they lie in {there}. Give (lower, upper) of each "
            f"axis with {setting('extent')}."
        )
    if boundary is None:
        raise ValueError(f"{source}: the boundary is not in the file; choose {KINDS} with {setting('boundary')}.")
    for name, said in {"grid": grid, "extent": extent, "boundary": boundary, "points": points}.items():
        if said is not None and not isinstance(said, str) and len(said) != dims:
            raise ValueError(
                f"{source}: {setting(name)} has {len(said)} entries, the table has the axes "
                f"{', '.join(AXES[:dims])}; give one for each."
            )
    return Layout.box(
        table.fields,
        grid=tuple(grid),
        extent=list(extent),
        boundary=boundary if isinstance(boundary, str) else tuple(boundary),
        centring="cells" if points is None else points if isinstance(points, str) else tuple(points),
        dt=_required_step(table, since) if dt is None else dt,
        time_unit="1" if table.table.dates is None else "s",
    )


def _begins(table: LongForm, begin: float | None) -> Numbers:
    """When each trajectory starts."""
    first = np.full(len(table.labels), np.inf)
    np.minimum.at(first, table.trajectory, table.time)
    if begin is None:
        return first
    if (first < begin).any():
        number = int((first < begin).argmax())
        raise ValueError(
            f"{table.table.source}: trajectory {number} has readings from {first[number]:.6g} on, before "
            f"{setting('begin')} = {begin:.6g}; let it begin earlier, or leave them out of the file."
        )
    return np.full(len(first), begin)


def _required_step(table: LongForm, since: Numbers) -> float:
    step, last = usual_step(table, since), float(since.max())
    if step is None:
        raise ValueError(
            f"{table.table.source}: times have no usual interval, so the model's step is not known; say it with "
            f"{setting('dt')}. Trajectories last up to {last:.6g}: a hundredth of that is {last / 100:.3g}."
        )
    return step


def usual_step(table: LongForm, since: Numbers) -> float | None:
    """The usual interval between the times of a trajectory; None where there is none."""
    own = [np.unique(since[table.trajectory == number]) for number in range(len(table.labels))]
    gaps = np.concatenate([np.diff(times) for times in own])
    every = np.concatenate([times[times > times[0]] for times in own])
    last = float(since.max())
    if len(gaps):
        usual = float(np.median(gaps))
        whole = np.round(every / usual)
        # By least squares too, so that what is rounded in each gap does not add up.
        tried = [usual, float(whole @ every / (whole @ whole))]
        met = [np.mean(np.abs(every / step - np.round(every / step)) <= NEAR) for step in tried]
        step = tried[int(np.argmax(met))]
        if max(met) >= USUAL and last / step <= MOST_EMPTY * len(every):
            return step
    return None


def _require_inside(table: LongForm, layout: Layout) -> None:
    slack = 1e-9 * (np.asarray(layout.upper) - np.asarray(layout.lower))
    highest = [
        np.where(table.lower[:, axis] < table.upper[:, axis], table.lower[:, axis] + high - low, high)
        if layout.is_periodic(axis)
        else np.full(len(table.at), high)
        for axis, (low, high) in enumerate(zip(layout.lower, layout.upper, strict=True))
    ]
    below, above = table.lower < np.asarray(layout.lower) - slack, table.upper > np.stack(highest, axis=1) + slack
    outside = (below | above).any(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[table.at[outside].argmin()])
        place = ", ".join(
            f"{axis} = {low:.6g}" + (f" to {high:.6g}" if high > low else "")
            for axis, low, high in zip(AXES, table.lower[row], table.upper[row], strict=False)
        )
        domain = " × ".join(f"[{low:g}, {high:g}]" for low, high in zip(layout.lower, layout.upper, strict=True))
        raise ValueError(
            f"{table.table.source}: {int(outside.sum())} of {len(outside)} readings lie outside the domain "
            f"{domain}, the first in {table.table.where(int(table.at[row]))}, at {place}; say another domain with "
            f"{setting('extent')}, or leave them out of the file."
        )


def _sorted(table: LongForm, steps: Numbers) -> Sensors:
    order = np.lexsort((table.at, *table.upper.T, *table.lower.T, table.channel, steps, table.trajectory))

    def column(values: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values[order]))

    return Sensors(
        column(table.trajectory),
        column(steps),
        column(table.channel),
        column(table.lower),
        column(table.upper),
        column(table.value),
        None if table.sigma is None else column(table.sigma),
    )


def _given_of(table: LongForm, steps: Numbers, first: Numbers, dt: float) -> Given:
    """What is the same throughout each trajectory is a condition, else a course, linear between its times."""
    conditions, inputs = dict[str, torch.Tensor](), dict[str, Course]()
    parts = 1 if (steps == np.round(steps)).all() else SPLINED
    wanted = np.arange(int(np.ceil(steps.max())) * parts + 1) / parts
    for name, own in table.given.items():
        if all((values == values[0]).all() for _, values in own):
            conditions[name] = torch.tensor([float(values[0]) for _, values in own], dtype=torch.float64)
            continue
        along = [np.interp(wanted, (times - begin) / dt, one) for (times, one), begin in zip(own, first, strict=True)]
        inputs[name] = Course(torch.from_numpy(np.stack(along)), parts)
    return Given.of(len(table.labels), conditions, inputs)


def _notes(table: LongForm, sensors: Sensors, layout: Layout) -> Iterator[str]:
    count, names = len(sensors), layout.channel_names
    each = ", ".join(f"{int((sensors.channel == one).sum())} of {name}" for one, name in enumerate(names))
    boxes = int((sensors.lower < sensors.upper).any(dim=1).sum())
    means = f", {boxes} of them means over boxes" if boxes else ""
    yield f"{count} readings ({each}){means}; of the states on the model's grid nothing is observed"
    frames = int(sensors.steps.max().ceil()) + 1
    yield f"the model takes steps of {layout.dt:.6g}, {frames} states from each trajectory's start"
    of = torch.stack([sensors.row, sensors.channel, sensors.steps], dim=1)
    places = torch.cat([of, sensors.lower, sensors.upper], dim=1)
    distinct = len(torch.unique(places, dim=0))
    if distinct < count:
        copies = count - len(torch.unique(torch.cat([places, sensors.values[:, None]], dim=1), dim=0))
        yield (
            f"{count - distinct} readings have the place, time and quantity of another, and each counts; {copies} "
            "of them its value too: leave these out if they are copies"
        )
