"""Which of a file's named arrays are times and coordinates: as the caller says, else by their names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cotwin.data.stored.arrays import REAL, Held, Part, StoredArray
from cotwin.data.stored.contents import Array, setting
from cotwin.data.stored.coordinates import along_one_axis
from cotwin.data.stored.reading import Frame, order_of
from cotwin.data.stored.wanted import ROLES, Wanted

ALSO: dict[str, tuple[str, ...]] = {
    "t": ("t", "time", "times", "tt", "t-coordinate", "t_coordinate", "T"),
    **{axis: (axis, f"{axis}-coordinate", f"{axis}_coordinate", axis + axis, f"{axis}s") for axis in "xyz"},
}
"""By which names times and coordinates go, in any case, the first first; T, often a temperature, is times at last."""
CURE = (
    f"say which they are with {setting('names')}, as {{t: NAME, x: NAME}}. Where the file has none, "
    f"{setting('extent')} gives the coordinates, and {setting('dt')} the times"
)


@dataclass(frozen=True)
class Skeleton:
    """frame: axes and their sizes. rows: times, (T,) or (N, T), and coordinates by their names.
    taken: names of the arrays that these are. notes: what was decided.
    """

    frame: Frame
    rows: dict[str, Array]
    taken: set[str]
    notes: tuple[str, ...]


def renamed(arrays: Mapping[str, StoredArray], wanted: Wanted) -> tuple[dict[str, StoredArray], list[str]]:
    """Arrays by Cotwin's names, as the caller says, else times and coordinates by their usual ones; and notes.

    An array in a group is known by its path, and by its last part where no other has that.
    Raises ValueError for a name that the file has not.
    """
    short: dict[str, list[str]] = {}
    for name in arrays:
        short.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    found: dict[str, str] = {}
    for name, theirs in wanted.names.items():
        whole = theirs.strip("/")
        if name == "n" or (name not in ROLES and whole not in arrays and theirs not in short):
            continue  # a name of a part of an array, or of a dimension, is looked for later
        if whole not in arrays and len(short.get(theirs, ())) != 1:
            several = short.get(theirs, [])
            why = f"which may be {' or '.join(several)}; say the whole" if several else "and no array is called so"
            raise ValueError(f"{setting('names')} takes {name} from {theirs!r}, {why}.")
        found[name] = whole if whole in arrays else short[theirs][0]
    left = {one: names for one, names in short.items() if not set(names) & set(found.values())}
    notes = []
    for role, usual in ALSO.items():
        rows = {
            (one if one == "T" else one.lower()): one
            for one in left
            if 1 < math.prod(size := arrays[left[one][0]].shape) == max(size)
        }
        lower = rows | {one: one for one in left if one != "T"}
        match = None if role in found else next((lower[one] for one in usual if one in lower), None)
        if match is not None and len(left[match]) > 1:
            raise ValueError(
                f"{role} may be any of {', '.join(left[match])}; say which with {setting('names')}, as "
                f"{{{role}: {left[match][0]}}}."
            )
        if match is not None:
            found[role] = left.pop(match)[0]
            if found[role] != role:
                notes.append(f"{found[role]} is taken as {'the times' if role == 't' else 'coordinates'} {role}")
    ours = {theirs: name for name, theirs in found.items()}
    result: dict[str, StoredArray] = {}
    for theirs, array in arrays.items():
        last = theirs.rsplit("/", 1)[-1]
        name = ours.get(theirs, last if len(short[last]) == 1 else theirs.replace("/", "_"))
        if name in result or (name in found and theirs not in ours):
            raise ValueError(f"two arrays would be called {name}; give one another name with {setting('names')}.")
        result[name] = array
    return result, notes


def skeleton(arrays: dict[str, StoredArray], wanted: Wanted) -> Skeleton:
    """What all fields share. Raises ValueError where it cannot be told, or is no grid."""
    names = [name for name in "xyz" if name in arrays]
    dims = len(names) or (0 if wanted.extent is None else len(wanted.extent))
    axes = list("xyz"[:dims])
    if names not in ([], axes) or not axes or ("t" not in arrays and wanted.dt is None):
        lacking = "coordinates" if not axes or names not in ([], axes) else "times"
        raise ValueError(f"the {lacking} are not found; {CURE}.")
    order, notes = order_of(wanted.axes, axes), []
    if "t" in arrays and arrays["t"].dtype.kind in "mM":
        arrays["t"], counted = _counted(arrays["t"].values)
        notes.append(counted)
    stored = {name: arrays[name] for name in (*names, "t") if name in arrays}
    times = _rows_of_times(arrays, order)
    rows = along_one_axis({name: one.values for name, one in stored.items() if name != "t" or times is None}, order)
    if times is not None:
        rows["t"] = times
    known = {name: int(row.shape[-1]) for name, row in rows.items()}
    if wanted.axes is None:
        order, said = _found_order(order, arrays, known)
        notes += said
    rows |= _made_up(order, arrays, known, wanted)
    sizes = {name: int(rows[name].shape[-1]) for name in ("t", *axes)}
    return Skeleton(Frame(order, sizes), rows, set(stored), tuple(notes))


def _counted(dates: Array) -> tuple[StoredArray, str]:
    """Dates or intervals in seconds; dates from the first one on. Raises ValueError where some are no date."""
    if bool(np.isnat(dates).any()):
        raise ValueError("t has entries that are no date (NaT); leave these states out.")
    if dates.dtype.kind == "m":
        return Held(dates / np.timedelta64(1, "s"), "seconds"), "t holds intervals, read in seconds"
    first = dates.min()
    said = f"t holds dates, read in seconds after the first one, {np.datetime_as_string(first, unit='s')}"
    return Held((dates - first) / np.timedelta64(1, "s"), "seconds"), said


def _rows_of_times(arrays: Mapping[str, StoredArray], order: str) -> Array | None:
    """Times of each trajectory, where they are two axes that the trajectories and times of a field are too."""
    times, single = arrays.get("t"), order.removeprefix("n")
    if times is None or times.ndim != 2 or times.shape[0] < 2 or single[0] != "t" or times.dtype.kind not in "fiu":
        return None
    longest = len(single) + 1
    if not any(one.ndim >= longest and one.shape[:2] == times.shape for one in arrays.values()):
        return None
    rows = times.values
    return rows if bool((rows != rows[:1]).any()) else None


def _fields_of(arrays: Mapping[str, StoredArray], order: str) -> list[tuple[int, ...]]:
    """Shapes of arrays that may change in time."""
    return [
        one.shape
        for name, one in arrays.items()
        if name not in ROLES and one.dtype.kind in (*REAL, "c") and one.ndim >= len(order)
    ]


def _found_order(order: str, arrays: Mapping[str, StoredArray], known: Mapping[str, int]) -> tuple[str, list[str]]:
    """Another order than times first, where that fits no array that may be a field, and one other fits them all."""
    shapes = _fields_of(arrays, order)
    frame = Frame(order, known)
    if set(known) != set(order) or not shapes or any(frame.readings(shape) for shape in shapes):
        return order, []
    fitting = [frame.fitting_orders(shape) for shape in shapes]
    every = set(fitting[0]).intersection(*fitting[1:])
    if len(every) != 1:
        return order, []
    (found,) = every
    return found, [f"the axes of the fields come in the order {found!r}, as their lengths say"]


def _made_up(
    order: str, arrays: Mapping[str, StoredArray], known: Mapping[str, int], wanted: Wanted
) -> dict[str, Array]:
    """Coordinates from the ends of the domain, times from the step, where the file has none."""
    lacking = [name for name in order if name not in known and name not in "nc"]
    if not lacking:
        return {}
    whole = order if "n" in order else f"n{order}"
    shape = next((one for one in _fields_of(arrays, order) if len(one) in (len(whole), len(whole) - 1)), None)
    if shape is None:
        raise ValueError(
            f"no array has the axes {', '.join(order)} of a field; say their order with {setting('axes')}."
        )
    sizes = dict(zip(whole if len(shape) == len(whole) else whole.replace("n", ""), shape, strict=True))
    rows: dict[str, Array] = {}
    for name in lacking:
        if name == "t":
            assert wanted.dt is not None
            rows[name] = wanted.dt * np.arange(sizes[name])
            continue
        row = wanted.row("xyz".index(name), sizes[name])
        if row is None:
            raise ValueError(f"the coordinates {name} are not found; {CURE}.")
        rows[name] = row
    return rows


def with_parts(arrays: Mapping[str, StoredArray]) -> tuple[dict[str, StoredArray], list[str]]:
    """Real and imaginary parts in place of complex arrays, and notes that say so.

    Raises ValueError where an array is called as a part already.
    """
    twice = [
        name for name, one in arrays.items() if one.dtype.kind == "c" and {f"{name}_re", f"{name}_im"} & {*arrays}
    ]
    if twice:
        raise ValueError(
            f"{twice[0]} is complex, and its parts would be called {twice[0]}_re and {twice[0]}_im, as another array "
            "is; give one of them another name in the file."
        )
    found: dict[str, StoredArray] = {}
    notes = []
    for name, array in arrays.items():
        if array.dtype.kind == "c":
            found |= {f"{name}_re": Part(array, np.real), f"{name}_im": Part(array, np.imag)}
            notes.append(f"{name} is complex and read as two fields, {name}_re and {name}_im")
        else:
            found[name] = array
    return found, notes
