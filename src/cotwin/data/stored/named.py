"""From named arrays to what a file says: which are fields, which are given, by their shapes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cotwin.data.stored.arrays import REAL, StoredArray
from cotwin.data.stored.contents import Array, Axis, Contents, Read, StoredField, setting
from cotwin.data.stored.numbers import numbers_of
from cotwin.data.stored.reading import Frame, Reading
from cotwin.data.stored.roles import renamed, skeleton, with_parts
from cotwin.data.stored.wanted import ROLES, Wanted

MASKS = ("mask",)
MOST_NAMED = 12
IF_GIVEN = f"If it is given, and no state, name it in {setting('given')} or as {{given: NAME}}"


@dataclass(frozen=True)
class Said:
    """What a format says beside its arrays: of each axis by name, boundary and centring; and notes."""

    boundary: Mapping[str, str] = field(default_factory=dict)
    points: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


ARRAYS_ALONE = Said()


def contents_of(
    arrays: Mapping[str, StoredArray],
    unreadable: Mapping[str, str],
    wanted: Wanted,
    source: str,
    format: str,
    said: Said = ARRAYS_ALONE,
) -> Contents:
    """What a file of named arrays holds. unreadable: why others cannot be read.

    Raises ValueError, naming the file, where times or coordinates cannot be told.
    """
    try:
        split, complexes = with_parts(arrays)
        by_name, names_taken = renamed(split, wanted)
        bones = skeleton(by_name, wanted)
    except ValueError as error:
        raise ValueError(f"{source}: {error}{_what_there_is(arrays, unreadable)}") from error
    frame, axes = bones.frame, sorted(set(bones.rows) - {"t"})
    fields, misfits, several = _fields(by_name, unreadable, bones.taken, frame, wanted)
    count = max((number for _, number in fields), default=1)
    given = _alike(fields, frame, count, misfits)
    rest = {name: one for name, one in by_name.items() if name not in bones.taken}
    numbers = numbers_of(
        {name: one for name, one in rest.items() if name in misfits or one.ndim == 0}, count, frame.sizes["t"]
    )
    rest = {name: one for name, one in rest.items() if name in misfits and name not in numbers.taken}
    given += _static_of_each(rest, frame, count, misfits)
    units = {name: by_name[name].unit for name in bones.taken}
    assumed = () if wanted.axes else _assumed(by_name, [name for name in axes if name in bones.taken])
    return Contents(
        source=source,
        format=format,
        axes=tuple(
            Axis(name, bones.rows[name], said.boundary.get(name), units.get(name, "1"), said.points.get(name))
            for name in axes
        ),
        times=bones.rows["t"] if bones.rows["t"].ndim == 2 else bones.rows["t"][None],
        num_trajectories=count,
        fields=(*(one for one, _ in fields if one.name not in misfits), *given),
        time_unit=units.get("t", "1"),
        scalars=numbers.scalars,
        courses=numbers.courses,
        misfits={**unreadable}
        | {name: why + numbers.hints.get(name, "") for name, why in misfits.items() if name not in numbers.taken}
        | numbers.refused,
        notes=(*said.notes, *complexes, *names_taken, *bones.notes, *several, *assumed),
    )


def _what_there_is(arrays: Mapping[str, StoredArray], unreadable: Mapping[str, str]) -> str:
    shapes = [f"{name} {one.shape}" for name, one in itertools.islice(arrays.items(), MOST_NAMED)]
    more = ", …" if len(arrays) > MOST_NAMED else ""
    reason = next((f" Not read: {why.rstrip('.')}." for why in unreadable.values()), "")
    return f" It holds {', '.join(shapes) or 'no array of numbers'}{more}.{reason}"


def _alike(
    fields: list[tuple[StoredField, int]], frame: Frame, count: int, misfits: dict[str, str]
) -> list[StoredField]:
    """Fields that are the same in all trajectories. They may be given, but are no state, as `misfits` then says."""
    found = []
    for stored, number in fields:
        name, shape = stored.name, stored.shape
        if stored.static or number == count:
            continue
        misfits[name] = f"array {name!r} has shape {shape}, {number} of {count} trajectories"
        if number > 1:
            misfits[name] += "; give all of them, or leave it out."
        elif count == frame.sizes["t"] and not stored.per_trajectory:
            misfits[name] += (
                f", or one static field of each, as there are {count} times too: give it as {(1, *shape)} or "
                f"{(count, 1, *shape[1:])}."
            )
        else:
            misfits[name] += f". {IF_GIVEN}: it is the same in all then. Else give it for each."

            def read(_: int, frames: slice, only: Read = stored.read) -> Array:
                return only(0, frames)

            found.append(replace(stored, read=read))
    return found


def _static_of_each(
    arrays: Mapping[str, StoredArray], frame: Frame, count: int, misfits: dict[str, str]
) -> list[StoredField]:
    """Static fields that differ between trajectories, [N, x, …] or [N, 1, x, …]: likewise."""
    order, found = frame.order.translate(str.maketrans("", "", "ntc")), []
    sizes, reading = tuple(frame.sizes[axis] for axis in order), Reading(order)
    for name, array in arrays.items():
        whole = (count, *sizes) if count != frame.sizes["t"] else None
        if count == 1 or array.dtype.kind not in REAL or array.shape not in (whole, (count, 1, *sizes)):
            continue
        misfits[name] = f"array {name!r} of shape {array.shape} is a static field of each trajectory. {IF_GIVEN}."

        def read(index: int, frames: slice, array: StoredArray = array) -> Array:
            return reading.read(array[(index,)].reshape(sizes), 0, frames)

        found.append(StoredField(name, array.shape, str(array.dtype), 1, True, read, order=f"n{order}"))
    return found


def _assumed(arrays: Mapping[str, StoredArray], names: Sequence[str]) -> Iterator[str]:
    """The order of space axes of one length; neither a field's shape nor 1-D coordinates speak of it."""
    for one, other in itertools.pairwise(names):
        first, second = arrays[one].shape, arrays[other].shape
        if math.prod(first) == math.prod(second) == max(first, default=0) == max(second, default=0):
            yield (
                f"{one} and {other} have {max(first)} points each, and {one} is taken to come before {other} in the "
                f"fields; where {other} comes first, as np.meshgrid has it, say so with {setting('axes')}"
            )


def _fields(
    arrays: Mapping[str, StoredArray],
    unreadable: Mapping[str, str],
    taken: set[str],
    frame: Frame,
    wanted: Wanted,
) -> tuple[list[tuple[StoredField, int]], dict[str, str], list[str]]:
    """The arrays that are fields, each with its number of trajectories; for the others the reason; and notes."""
    fields: list[tuple[StoredField, int]] = []
    misfits, notes = {}, []
    asked = {theirs: ours for ours, theirs in wanted.names.items() if ours not in ROLES}
    for name, array in arrays.items():
        if name in taken or name in MASKS or array.ndim == 0:
            continue
        if name.endswith("_mask") and name.removesuffix("_mask") in arrays:
            continue
        readings = frame.readings(array.shape)
        problem = _no_field(name, array, readings, frame)
        if problem is not None:
            misfits[name] = problem
            continue
        (reading,) = readings
        masks = [f"{name}_mask", *(["mask"] if "t" in reading.order else [])]
        chosen = next((one for one in masks if one in arrays or one in unreadable), "")
        mask = arrays.get(chosen)
        problem = unreadable.get(chosen) or _mask_problem(name, array, mask, reading)
        if problem is not None:
            misfits[name] = problem
            continue
        others = () if wanted.axes else tuple(frame.other_orders(array.shape, reading))
        whole = _Whole(array, mask, reading, others, reading.of(array.shape, "n"))
        channels = reading.of(array.shape, "c")
        if channels in (1, frame.dims) and f"{name}_0" not in asked:
            fields.append((whole.field(name, slice(None)), whole.count))
            continue
        parts = [asked.get(f"{name}_{one}", f"{name}_{one}") for one in range(channels)]
        fields += [(whole.field(part, slice(one, one + 1)), whole.count) for one, part in enumerate(parts)]
        notes.append(f"{name} has {channels} components, read as the fields {', '.join(parts)}")
    found = {one.name for one, _ in fields}
    for theirs, ours in asked.items():
        if ours not in found and ours not in arrays:
            misfits[ours] = f"no array is called {theirs!r}, from which {setting('names')} takes {ours}."
    return fields, misfits, notes


def _no_field(name: str, array: StoredArray, readings: Sequence[Reading], frame: Frame) -> str | None:
    if array.dtype == bool and name.endswith("_mask"):
        return f"array {name!r} is a mask, and there is no field {name.removesuffix('_mask')!r} for it."
    if array.dtype.kind not in REAL:
        return f"array {name!r} has type {array.dtype}; a field holds real numbers."
    if len(readings) == 1:
        return None
    fits = "no field" if not readings else "a field in more than one way"
    fitting = [] if readings else frame.fitting_orders(array.shape)
    hint = f" It fits in the order {fitting[0]}: say so with {setting('axes')}." if fitting else ""
    return f"array {name!r} of shape {array.shape} is {fits}; expected {frame.expected()}.{hint}"


def _mask_problem(name: str, array: StoredArray, mask: StoredArray | None, reading: Reading) -> str | None:
    alone = tuple(size for size, axis in zip(array.shape, reading.order, strict=True) if axis != "c")
    if mask is None or (mask.dtype == bool and mask.shape in (array.shape, alone)):
        return None
    shapes = dict.fromkeys((array.shape, alone))
    return (
        f"the mask of {name!r} has shape {mask.shape} and type {mask.dtype}; expected bool and "
        f"{' or '.join(map(str, shapes))}."
    )


@dataclass(frozen=True)
class _Whole:
    """An array that is a field, or several, and how it is read. count: of trajectories."""

    array: StoredArray
    mask: StoredArray | None
    reading: Reading
    other_orders: tuple[str, ...]
    count: int

    def field(self, name: str, components: slice) -> StoredField:
        """A field of these components."""
        channels = range(self.reading.of(self.array.shape, "c"))[components]
        return StoredField(
            name=name,
            shape=self.array.shape,
            dtype=str(self.array.dtype),
            components=len(channels),
            static="t" not in self.reading.order,
            read=lambda index, frames: self.reading.read(self.array, index, frames, components),
            observed=None if self.mask is None else lambda index, frames: self._observed(index, frames, components),
            per_trajectory="n" in self.reading.order,
            unit=self.array.unit,
            order=self.reading.alone.order,
            other_orders=self.other_orders,
        )

    def _observed(self, index: int, frames: slice, components: slice) -> Array:
        assert self.mask is not None
        reading = self.reading if self.mask.ndim == self.array.ndim else self.reading.alone
        return reading.read(self.mask, index, frames, components)
