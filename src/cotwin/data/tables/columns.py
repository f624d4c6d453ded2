"""Which column of a table holds what: places, times, trajectories, readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cotwin.data.stored.contents import setting
from cotwin.data.tables.table import Kind

AXES = ("x", "y", "z")
USUAL: dict[str, tuple[str, ...]] = {
    "n": ("trajectory", "n", "run"),
    "t": ("t", "time"),
    **{name: (name,) for axis in AXES for name in (axis, f"{axis}_lower", f"{axis}_upper")},
    "quantity": ("quantity",),
    "value": ("value",),
    "sigma": ("sigma",),
}
"""What columns are called that need no word: by what they hold, in small letters."""
SIGMA = "_sigma"
TEMPERATURE = "T"


@dataclass(frozen=True)
class Roles:
    """role: the column of each thing in `USUAL` that there is.

    readings: of quantities that have a column each, by name; empty where `value` holds all. sigmas: likewise the
    columns of their noise. given: columns of what is no reading. dims: axes of space. unread: columns left out.
    renamed: Cotwin's name of a quantity, by the file's, where `quantity` says which each reading is of.
    """

    role: Mapping[str, str]
    readings: Mapping[str, str]
    sigmas: Mapping[str, str]
    given: Mapping[str, str]
    dims: int
    unread: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def wanted(self) -> dict[str, Kind]:
        """The columns to read, and what has to be in them."""
        kinds: dict[str, Kind] = {"n": "words", "t": "times", "quantity": "words"}
        found = {column: kinds.get(role, "numbers") for role, column in self.role.items()}
        further = (*self.readings.values(), *self.sigmas.values(), *self.given.values())
        return {**dict.fromkeys(further, "numbers"), **found}


def roles_of(
    columns: Sequence[str],
    names: Mapping[str, str],
    fields: Sequence[str] | None,
    given: Sequence[str],
    source: str,
) -> Roles:
    """By usual names, and by what the caller says. fields: quantities to read. given: what is none.

    Raises ValueError, naming the columns, where something is missing.
    """
    said = {next((role for role, usual in USUAL.items() if key in (role, *usual)), key): names[key] for key in names}
    for key, column in said.items():
        if column not in columns and (
            key in USUAL or ("quantity" not in said and not usual_column(columns, "quantity"))
        ):
            raise ValueError(f"{source}: {setting('names')}: no column is called {column!r}; it has {list(columns)}.")
    free = [one for one in columns if one not in said.values() and one not in (fields or ())]
    role = {one: found for one in USUAL if (found := said.get(one) or usual_column(free, one))}
    dims = _dims(role, columns, source)
    if "t" not in role:
        raise ValueError(
            f"{source}: no column is called t or time; say which it is with {setting('names')}: {{t: …}}. It has "
            f"{', '.join(columns)}."
        )
    known = {name: said.get(name, name) for name in given}
    missing = [name for name, column in known.items() if column not in columns]
    if missing:
        raise ValueError(f"{source}: nothing is called {missing[0]!r} that could be given; it has {list(columns)}.")
    taken = {*role.values(), *known.values()}
    others = [one for one in columns if one and one not in taken]
    renamed = {column: name for name, column in said.items() if name not in USUAL and name not in known}
    if "value" in role:
        return Roles(role, {}, {}, known, dims, tuple(others), renamed)
    return _wide(role, others, renamed, fields, known, dims, source)


def _wide(
    role: dict[str, str],
    others: Sequence[str],
    renamed: Mapping[str, str],
    fields: Sequence[str] | None,
    given: Mapping[str, str],
    dims: int,
    source: str,
) -> Roles:
    """A column for each quantity, and one of its noise beside it where there is such."""
    noises = {
        one: one.removesuffix(SIGMA) for one in others if one.endswith(SIGMA) and one.removesuffix(SIGMA) in others
    }
    readings = {renamed.get(one, one): one for one in others if one not in noises}
    asked = {name: one for name, one in readings.items() if {name, vector_of(name, dims)} & {*(fields or ())}}
    # Of none that there is, what asks for it says so.
    readings = asked or readings
    left = [one for one in others if one not in readings.values() and noises.get(one) not in readings.values()]
    if not readings or "quantity" in role:
        raise ValueError(
            f"{source}: no column holds readings. Either one is called value, with quantity beside it where there "
            f"are several, or each quantity has one, such as time,x,u; or say which it is with {setting('names')}: "
            "{value: …}."
        )
    sigmas = {name: one + SIGMA for name, one in readings.items() if one + SIGMA in noises}
    if "sigma" in role:
        if len(readings) > 1:
            raise ValueError(
                f"{source}: sigma is of which of {', '.join(readings)}? Call the columns "
                f"{next(iter(readings))}{SIGMA} and so on."
            )
        sigmas = dict.fromkeys(readings, role.pop("sigma"))
    return Roles(role, readings, sigmas, given, dims, tuple(left))


def vector_of(name: str, dims: int) -> str | None:
    """The field that NAME_x is a component of, on several axes."""
    return name[:-2] if dims > 1 and name[-2:] in [f"_{axis}" for axis in AXES[:dims]] else None


def usual_column(columns: Sequence[str], role: str) -> str | None:
    """The first column of a usual name, as it stands there, else in any letters; but T is a temperature."""
    alike = {one.lower(): one for one in reversed(columns) if one != TEMPERATURE} | {one: one for one in columns}
    return next((alike[usual] for usual in USUAL[role] if usual in alike), None)


def _dims(role: Mapping[str, str], columns: Sequence[str], source: str) -> int:
    there = []
    for axis in AXES:
        ends = [f"{axis}_{end}" in role for end in ("lower", "upper")]
        if any(ends) and not all(ends):
            raise ValueError(
                f"{source}: of {axis}_lower and {axis}_upper, the ends of a box, one is missing; give both."
            )
        there.append(axis in role or all(ends))
    dims = there.index(False) if False in there else len(AXES)
    if not dims or any(there[dims:]):
        raise ValueError(
            f"{source}: no column is called {AXES[dims]}; say which holds the places with {setting('names')}: "
            f"{{{AXES[dims]}: …}}. Means over boxes have {AXES[dims]}_lower and {AXES[dims]}_upper instead. It has "
            f"{', '.join(columns)}."
        )
    return dims
