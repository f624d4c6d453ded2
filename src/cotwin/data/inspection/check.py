"""What is odd in data files: `cotwin data check`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotwin.data.assembling.assemble import assemble
from cotwin.data.assembling.walls import contradictions
from cotwin.data.formats.known import TABLES, format_of, open_contents
from cotwin.data.inspection.check_table import check_table
from cotwin.data.inspection.finding import Finding
from cotwin.data.inspection.oddities import frozen, spikes, stuck, unseen
from cotwin.data.inspection.sampling import AT_ONCE, MOST, beginning, require_some
from cotwin.data.inspection.structure import of_arrays, of_coordinates, of_missing, of_times
from cotwin.data.inspection.trying import ENOUGH
from cotwin.data.inspection.values import summary_of
from cotwin.data.read import Options
from cotwin.data.stored.boundaries import said_by
from cotwin.data.stored.contents import Contents, StoredField, as_type, setting
from cotwin.data.stored.wanted import Wanted

APART = 50.0
"""Times the size that a field has in most trajectories, or less than so small a part of it: another unit."""
MOST_TOLD = 3
STUCK, UNSEEN = "never changes, while what is beside it moves,", "is never seen"
OPENING = ("format", "names", "axes", "grid", "begin")


@dataclass
class Checked:
    """looked: at what, in words. sizes: of each field in each trajectory. digests: of each trajectory's states.
    labels: units, by what they are of.
    """

    source: str
    findings: list[Finding] = field(default_factory=list)
    looked: str = ""
    sizes: dict[str, dict[int, float]] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    axes: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def check_files(paths: Sequence[str | Path], options: Options) -> tuple[list[Finding], list[str]]:
    """What is odd in each file and between them, and at what was looked. options: with which they are read."""
    checked = [check_file(path, options) for path in paths]
    found = [finding for one in checked for finding in one.findings]
    return [*found, *_between(checked)], [one.looked for one in checked]


def check_file(path: str | Path, options: Options) -> Checked:
    """What is odd in one file. Where its boundary is not said, walls are not judged."""
    result = Checked(str(path))
    wanted = Wanted(**{name: options[name] for name in Wanted.__annotations__ if name in options})  # type: ignore[literal-required]
    try:
        if format_of(Path(path), options.get("format")) in TABLES:
            result.findings, result.looked = check_table(
                path, options.get("names", {}), options.get("fields"), options.get("given", ())
            )
            return result
        # Values whose squares are too large are odd, and no reason to stop.
        with (
            np.errstate(over="ignore", invalid="ignore"),
            open_contents(path, wanted, options.get("format")) as contents,
        ):
            require_some(contents)
            result.findings += _structure(contents, options)
            result.findings += _states(contents, options, result)
            result.findings += _walls(contents, options, result)
    except ValueError as error:
        text, _, cure = str(error).removeprefix(f"{path}: ").rstrip(".").rpartition("; ")
        result.findings.append(Finding(str(path), "file", text or cure, cure if text else "see there", refused=True))
    return result


def _structure(contents: Contents, options: Options) -> Iterator[Finding]:
    fields = options.get("fields")
    yield from of_arrays(contents, None if fields is None else tuple(fields), tuple(options.get("given", ())))
    yield from of_times(contents, options.get("dt"), options.get("dt_tolerance", 0.01))
    yield from of_coordinates(contents)
    yield from of_missing(contents, summary_of(contents), options.get("missing") == "mask")


def _states(contents: Contents, options: Options, result: Checked) -> Iterator[Finding]:
    """What is odd in the values, a trajectory at a time."""
    named = options.get("fields")
    fields = [one for one in contents.fields if not one.static and (named is None or one.name in named)]
    if not fields:
        return
    frame = math.prod(contents.grid) * sum(one.components for one in fields)
    frames = min(contents.num_frames, max(2, AT_ONCE // frame))
    count = min(contents.num_trajectories, max(1, MOST // (frame * frames)))
    result.looked = f"{contents.source}: looked at {count} of {contents.num_trajectories} trajectories"
    if frames < contents.num_frames:
        result.looked += f", the first {frames} of {contents.num_frames} states"
    result.labels = {f"field {one.name}": one.unit for one in fields} | {"times": contents.time_unit}
    result.labels |= {f"coordinates {one.name}": one.unit for one in contents.axes}
    result.axes = {one.name: as_type(one.coordinates, np.float64) for one in contents.axes}
    places: dict[tuple[str, str], dict[str, list[int]]] = {}
    for row in range(count):
        digest, still = hashlib.sha256(), set(range(contents.num_frames))
        for one in fields:
            values = _values(one, row, frames)
            digest.update(values.tobytes())
            result.sizes.setdefault(one.name, {})[row] = _size(values)
            still &= set(frozen(values))
            for how, where in ((STUCK, stuck(values)), (UNSEEN, unseen(values))):
                for component, *point in np.argwhere(where).tolist():
                    name = one.name if one.components == 1 else f"{one.name}, component {component},"
                    places.setdefault((name, how), {}).setdefault(_at(point), []).append(row)
            yield from _told_spikes(contents.source, one, row, values)
        result.digests[row] = digest.hexdigest()
        if still:
            text = (
                f"{len(still)} states of trajectory {row} repeat the one before, the first at time step {min(still)}"
            )
            yield Finding(contents.source, "frozen", text, "leave them out, and their times")
    for (name, how), points in places.items():
        yield _told_dead(contents.source, name, how, points, count)


def _values(field: StoredField, row: int, frames: int) -> NDArray[np.float64]:
    values = as_type(field.read(row, slice(0, frames)), np.float64)
    values[~np.isfinite(values)] = np.nan
    if field.observed is not None:
        values[~np.broadcast_to(field.observed(row, slice(0, frames)), values.shape)] = np.nan
    return np.ascontiguousarray(values)


def _size(values: NDArray[np.float64]) -> float:
    """Root of the mean square of what is known."""
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.square(known).mean())) if known.size else 0.0


def _told_dead(source: str, name: str, how: str, points: Mapping[str, list[int]], count: int) -> Finding:
    some = [
        f"{point}{'' if len(rows) == count else f' (trajectory {rows[0]})'}"
        for point, rows in list(points.items())[:MOST_TOLD]
    ]
    more = ", …" if len(points) > MOST_TOLD else ""
    text = f"{name} {how} at {len(points)} points: {', '.join(some)}{more}"
    cure = {
        STUCK: f"make them NaN, and say mask as {setting('missing')}",
        UNSEEN: "nothing, where there is no sensor",
    }
    return Finding(source, "dead", text, cure[how])


def _told_spikes(source: str, field: StoredField, row: int, values: NDArray[np.float64]) -> Iterator[Finding]:
    found = sorted(spikes(values), key=lambda one: -one.beside)
    if found:
        worst = found[0]
        text = (
            f"{len(found)} values of {field.name} in trajectory {row} stand out from all around them, the worst "
            f"{worst.value:.4g} at time step {worst.frame}, {_at(worst.point)}, by {worst.beside:.3g}"
        )
        yield Finding(source, "spike", text, f"repair them, or make them NaN and say mask as {setting('missing')}")


def _at(point: Sequence[int]) -> str:
    return f"point ({', '.join(map(str, point))})"


def _walls(contents: Contents, options: Options, result: Checked) -> Iterator[Finding]:
    """What contradicts the boundary, and whatever else reading refuses."""
    said: dict[str, Any] = {name: value for name, value in options.items() if name not in OPENING}
    if said.get("boundary") is None and any(said_by(axis) is None for axis in contents.axes):
        said["boundary"] = tuple(said_by(axis) or "outflow" for axis in contents.axes)
        result.looked += "; no boundary is said, so walls are not judged"
    try:
        data = assemble(beginning(contents, ENOUGH), **{**said, "walls": "trusted", "missing": "mask"})
    except ValueError as error:
        if not any(one.refused for one in result.findings):
            text, _, cure = str(error).removeprefix(f"{contents.source}: ").rstrip(".").rpartition("; ")
            yield Finding(contents.source, "file", text or cure, cure if text else "see there", refused=True)
        return
    for found in contradictions(data.states, data.mask, data.layout, said.get("given_at", ())):
        text, _, cure = found.text.rpartition("; ")
        yield Finding(contents.source, "walls", text, cure, refused=found.sure and said.get("walls") != "trusted")


def _between(checked: Sequence[Checked]) -> Iterator[Finding]:
    """What does not go together: copies, sizes, units and grids."""
    alike: dict[str, list[str]] = {}
    for one in checked:
        for row, digest in one.digests.items():
            alike.setdefault(digest, []).append(f"{row} of {one.source}" if len(checked) > 1 else f"{row}")
    for first, *others in alike.values():
        if others:
            some = f"{', '.join(others[:MOST_TOLD])}{', …' * (len(others) > MOST_TOLD)}"
            text = f"{len(others)} trajectories ({some}) have the states of trajectory {first}"
            cure = "leave them out: they would count again, and be held out in vain"
            yield Finding(checked[0].source, "copy", text, cure)
    names = dict.fromkeys(name for one in checked for name in one.sizes)
    for name in names:
        yield from _sizes(checked, name)
    for one in checked[1:]:
        yield from _labels(checked[0], one)


def _sizes(checked: Sequence[Checked], name: str) -> Iterator[Finding]:
    sizes = [size for one in checked for size in one.sizes.get(name, {}).values() if 0 < size < math.inf]
    if not sizes:
        return
    usual = sorted(sizes)[(len(sizes) - 1) // 2]
    for one in checked:
        for row, size in one.sizes.get(name, {}).items():
            if 0 < size < math.inf and max(size / usual, usual / size) >= APART:
                text = f"{name} of trajectory {row} is {size / usual:.3g} times as large as in others ({usual:.3g})"
                yield Finding(one.source, "scale", text, "look at its unit; nothing is converted")


def _labels(first: Checked, other: Checked) -> Iterator[Finding]:
    for what, unit in other.labels.items():
        if first.labels.get(what, unit) != unit:
            text = f"{what} in {unit!r}, and in {first.labels[what]!r} in {first.source}"
            yield Finding(other.source, "unit", text, "write both in one unit; nothing is converted")
    for name, row in other.axes.items():
        known = first.axes.get(name, row)
        if known.shape != row.shape or not np.allclose(known, row, rtol=1e-5, atol=1e-6 * float(np.ptp(known))):
            text = (
                f"{len(row)} points along {name} from {row[0]:.6g} to {row[-1]:.6g}, and {len(known)} from "
                f"{known[0]:.6g} to {known[-1]:.6g} in {first.source}"
            )
            yield Finding(other.source, "grid", text, "read them apart, or bring them to one grid", refused=True)
