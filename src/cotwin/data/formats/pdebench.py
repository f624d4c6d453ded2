"""PDEBench's HDF5 files, of each of its layouts.

Source: Takamoto et al. (2022), PDEBench, arXiv:2210.07182, and its generators. What is read stands in docs/data.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cotwin.data.formats.hdf5 import H5Array, damage_explained, member, opened
from cotwin.data.stored.arrays import Held, Stacked, StoredArray
from cotwin.data.stored.contents import Array, Contents
from cotwin.data.stored.named import Said, contents_of
from cotwin.data.stored.wanted import Wanted

FLOW = ("density", "pressure", "Vx", "Vy", "Vz")
AXES = "xyz"


def is_pdebench(file: Any) -> bool:
    """Whether an HDF5 file is in one of these layouts."""
    if any(f"{axis}-coordinate" in file for axis in "xt"):
        return any(name in file for name in ("tensor", *FLOW))
    return _is_numbered(file) or {"velocity", "particles", "t"} <= set(file)


@contextmanager
def open_pdebench(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What such a file holds; fields are read only when asked."""
    source = str(path)
    with opened(path) as file:
        with damage_explained(source, "in a layout of PDEBench"):
            if _is_numbered(file):
                contents = _numbered(file, wanted, source)
            elif "particles" in file:
                contents = _incompressible(file, wanted, source)
            else:
                contents = _with_coordinates(file, wanted, source)
        yield contents


def _with_coordinates(file: Any, wanted: Wanted, source: str) -> Contents:
    """`tensor`, or `density`, `pressure`, `Vx`, …: [N, T, x, …], with `x-coordinate` and so on."""
    names = [axis for axis in AXES if f"{axis}-coordinate" in file]
    arrays: dict[str, StoredArray] = {axis: H5Array(member(file, f"{axis}-coordinate"), source) for axis in names}
    fields = {name: H5Array(member(file, name), source) for name in ("tensor", *FLOW, "nu") if name in file}
    moving = [one.shape[1] for name, one in fields.items() if name != "nu" and one.ndim == len(names) + 2]
    if not moving or "t-coordinate" not in file or moving[0] < 2:
        raise ValueError("holds steady states, one of each sample; Cotwin learns what changes in time.")
    times, note = _as_many(member(file, "t-coordinate")[()], moving[0])
    arrays |= {"t": Held(times), **fields}
    # nu, a coefficient: [N, x, …], of each trajectory.
    return contents_of(arrays, {}, _ordered(wanted, "nt", names), source, "PDEBench's HDF5", Said(notes=note))


def _as_many(times: Array, count: int) -> tuple[Array, tuple[str, ...]]:
    """Times of so many states; PDEBench's generators write one more."""
    if len(times) != count + 1:
        return times, ()
    return times[:count], (f"t-coordinate has {count + 1} times for {count} states; the last is left out",)


def _numbered(file: Any, wanted: Wanted, source: str) -> Contents:
    """A group for each trajectory, 0000, 0001, …, with `data` [T, x, …, channel] and `grid`."""
    groups = sorted(name for name in file if name.isdigit())
    first = file[groups[0]]
    names = [axis for axis in AXES if axis in first["grid"]]
    grid = {name: member(first["grid"], name)[()] for name in (*names, "t")}
    datasets = []
    for name in groups:
        own = file[name]
        for axis, values in grid.items():
            if not np.array_equal(member(own["grid"], axis)[()], values):
                raise ValueError(f"grid/{axis} of {name} and of {groups[0]} differ; Cotwin needs one grid for all.")
        datasets.append(H5Array(member(own, "data"), source))
    arrays: dict[str, StoredArray] = {name: Held(np.asarray(values)) for name, values in grid.items()}
    # Of components as many as axes too: activator and inhibitor, not a vector.
    stacked = Stacked(datasets)
    parts = stacked.shape[-1]
    arrays |= {f"data_{i}" if parts > 1 else "data": _Component(stacked, i) for i in range(parts)}
    return contents_of(arrays, {}, _ordered(wanted, "nt", names), source, "PDEBench's HDF5")


def _incompressible(file: Any, wanted: Wanted, source: str) -> Contents:
    """`velocity` [N, T, x, y, 2], `particles` [N, T, x, y, 1], `force` [N, x, y, 2], `t` [N, T]; no coordinates."""
    arrays: dict[str, StoredArray] = {
        name: H5Array(member(file, name), source) for name in ("t", "velocity", "particles")
    }
    names = list(AXES[: arrays["velocity"].ndim - 3])
    if "force" in file:
        force = H5Array(member(file, "force"), source)
        arrays |= {f"force_{axis}": _Component(force, i) for i, axis in enumerate(names)}
    if wanted.extent is None:
        wanted = replace(wanted, extent=[(0.0, 1.0)] * len(names))
        note: tuple[str, ...] = (
            "it has no coordinates; the domain is taken as the unit square of PDEBench's generator",
        )
    else:
        note = ()
    return contents_of(arrays, {}, _ordered(wanted, "nt", names, "c"), source, "PDEBench's HDF5", Said(notes=note))


def _ordered(wanted: Wanted, before: str, names: Sequence[str], after: str = "") -> Wanted:
    return wanted if wanted.axes else replace(wanted, axes=f"{before}{''.join(names)}{after}")


def _is_numbered(file: Any) -> bool:
    first = next(iter(file), "")
    group = file.get(first) if first.isdigit() else None
    return isinstance(group, h5py.Group) and {"data", "grid"} <= set(group)


class _Component(StoredArray):
    """One entry of the last axis."""

    def __init__(self, whole: StoredArray, which: int) -> None:
        self.whole, self.which, self.dtype, self.unit = whole, which, whole.dtype, whole.unit
        self.shape = whole.shape[:-1]

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        return self.whole[(*index, *[slice(None)] * (self.ndim - len(index)), self.which)]
