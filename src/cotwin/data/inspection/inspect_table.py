"""What is in a table of readings, and the settings that read it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cotwin.data.inspection.summary import ArraySummary, Inspection, Setting
from cotwin.data.stored.contents import setting
from cotwin.data.tables.columns import AXES, usual_column
from cotwin.data.tables.known import columns_of
from cotwin.data.tables.long_form import LongForm, Numbers, read_long_form
from cotwin.data.tables.off_grid import KINDS, usual_step
from cotwin.data.tables.table import Table

POINTS = {1: 64, 2: 32, 3: 16}
"""Of the model's grid along each axis, for a beginning."""
MOST_WORDS = 8
OF_TIME = ("time", "date", "year", "day", "hour", "minute", "second")
"""In the name of a column that is taken for times."""


def inspect_table(path: Path, name: str) -> Inspection:
    """The columns of a CSV or parquet file, which of them are taken for what, and what has to be said.

    name: of its format. Raises ValueError for what is no table.
    """
    columns = columns_of(path)
    recipe = [Setting("kind", "file"), Setting("path", str(path))]
    names = _names(columns)
    try:
        found = read_long_form(path, names, None, ())
    except ValueError as error:
        problem = str(error).removeprefix(f"{path}: ")
        arrays = tuple(ArraySummary(one, (), "column", "1", "", {}) for one in columns)
        return Inspection(str(path), name, {}, arrays, (), problem, None, tuple(recipe))
    words = {
        "readings": f"{len(found.at)} in {len(found.labels)} trajectories",
        **{f"note {place}": note for place, note in enumerate(found.notes)},
    }
    asked = f"the boundary is not in the file: choose {KINDS} with {setting('boundary')}"
    recipe += [Setting("names", names, "a guess, by the name of the column")] if names else []
    recipe += _recipe(found)
    arrays = tuple(_column(found.table, one) for one in columns)
    return Inspection(str(path), name, words, arrays, tuple(_taken(found)), asked, None, tuple(recipe))


def _names(columns: Sequence[str]) -> dict[str, str]:
    """Of times that have no usual name."""
    if usual_column(columns, "t"):
        return {}
    found = next((one for one in columns if any(word in one.lower() for word in OF_TIME)), None)
    return {} if found is None else {"t": found}


def _column(table: Table, name: str) -> ArraySummary:
    if name in table.words:
        words = table.words[name]
        some = ", ".join(words.distinct[:MOST_WORDS]) + (", …" if len(words.distinct) > MOST_WORDS else "")
        return ArraySummary(name, (len(words.code),), "words", "1", some, {})
    if name not in table.numbers:
        return ArraySummary(name, (), "not read", "1", "", {})
    values = table.numbers[name]
    known = values[~np.isnan(values)]
    held = f"{known.min():.6g} to {known.max():.6g}" if len(known) else "nothing"
    missing = {"empty": str(len(values) - len(known))} if len(known) < len(values) else {}
    return ArraySummary(name, (len(values),), "numbers", "1", held, missing)


def _taken(found: LongForm) -> Iterator[str]:
    """What columns are taken for."""
    said: Mapping[str, str] = {
        "n": "trajectories", "t": "times", "quantity": "what each reading is of", "value": "readings",
        "sigma": "the deviation of their noise",
    }  # fmt: skip
    for role, column in found.roles.role.items():
        yield f"{column!r} holds {said.get(role, f'places, {role}')}"
    for name, column in found.roles.readings.items():
        yield f"{column!r} holds readings of {name}"
    for name, column in found.roles.sigmas.items():
        yield f"{column!r} holds the deviation of the noise of {name}"


def _recipe(found: LongForm) -> Iterator[Setting]:
    """The model's grid and domain, for a beginning; and its step where there is no usual one."""
    dims = found.lower.shape[1]
    yield Setting("grid", (POINTS[dims],) * dims, "points of the model's grid, for a beginning")
    ends = [_rounded(found.lower[:, axis], found.upper[:, axis]) for axis in range(dims)]
    where = " × ".join(
        f"{AXES[axis]} from {found.lower[:, axis].min():.6g} to {found.upper[:, axis].max():.6g}"
        for axis in range(dims)
    )
    yield Setting("extent", tuple(ends), f"a guess: readings lie in {where}, the domain may be larger")
    yield Setting("boundary", "neumann", "choose: it is not in the file", said=False)
    first = np.full(len(found.labels), np.inf)
    np.minimum.at(first, found.trajectory, found.time)
    since = found.time - first[found.trajectory]
    step = usual_step(found, since)
    if step is None:
        yield Setting("dt", float(f"{since.max() / 100:.3g}"), "a guess: times have no usual interval")


def _rounded(lower: Numbers, upper: Numbers) -> tuple[float, float]:
    """A domain that holds all places, with ends at multiples of 1, 2 or 5 · 10ⁿ, a quarter of its length or more."""
    low, high = float(lower.min()), float(upper.max())
    least = (high - low) / 4 or 1.0
    power = 10.0 ** math.floor(math.log10(least))
    unit = next(one * power for one in (1, 2, 5, 10) if one * power >= least)
    first, last = math.floor(low / unit), math.ceil(high / unit)
    return unit * first, unit * max(last, first + 1)
