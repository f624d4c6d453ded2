"""Trajectories into an npz file, under the keys of docs/data.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cotwin.data.formats.npz import KNOWN
from cotwin.data.stored.contents import Array
from cotwin.data.stored.numbers import OWN_TIMES
from cotwin.data.trajectories import Trajectories
from cotwin.data.writing.written import (
    WrittenField,
    WrittenNumber,
    fields_of,
    known_of,
    require_names,
    row_of,
    times_of,
)
from cotwin.layout import Layout


def write_npz(path: Path, trajectories: Trajectories) -> None:
    """States with coordinates, times, boundaries, units and what is given.

    Raises ValueError for names that npz keeps for something else, and where states lie beside the frames.
    """
    layout, frames = trajectories.layout, trajectories.num_frames
    arrays: dict[str, Any] = {}
    given = known_of(trajectories)
    require_names([field.name for field in layout.fields], given, KNOWN, "npz files")
    for one in fields_of(trajectories):
        arrays |= _of_field(one, layout, frames)
    for name, known in given.items():
        arrays |= _of_number(name, known)
    axes = "xyz"[: layout.dims]
    arrays |= {
        "t": times_of(trajectories),
        "t_unit": layout.time_unit,
        "boundary": [layout.sides(axis) for axis in range(layout.dims)],
        "centring": list(layout.centring),
    }
    for axis, name in enumerate(axes):
        arrays |= {name: row_of(layout, axis), f"{name}_unit": layout.space_unit}
    with path.open("xb") as file:
        np.savez(file, **arrays)


def _of_field(one: WrittenField, layout: Layout, frames: int) -> dict[str, Any]:
    """A vector with its components last; where it has more or fewer than there are axes, each is a field."""
    names = [layout.channel_names[channel] for channel in layout.channels_of(one.field.name)]
    axis, vector = len(one.order), one.field.components == layout.dims > 1

    def parts(values: Array) -> list[Array]:
        if one.order == "n":
            # A static field that differs between trajectories is none in these files.
            values = np.repeat(values[:, None], frames, axis=1)
        here = axis + (one.order == "n")
        return [np.moveaxis(values, here, -1)] if vector else list(np.moveaxis(values, here, 0))

    named = dict(zip([one.field.name] if vector else names, parts(one.values), strict=True))
    units = {f"{name}_unit": one.field.unit for name in named}
    masks = [] if one.observed is None else parts(one.observed)
    return named | units | {f"{name}_mask": mask for name, mask in zip(named, masks, strict=False)}


def _of_number(name: str, known: WrittenNumber) -> dict[str, Any]:
    """[N, 1], [1, T] or [N, T], which no lengths can confuse; with times of its own [J] or [N, J]."""
    if known.times is not None:
        return {name: known.values, f"{name}{OWN_TIMES}": known.times}
    if known.order in ("n", "t"):
        return {name: known.values[:, None] if known.order == "n" else known.values[None]}
    return {name: known.values}
