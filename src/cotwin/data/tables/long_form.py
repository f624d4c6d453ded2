"""Readings of sensors from a table: one in each row, or one of each quantity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cotwin.data.tables.columns import AXES, Roles, roles_of, vector_of
from cotwin.data.tables.known import columns_of, read_table
from cotwin.data.tables.table import Table
from cotwin.layout import Field

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
MOST_NAMED = 6


@dataclass(frozen=True)
class LongForm:
    """M readings in the order of the file, times and places as they are written there.

    table: what they are from. roles: which column is taken for what. at: which row of the table each is in.
    trajectory: counted from 0. channel: of `fields`.
    lower, upper: ends of the boxes whose means were read, the same for points, (M, dims).
    sigma: None where the file has none.
    labels: what the file calls the trajectories. given: of each its times and values, by name.
    """

    table: Table
    roles: Roles
    at: Places
    trajectory: Places
    time: Numbers
    lower: Numbers
    upper: Numbers
    channel: Places
    value: Numbers
    sigma: Numbers | None
    fields: tuple[Field, ...]
    labels: tuple[str, ...]
    given: Mapping[str, list[tuple[Numbers, Numbers]]]
    notes: tuple[str, ...]


def read_long_form(
    path: str | Path, names: Mapping[str, str], fields: Sequence[str] | None, given: Sequence[str]
) -> LongForm:
    """All readings of a CSV or parquet file. Raises ValueError, naming the line, for what cannot be one."""
    path = Path(path)
    roles = roles_of(columns_of(path), names, fields, given, str(path))
    table = read_table(path, roles.wanted)
    parts, left = _by_quantity(table, roles, fields)
    chosen = _fields(parts, fields, roles.dims, table.source)
    order = [name for field in chosen for name in _components(field)]
    at = np.concatenate([parts[name] for name in order])
    channel = np.repeat(np.arange(len(order)), [len(parts[name]) for name in order])
    value, sigma = (_gathered(table, columns, order, parts) for columns in _columns(roles, order, table.source))
    assert value is not None
    _require(table, at, np.isfinite(value), "the value is not finite")
    if sigma is not None:
        _require(
            table,
            at,
            np.isfinite(sigma) & (sigma > 0),
            "sigma, the deviation of its noise, is missing or not positive",
        )
    time = table.numbers[roles.role["t"]][at]
    _require(table, at, np.isfinite(time), f"{roles.role['t']} is missing or not finite")
    lower, upper = (np.stack(ends, axis=1) for ends in zip(*_ends(table, roles, at), strict=True))
    trajectory, labels = _trajectories(table, roles, at)
    known = {name: list(_given(table, column, at, trajectory, time)) for name, column in roles.given.items()}
    notes = (*table.notes, *_notes(table, roles, labels, len(at), left))
    return LongForm(
        table, roles, at, trajectory, time, lower, upper, channel, value, sigma, chosen, labels, known, notes
    )


def _by_quantity(table: Table, roles: Roles, fields: Sequence[str] | None) -> tuple[dict[str, Places], list[str]]:
    """The rows in which each quantity was read, and quantities that were not asked for."""
    if roles.readings:
        values = {name: table.numbers[column] for name, column in roles.readings.items()}
        return {name: np.flatnonzero(~np.isnan(own)) for name, own in values.items()}, []
    there = ~np.isnan(table.numbers[roles.role["value"]])
    if "quantity" not in roles.role:
        name = fields[0] if fields and len(fields) == 1 else roles.role["value"]
        return {name: np.flatnonzero(there)}, []
    words, rows = table.words[roles.role["quantity"]], np.flatnonzero(there)
    _require(table, rows, words.code[rows] >= 0, f"{roles.role['quantity']} is missing")
    found = {
        roles.renamed.get(word, word): rows[words.code[rows] == place] for place, word in enumerate(words.distinct)
    }
    wanted = [name for name in found if fields is None or {name, vector_of(name, roles.dims)} & {*fields}]
    return {name: found[name] for name in wanted}, [name for name in found if name not in wanted]


def _fields(parts: Mapping[str, Places], wanted: Sequence[str] | None, dims: int, source: str) -> tuple[Field, ...]:
    """Scalars, and vectors of which there are all components. Raises ValueError for names that there are not."""
    found: dict[str, Field] = {}
    for name in parts:
        base = vector_of(name, dims)
        whole = base is not None and all(f"{base}_{axis}" in parts for axis in AXES[:dims])
        found.setdefault(base if whole and base else name, Field(base, dims) if whole and base else Field(name))
    for name in wanted or ():
        if name not in found:
            raise ValueError(f"{source}: no quantity {name!r}; the table has {', '.join(found) or 'none'}.")
    if not found or not sum(map(len, parts.values())):
        raise ValueError(f"{source}: it holds no reading: all values are empty.")
    return tuple(found[name] for name in wanted or found)


def _components(field: Field) -> list[str]:
    return [field.name] if field.components == 1 else [f"{field.name}_{axis}" for axis in AXES[: field.components]]


def _columns(roles: Roles, order: Sequence[str], source: str) -> tuple[dict[str, str], dict[str, str]]:
    """Where the values of each quantity stand, and their noise."""
    if not roles.readings:
        noise = roles.role.get("sigma")
        return dict.fromkeys(order, roles.role["value"]), {} if noise is None else dict.fromkeys(order, noise)
    noises = {name: roles.sigmas[name] for name in order if name in roles.sigmas}
    if 0 < len(noises) < len(order):
        raise ValueError(
            f"{source}: the noise of {', '.join(noises)} is known, and that of the other quantities is not; give "
            "all, or name the quantities to read with data.fields."
        )
    return dict(roles.readings), noises


def _gathered(
    table: Table, columns: Mapping[str, str], order: Sequence[str], parts: Mapping[str, Places]
) -> Numbers | None:
    return np.concatenate([table.numbers[columns[name]][parts[name]] for name in order]) if columns else None


def _ends(table: Table, roles: Roles, at: Places) -> Iterator[tuple[Numbers, Numbers]]:
    """Along each axis: of a box, or of a point twice the same."""
    nothing = np.full(len(at), np.nan)
    for axis in AXES[: roles.dims]:
        point, lower, upper = (
            table.numbers[roles.role[name]][at] if name in roles.role else nothing
            for name in (axis, f"{axis}_lower", f"{axis}_upper")
        )
        box = ~np.isnan(lower) & ~np.isnan(upper)
        _require(
            table, at, box | (np.isnan(lower) & np.isnan(upper)), f"of {axis}_lower and {axis}_upper one is missing"
        )
        low, high = np.where(box, lower, point), np.where(box, upper, point)
        _require(table, at, np.isfinite(low) & np.isfinite(high), f"{axis} is missing or not finite")
        _require(table, at, low <= high, f"{axis}_lower lies above {axis}_upper")
        yield low, high


def _trajectories(table: Table, roles: Roles, at: Places) -> tuple[Places, tuple[str, ...]]:
    """Counted from 0, in the order of their numbers, or of the file where they have names."""
    if "n" not in roles.role:
        return np.zeros(len(at), dtype=np.int64), ("0",)
    words = table.words[roles.role["n"]]
    code = words.code[at]
    _require(table, at, code >= 0, f"{roles.role['n']} is missing")
    used = [int(one) for one in dict.fromkeys(words.code.tolist()) if one in {*code.tolist()}]
    with suppress(ValueError):
        used.sort(key=lambda one: float(words.distinct[one]))
    place = np.zeros(len(words.distinct), dtype=np.int64)
    place[used] = np.arange(len(used))
    return place[code], tuple(words.distinct[one] for one in used)


def _given(
    table: Table, column: str, at: Places, trajectory: Places, time: Numbers
) -> Iterator[tuple[Numbers, Numbers]]:
    """Of each trajectory, at each time once. Raises ValueError where it has several values at one, or none at all."""
    values = table.numbers[column][at]
    for number in range(int(trajectory.max()) + 1):
        own = np.flatnonzero((trajectory == number) & np.isfinite(values))
        times, first, which = np.unique(time[own], return_index=True, return_inverse=True)
        if not len(own):
            raise ValueError(
                f"{table.source}: {column} is given, and trajectory {number} has no value of it; fill it in."
            )
        _require(
            table, at[own], values[own] == values[own[first]][which], f"{column} has another value at the same time"
        )
        yield times, values[own[first]]


def _notes(table: Table, roles: Roles, labels: Sequence[str], count: int, left: Sequence[str]) -> Iterator[str]:
    columns = [*roles.readings.values()] or [roles.role["value"]]
    empty = sum(int(np.isnan(table.numbers[column]).sum()) for column in columns)
    if empty:
        yield (
            f"{empty} of {empty + count} values are empty, and left out" if not left else f"{empty} values are empty"
        )
    if left:
        yield f"quantities that were not asked for are left out: {_some(left)}"
    if roles.unread:
        yield f"columns that are not read: {_some(roles.unread)}"
    if labels != tuple(str(number) for number in range(len(labels))):
        yield f"trajectories are counted: {_some([f'{number} is {label}' for number, label in enumerate(labels)])}"
    if table.dates is not None:
        yield f"times are dates, and read as seconds after {table.dates}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")


def _require(table: Table, at: Places, good: NDArray[np.bool_], what: str) -> None:
    """Raise ValueError for the first reading, of these rows, that is not good."""
    if not good.all():
        bad = at[~good]
        raise ValueError(
            f"{table.source}: {what} in {table.where(int(bad.min()))}"
            + (f", and in {len(bad) - 1} more rows" if len(bad) > 1 else "")
            + "; mend the file, or leave the reading empty."
        )
