"""Trajectories in numpy's npz files, without pickles. The keys are documented in docs/data.md."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from cotwin.data.contents import Array, Axis, Contents, StoredField


@contextmanager
def open_npz(path: str | Path) -> Iterator[Contents]:
    """What an npz file holds. It is read whole: compressed arrays cannot be read in part."""
    source = str(path)
    arrays, unreadable = _load(path)
    names = [name for name in "xyz" if name in arrays]
    if names != list("xyz"[: len(names)]) or not names or "t" not in arrays:
        raise ValueError(
            f"{source}: needs coordinates x (and y, z) and times t, and has "
            f"{ {name: array.shape for name, array in arrays.items()} }; docs/data.md lists the keys."
        )
    for name in (*names, "t"):
        if arrays[name].ndim != 1 or arrays[name].size == 0 or arrays[name].dtype.kind not in "fiu":
            raise ValueError(
                f"{source}: {name} has shape {arrays[name].shape} and type {arrays[name].dtype}; coordinates "
                "and times are real numbers along one axis."
            )
    frame = _Frame(len(arrays["t"]), tuple(len(arrays[name]) for name in names))
    fields, misfits = _fields(arrays, frame)
    count = max((_count(frame, field.shape) for field in fields), default=1)
    fitting = [field for field in fields if field.static or _count(frame, field.shape) == count]
    for field in fields:
        if field not in fitting:
            misfits[field.name] = (
                f"array {field.name!r} has shape {field.shape}, one trajectory, where others have {count}."
            )
    yield Contents(
        source=source,
        format="npz",
        axes=_axes(arrays, names, source),
        times=arrays["t"][None],
        num_trajectories=count,
        fields=tuple(fitting),
        time_unit=_unit(arrays, "t"),
        scalars={
            name: np.full((count, frame.times), float(array))
            for name, array in arrays.items()
            if array.ndim == 0 and array.dtype.kind in "fiu"
        },
        misfits=unreadable | misfits,
    )


def _load(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of the file, and for those that cannot be read the reason."""
    arrays: dict[str, Array] = {}
    unreadable: dict[str, str] = {}
    cure = "it may be truncated: copy it again."
    with Path(path).open("rb") as file:
        if not is_zipfile(file):
            raise ValueError(f"{path}: not a whole npz file; {cure}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                try:
                    arrays[name] = np.asarray(archive[name])
                except ValueError as error:
                    unreadable[name] = f"array {name!r} cannot be read: {error}."
    except (BadZipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a whole npz file ({error}); {cure}") from error
    return arrays, unreadable


@dataclass(frozen=True)
class _Frame:
    """The axes that every field shares."""

    times: int
    grid: tuple[int, ...]

    def readings(self, shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], bool]]:
        """Each way to see a shape as a field: its axes before the grid, and whether it is a vector."""
        dims, found = len(self.grid), []
        for vector in (False, True):
            if vector and (not shape or shape[-1] != dims):
                continue
            scalar = shape[:-1] if vector else shape
            lead, grid = scalar[: max(len(scalar) - dims, 0)], scalar[-dims:]
            if grid == self.grid and (lead == () or (len(lead) <= 2 and lead[-1] == self.times)):
                found.append((lead, vector))
        return found

    def expected(self) -> str:
        axes = ", ".join("xyz"[: len(self.grid)])
        return (
            f"[N, T, {axes}], [T, {axes}] or, static, [{axes}], with T = {self.times} and grid {self.grid}, "
            f"and for a vector a last axis of {len(self.grid)}"
        )


def _fields(arrays: dict[str, Array], frame: _Frame) -> tuple[list[StoredField], dict[str, str]]:
    """The arrays that are fields, and for the others the reason."""
    fields, misfits = [], {}
    for name, array in arrays.items():
        if name in ("x", "y", "z", "t", "mask", "boundary") or array.ndim == 0:
            continue
        if any(name.endswith(ending) and name.removesuffix(ending) in arrays for ending in ("_mask", "_unit")):
            continue
        readings = frame.readings(array.shape)
        if array.dtype.kind not in "fiub":
            misfits[name] = f"array {name!r} has type {array.dtype}; a field holds real numbers."
        elif len(readings) != 1:
            fits = "no field" if not readings else "a field in more than one way"
            misfits[name] = f"array {name!r} of shape {array.shape} is {fits}; expected {frame.expected()}."
        else:
            mask = arrays.get(f"{name}_mask", arrays.get("mask") if readings[0][0] else None)
            problem = _mask_problem(name, array, mask, readings[0][1])
            if problem is None:
                fields.append(_field(name, array, mask, readings[0], _unit(arrays, name)))
            else:
                misfits[name] = problem
    return fields, misfits


def _mask_problem(name: str, array: Array, mask: Array | None, vector: bool) -> str | None:
    shapes = (array.shape, array.shape[:-1]) if vector else (array.shape,)
    if mask is None or (mask.dtype == bool and mask.shape in shapes):
        return None
    return (
        f"the mask of {name!r} has shape {mask.shape} and type {mask.dtype}; expected bool and "
        f"{' or '.join(map(str, shapes))}."
    )


def _field(
    name: str, array: Array, mask: Array | None, reading: tuple[tuple[int, ...], bool], unit: str
) -> StoredField:
    lead, vector = reading
    return StoredField(
        name=name,
        shape=array.shape,
        dtype=str(array.dtype),
        components=array.shape[-1] if vector else 1,
        static=not lead,
        read=_reader(array, len(lead), vector),
        observed=None if mask is None else _reader(mask, len(lead), vector and mask.ndim == array.ndim),
        per_trajectory=len(lead) == 2,
        unit=unit,
    )


def _reader(array: Array, lead: int, vector: bool) -> Callable[[int], Array]:
    """Reads one trajectory as (T, components, *grid); `lead` axes stand before the grid."""
    full = array if vector else array[..., None]

    def read(index: int) -> Array:
        values = full[index] if lead == 2 else full
        return np.moveaxis(values if lead else values[None], -1, 1)

    return read


def _count(frame: _Frame, shape: tuple[int, ...]) -> int:
    (lead, _), *_ = frame.readings(shape)
    return lead[0] if len(lead) == 2 else 1


def _axes(arrays: dict[str, Array], names: list[str], source: str) -> tuple[Axis, ...]:
    said: list[str | None] = [None] * len(names)
    if "boundary" in arrays:
        words = [str(word).lower() for word in np.atleast_1d(arrays["boundary"])]
        if len(words) not in (1, len(names)):
            raise ValueError(f"{source}: boundary holds {words} for the axes {names}; give one, or one for each.")
        said = [*words] * (len(names) // len(words))
    return tuple(Axis(name, arrays[name], word, _unit(arrays, name)) for name, word in zip(names, said, strict=True))


def _unit(arrays: dict[str, Array], name: str) -> str:
    return str(arrays[f"{name}_unit"]) if f"{name}_unit" in arrays else "1"
