"""Trajectories in numpy's npz files, without pickles. The keys are documented in docs/data.md."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from cotwin.data.archive import Member, open_archive
from cotwin.data.boundaries import FROM_END_TO_END
from cotwin.data.contents import Array, Axis, Contents, Read, StoredField, setting
from cotwin.data.coordinates import along_one_axis
from cotwin.data.foreign import CURE
from cotwin.data.numbers import numbers_of
from cotwin.data.reading import Frame, Reading, order_of

IF_GIVEN = f"If it is given, and no state, name it in {setting('given')} or as {{given: NAME}}"
KNOWN = ("x", "y", "z", "t", "mask", "boundary", "centring")


@contextmanager
def open_npz(path: str | Path, axes: str | None = None) -> Iterator[Contents]:
    """What an npz file holds; its fields are unpacked only when asked.

    axes: the order of the axes of its fields, such as "xt"; times first if not given.
    """
    with open_archive(path) as (arrays, unreadable):
        yield _contents(arrays, unreadable, str(path), axes)


def _contents(arrays: dict[str, Member], unreadable: dict[str, str], source: str, axes: str | None) -> Contents:
    names = [name for name in "xyz" if name in arrays]
    if names != list("xyz"[: len(names)]) or not names or "t" not in arrays:
        raise ValueError(
            f"{source}: needs coordinates x (and y, z) and times t, and has "
            f"{ {name: array.shape for name, array in arrays.items()} }; open it with np.load and {CURE}"
        )
    try:
        order = order_of(axes, names)
        rows = along_one_axis({name: arrays[name].values for name in (*names, "t")}, order)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    frame = Frame(order, {name: len(row) for name, row in rows.items()})
    fields, misfits = _fields(arrays, unreadable, frame, asked=axes is not None)
    count = max((number for _, number in fields), default=1)
    given = _alike(fields, frame, count, misfits)
    numbers = numbers_of(
        {name: array for name, array in arrays.items() if name in misfits or (array.ndim == 0 and name not in KNOWN)},
        count,
        frame.sizes["t"],
    )
    rest = {name: array for name, array in arrays.items() if name in misfits and name not in numbers.taken}
    given += _static_of_each(rest, frame, count, misfits)
    said, centred = _boundaries(arrays, names, source), _centrings(arrays, names, source)
    return Contents(
        source=source,
        format="npz",
        axes=tuple(Axis(name, rows[name], said[name], _unit(arrays, name), centred[name]) for name in names),
        times=rows["t"][None],
        num_trajectories=count,
        fields=(*(field for field, _ in fields if field.name not in misfits), *given),
        time_unit=_unit(arrays, "t"),
        scalars=numbers.scalars,
        courses=numbers.courses,
        misfits=unreadable
        | {name: why + numbers.hints.get(name, "") for name, why in misfits.items() if name not in numbers.taken}
        | numbers.refused,
        notes=() if axes else tuple(_assumed(arrays, names)),
    )


def _alike(
    fields: list[tuple[StoredField, int]], frame: Frame, count: int, misfits: dict[str, str]
) -> list[StoredField]:
    """Fields that are the same in all trajectories. They may be given, but are no state, as `misfits` then says."""
    found = []
    for field, number in fields:
        name, shape = field.name, field.shape
        if field.static or number == count:
            continue
        misfits[name] = f"array {name!r} has shape {shape}, {number} of {count} trajectories"
        if number > 1:
            misfits[name] += "; give all of them, or leave it out."
        elif count == frame.sizes["t"] and not field.per_trajectory:
            misfits[name] += (
                f", or one static field of each, as there are {count} times too: give it as {(1, *shape)} or "
                f"{(count, 1, *shape[1:])}."
            )
        else:
            misfits[name] += f". {IF_GIVEN}: it is the same in all then. Else give it for each."

            def read(_: int, frames: slice, only: Read = field.read) -> Array:
                return only(0, frames)

            found.append(replace(field, read=read))
    return found


def _static_of_each(
    arrays: dict[str, Member], frame: Frame, count: int, misfits: dict[str, str]
) -> list[StoredField]:
    """Static fields that differ between trajectories, [N, x, …] or [N, 1, x, …]: likewise."""
    order, found = frame.order.replace("n", "").replace("t", ""), []
    sizes, reading = tuple(frame.sizes[axis] for axis in order), Reading(f"n{order}", vector=False)
    for name, array in arrays.items():
        whole = (count, *sizes) if count != frame.sizes["t"] else None
        if count == 1 or array.dtype.kind not in "fiub" or array.shape not in (whole, (count, 1, *sizes)):
            continue
        misfits[name] = f"array {name!r} of shape {array.shape} is a static field of each trajectory. {IF_GIVEN}."

        def read(index: int, frames: slice, array: Member = array) -> Array:
            return reading.read(array.values.reshape(count, *sizes), index, frames)

        found.append(StoredField(name, array.shape, str(array.dtype), 1, True, read, order=reading.order))
    return found


def _assumed(arrays: dict[str, Member], names: list[str]) -> Iterator[str]:
    """The order of space axes of one length; neither a field's shape nor 1-D coordinates speak of it."""
    for one, other in itertools.pairwise(names):
        first, second = arrays[one].shape, arrays[other].shape
        if math.prod(first) == math.prod(second) == max(first, default=0) == max(second, default=0):
            yield (
                f"{one} and {other} have {max(first)} points each, and {one} is taken to come before {other} in the "
                f"fields; where {other} comes first, as np.meshgrid has it, say so with {setting('axes')}"
            )


def _fields(
    arrays: dict[str, Member], unreadable: dict[str, str], frame: Frame, asked: bool
) -> tuple[list[tuple[StoredField, int]], dict[str, str]]:
    """The arrays that are fields, each with its number of trajectories, and for the others the reason."""
    fields, misfits = [], {}
    for name, array in arrays.items():
        if name in KNOWN or array.ndim == 0:
            continue
        if any(name.endswith(ending) and name.removesuffix(ending) in arrays for ending in ("_mask", "_unit")):
            continue
        readings = frame.readings(array.shape)
        if array.dtype == bool and name.endswith("_mask"):
            misfits[name] = f"array {name!r} is a mask, and there is no field {name.removesuffix('_mask')!r} for it."
        elif array.dtype.kind == "c":
            misfits[name] = (
                f"array {name!r} has type {array.dtype}; a field holds real numbers: give real and imaginary part as "
                "two fields."
            )
        elif array.dtype.kind not in "fiub":
            misfits[name] = f"array {name!r} has type {array.dtype}; a field holds real numbers."
        elif len(readings) != 1:
            fits = "no field" if not readings else "a field in more than one way"
            misfits[name] = f"array {name!r} of shape {array.shape} is {fits}; expected {frame.expected()}."
            fitting = [] if readings else frame.fitting_orders(array.shape)
            if fitting:
                misfits[name] += f" It fits in the order {fitting[0]}: say so with {setting('axes')}."
        else:
            (reading,) = readings
            masks = [f"{name}_mask", *(["mask"] if "t" in reading.order else [])]
            chosen = next((one for one in masks if one in arrays or one in unreadable), "")
            mask = arrays.get(chosen)
            problem = unreadable.get(chosen) or _mask_problem(name, array, mask, reading)
            if problem is None:
                others = () if asked else tuple(frame.other_orders(array.shape, reading))
                field = _field(name, array, mask, reading, others, _unit(arrays, name))
                fields.append((field, reading.count(array.shape)))
            else:
                misfits[name] = problem
    return fields, misfits


def _mask_problem(name: str, array: Member, mask: Member | None, reading: Reading) -> str | None:
    shapes = (array.shape, array.shape[:-1]) if reading.vector else (array.shape,)
    if mask is None or (mask.dtype == bool and mask.shape in shapes):
        return None
    return (
        f"the mask of {name!r} has shape {mask.shape} and type {mask.dtype}; expected bool and "
        f"{' or '.join(map(str, shapes))}."
    )


def _field(
    name: str, array: Member, mask: Member | None, reading: Reading, others: tuple[str, ...], unit: str
) -> StoredField:
    def read(index: int, frames: slice) -> Array:
        return reading.read(array.values, index, frames)

    def observed(index: int, frames: slice) -> Array:
        assert mask is not None
        return Reading(reading.order, reading.vector and mask.ndim == array.ndim).read(mask.values, index, frames)

    return StoredField(
        name=name,
        shape=array.shape,
        dtype=str(array.dtype),
        components=array.shape[-1] if reading.vector else 1,
        static="t" not in reading.order,
        read=read,
        observed=None if mask is None else observed,
        per_trajectory="n" in reading.order,
        unit=unit,
        order=reading.order,
        other_orders=others,
    )


def _centrings(arrays: dict[str, Member], names: list[str], source: str) -> dict[str, str | None]:
    if "centring" not in arrays:
        return dict.fromkeys(names)
    words = _words(arrays["centring"])
    if len(words) not in (1, len(names)):
        raise ValueError(f"{source}: centring holds {words} for the axes {names}; give one word, or one for each.")
    return dict(zip(names, words * (len(names) // len(words)), strict=True))


def _boundaries(arrays: dict[str, Member], names: list[str], source: str) -> dict[str, str | None]:
    if "boundary" not in arrays:
        return dict.fromkeys(names)
    stored = arrays["boundary"]
    words = [word.lower() for word in _words(stored)]
    if stored.shape == (len(names), 2):
        pairs = zip(words[::2], words[1::2], strict=True)
        words = [lower if lower == upper else f"{lower}{FROM_END_TO_END}{upper}" for lower, upper in pairs]
    if stored.dtype.kind not in "US" or len(words) not in (1, len(names)):
        raise ValueError(
            f"{source}: boundary holds {words} for the axes {names}; give one word, one for each axis, or a pair for "
            "each axis."
        )
    return dict(zip(names, words * (len(names) // len(words)), strict=True))


def _unit(arrays: dict[str, Member], name: str) -> str:
    unit = arrays.get(f"{name}_unit")
    return "1" if unit is None or unit.dtype.kind not in "US" else ", ".join(_words(unit))


def _words(stored: Member) -> list[str]:
    return [word.decode() if isinstance(word, bytes) else str(word) for word in np.ravel(stored.values)]
