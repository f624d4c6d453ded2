"""What the arrays of a file may be where reading does not find it: by units, lengths, and what rises."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cotwin.data.stored.arrays import REAL, Arrays, StoredArray
from cotwin.data.stored.contents import Array, as_type
from cotwin.data.stored.roles import ALSO, renamed, with_parts
from cotwin.data.stored.wanted import Wanted

SMALL = 2**20
"""Values of an array, at most, that is looked at as coordinates."""
MOST_ROWS = 32
MOST_COMPONENTS = 4
"""Along a last axis without coordinates: more are taken for a coordinate."""
STRANGERS = 0.7
"""Of neighbours along an axis, what they differ by, over that of any two: they do not follow from each other."""
TIME_UNITS = (
    "s",
    "sec",
    "second",
    "seconds",
    "ms",
    "min",
    "minutes",
    "h",
    "hour",
    "hours",
    "d",
    "day",
    "days",
    "years",
)
LENGTH_UNITS = ("m", "meter", "metre", "mm", "cm", "km", "um", "µm", "nm", "degrees_east", "degrees_north")
TIMES = re.compile(r"(?!.*(?:wall|cpu|run|step)).*time.*")
"""Times of the computer, and steps, are none of the states."""
AXIS = re.compile(r"([xyz])(?:c|s|coords?|cent(?:er|re)s?|grid)?(?:[^a-z0-9].*)?$")
"""xc, x_centers, x_hash_1f3a: coordinates x."""
MORE_NAMES = {"t": ("tspan", "date", "dates"), "x": ("lon", "longitude"), "y": ("lat", "latitude"), "z": ("depth",)}


@dataclass(frozen=True)
class Guess:
    """How a file may be read.

    reasons: of what is not in the file's words. asked: options of `wanted` that stand for what nobody has said.
    """

    wanted: Wanted
    reasons: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    """An array that may be times or coordinates. role: by its name or its unit, t, x, y, z or s for any in space."""

    name: str
    values: Array
    role: str = ""

    @property
    def rises(self) -> bool:
        return bool((np.diff(as_type(self.values, np.float64)) > 0).all())


@dataclass
class _Axes:
    """The axes of the largest array: for each a letter, and the row that belongs to it."""

    shape: tuple[int, ...]
    letters: list[str] = field(init=False)
    rows: dict[str, _Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.letters = [""] * len(self.shape)

    def free(self, length: int | None = None) -> list[int]:
        """Axes without a letter, of this length if one is given."""
        return [i for i, one in enumerate(self.letters) if not one and length in (None, self.shape[i])]

    def next_space(self) -> str | None:
        return next((one for one in "xyz" if one not in self.letters), None)

    def give(self, at: int, letter: str, row: _Row | None = None) -> None:
        self.letters[at] = letter
        if row is not None:
            self.rows[letter] = row


def guess(arrays: Arrays, times_last: bool) -> Guess | None:
    """What times, coordinates and fields may be; None where no array can be a field.

    times_last: whether axes of times usually come last, as in MATLAB.
    """
    fields = {name: one for name, one in arrays.named.items() if one.dtype.kind in (*REAL, "c") and one.ndim > 1}
    fields = {name: one for name, one in fields.items() if sum(size > 1 for size in one.shape) > 1}
    if not fields:
        return None
    name = max(fields, key=lambda one: math.prod(fields[one].shape))
    axes = _Axes(fields[name].shape)
    rows = [one for one in _rows(arrays.named) if axes.free(len(one.values))]
    _by_name(axes, rows, times_last)
    _by_length(axes, [one for one in rows if one not in axes.rows.values()], times_last)
    _without_rows(axes, fields[name], times_last)
    if "" in axes.letters or "t" not in axes.letters or "x" not in axes.letters:
        return None
    found = _told(axes, name)
    labels = arrays.words.get(name, {}).get("dimensions", "").split(", ")
    return found if len(labels) != len(axes.shape) else _labelled(found, axes, labels)


def _labelled(found: Guess, axes: _Axes, labels: list[str]) -> Guess:
    """Where dimensions have names, these say all, or their coordinates do."""
    names = {
        "component" if letter == "c" else letter: axes.rows[letter].name if letter in axes.rows else label
        for letter, label in zip(axes.letters, labels, strict=True)
    }
    return replace(found, wanted=replace(found.wanted, names=names, axes=None))


def names_of(arrays: Arrays, wanted: Wanted) -> dict[str, str]:
    """What times and coordinates that are found are called in the file, where that is not Cotwin's name."""
    split, _ = with_parts(arrays.named)
    found, _ = renamed(split, wanted)
    theirs = {id(one): name for name, one in split.items()}
    names = {role: theirs[id(found[role])] for role in "txyz" if role in found}
    return {role: name for role, name in (dict(wanted.names) | names).items() if role != name}


def _rows(arrays: Mapping[str, StoredArray]) -> Iterator[_Row]:
    """Arrays with one axis longer than one, of real numbers."""
    left = MOST_ROWS
    for name, one in arrays.items():
        size = math.prod(one.shape)
        if left and one.dtype.kind in "fiu" and 1 < size <= SMALL and size == max(one.shape):
            left -= 1
            yield _Row(name, np.ravel(one.values), _role(name, one.unit))


def _role(name: str, unit: str) -> str:
    last = name.rsplit("/", 1)[-1]
    last = last if last == "T" else last.lower()
    for role, names in ALSO.items():
        if last in (*names, *MORE_NAMES[role]) or (role == "t" and TIMES.fullmatch(last)):
            return role
    if match := AXIS.match(last):
        return match[1]
    word = unit.lower().strip()
    if word in TIME_UNITS or " since " in word:
        return "t"
    return "s" if word in LENGTH_UNITS else ""


def _by_name(axes: _Axes, rows: list[_Row], times_last: bool) -> None:
    for letter in "txyz":
        row = min((one for one in rows if one.role == letter), key=_unlikely, default=None)
        free = [] if row is None else axes.free(len(row.values))
        if free:
            axes.give(free[-1] if times_last and letter == "t" else free[0], letter, row)


def _unlikely(row: _Row) -> tuple[bool, bool]:
    """Of rows of one role, the least first: what rises before what does not, and any other name before T."""
    return not row.rises, row.name.rsplit("/", 1)[-1] == "T"


def _by_length(axes: _Axes, rows: list[_Row], times_last: bool) -> None:
    """What rises, and is as long as an axis; times are the first such axis, or the last, that is not below zero."""
    found: dict[int, _Row] = {}
    for row in rows:
        free = [at for at in axes.free(len(row.values)) if at not in found]
        if row.rises and free:
            found[free[0]] = row
    if "t" in axes.letters and "x" in axes.letters:
        # What stands before times counts trajectories, where names tell times and coordinates.
        found = {at: row for at, row in found.items() if at > axes.letters.index("t") or times_last}
    may_be_times = [at for at, row in found.items() if row.role == "" and float(row.values.min()) >= 0]
    if "t" not in axes.letters and may_be_times and len(found) + len(axes.rows) > 1:
        at = max(may_be_times) if times_last else min(may_be_times)
        axes.give(at, "t", found.pop(at))
    for at in sorted(found):
        letter = axes.next_space()
        if letter is not None:
            axes.give(at, letter, found[at])


def _without_rows(axes: _Axes, array: StoredArray, times_last: bool) -> None:
    """Axes of which nothing is known: components are few and last, trajectories first, strangers to each other."""
    known = len(axes.rows)
    free = axes.free()
    at_last = len(axes.shape) - 1
    if free and free[-1] == at_last and axes.shape[-1] <= MOST_COMPONENTS and len(axes.shape) > 2:
        axes.give(free.pop(), "c")
    if "t" not in axes.letters and free:
        several = len(free) > 1 and (known > 0 or len(free) > 3 or _strange(array))
        if several:
            axes.give(free.pop(-1 if times_last else 0), "n")
        axes.give(free.pop(-1 if times_last else 0), "t")
    elif "x" not in axes.letters and len(free) > 1 and free[0] == 0 and _strange(array):
        axes.give(free.pop(0), "n")
    if "x" not in axes.letters:
        for at in free[:3]:
            axes.give(at, axes.next_space() or "")
        free = axes.free()
    for at in free:
        several = "t" in axes.letters[at:] or "c" in axes.letters or axes.shape[at] > MOST_COMPONENTS
        axes.give(at, "n" if several else "c")


def _strange(array: StoredArray) -> bool:
    """Whether neighbours along the first axis do not follow from each other."""
    few = tuple(slice(0, 32) for _ in array.shape)
    values = as_type(np.abs(array[few]), np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # squares of huge values
        steps = np.diff(values, axis=0)
        spread = float(values[np.isfinite(values)].std()) if np.isfinite(values).any() else 0.0
        known = steps[np.isfinite(steps)]
        return bool(spread > 0 and known.size and np.sqrt((known**2).mean()) > STRANGERS * 2**0.5 * spread)


def _told(axes: _Axes, name: str) -> Guess:
    order = "".join(axes.letters)
    space = [one for one in "xyz" if one in order]
    asked = [] if "t" in axes.rows else ["dt"]
    lacking = [one for one in space if one not in axes.rows]
    if lacking:
        asked.append("extent")
    names = {
        letter: row.name for letter, row in axes.rows.items() if (row.name != letter and not lacking) or letter == "t"
    }
    if name in ("t", "x", "y", "z"):
        names["u"] = name
    usual = "t" + "".join(space)
    settled = order.removeprefix("n").removesuffix("c") == usual and not asked
    words = {"n": "trajectories", "t": "times", "c": "components", **{one: f"coordinates {one}" for one in "xyz"}}
    reasons = [
        f"{row.name} is taken as {words[letter]}: it has {len(row.values)} values{' that rise' * row.rises}, as many "
        f"as there are along axis {axes.letters.index(letter) + 1} of {name}, {axes.shape}"
        for letter, row in axes.rows.items()
    ]
    reasons += [
        f"axis {at + 1} of {name}, {axes.shape}, is taken as {words[letter]}: nothing in the file says what it is"
        for at, letter in enumerate(axes.letters)
        if letter not in axes.rows
    ]
    wanted = Wanted(
        names=names,
        axes=None if settled else order,
        extent=[(0.0, 1.0)] * len(space) if "extent" in asked else None,
        dt=1.0 if "dt" in asked else None,
    )
    return Guess(wanted, tuple(reasons), tuple(asked))
