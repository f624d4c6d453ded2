"""A state of each trajectory of a file, for a rollout of a model whose layout is known."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.assembling.orders import require_order
from cotwin.data.assembling.outside import given_of
from cotwin.data.assembling.times import Frames
from cotwin.data.formats.known import open_contents
from cotwin.data.stored.boundaries import said_by
from cotwin.data.stored.contents import ALL, Array, Axis, Contents, StoredField
from cotwin.data.stored.wanted import Wanted
from cotwin.given import Given
from cotwin.layout import Field, Layout

if TYPE_CHECKING:
    import xarray as xr


def read_initial(
    start: str | Path | xr.Dataset,
    layout: Layout,
    frame: int = 0,
    axes: str | None = None,
    given: Collection[str] = (),
    names: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Float[Tensor, "N C *S"], Given]:
    """The fields of a layout at one frame of every trajectory, from what may hold that frame alone.

    Fields are found by name; others may stand beside them. With them comes what else the file gives from that frame
    on, fields of the names in `given` among it.
    axes, names: as for `open_trajectories`; what has Cotwin's names needs none.
    Raises ValueError for a field that is missing or whose axes may come in another order, a grid or boundary that is
    not the layout's, a frame that is not there, and values that are missing or not finite.
    """
    extent = list(zip(layout.lower, layout.upper, strict=True))
    alone = Wanted({}, axes, extent, layout.boundary, layout.centring, layout.dt)
    with _opened(start, layout, [replace(alone, names=names), alone] if names else [alone]) as contents:
        if not 0 <= frame < contents.num_frames:
            raise ValueError(
                f"{contents.source} has no frame {frame}; its frames are 0 to {contents.num_frames - 1}."
            )
        if len(contents.axes) != layout.dims:
            raise ValueError(f"{contents.source} has {len(contents.axes)} axes, the model has {layout.dims}.")
        inside = (_along(axis, layout, index, contents.source) for index, axis in enumerate(contents.axes))
        points: tuple[Any, ...] = (..., *inside)
        fields = [_field(contents, field, layout, points, frame) for field in layout.fields]
        there = {*contents.scalars, *contents.courses, *(field.name for field in contents.fields)}
        frames = Frames.from_state(contents.times, contents.num_trajectories, frame, layout.dt)
        known = given_of(contents, sorted(there.intersection(given)), layout, frames)
    return torch.from_numpy(np.concatenate(fields, axis=1)), replace(known, frame=known.frame + frame)


@contextmanager
def _opened(start: str | Path | xr.Dataset, layout: Layout, ways: Sequence[Wanted]) -> Iterator[Contents]:
    """What a file holds, in the first way in which it has the fields of a layout; else in the last."""
    wanted = {field.name for field in layout.fields}
    for way in ways[:-1]:
        try:
            with open_contents(start, way) as contents:
                fits = wanted <= {field.name for field in contents.fields}
        except ValueError:
            continue  # the last way says what is wrong
        if fits:
            break
    else:
        way = ways[-1]
    with open_contents(start, way) as contents:
        yield contents


def _along(axis: Axis, layout: Layout, index: int, source: str) -> slice:
    """Which points of an axis are the layout's: all, but for a last one that repeats the first."""
    where = f"{source}: along {axis.name}"
    if said_by(axis) not in (None, layout.boundary[index]):
        raise ValueError(f"{where} the boundary is {axis.boundary!r}, the model's is {layout.boundary[index]!r}.")
    expected = np.array(layout.points(index))
    found = np.asarray(axis.coordinates, dtype=np.float64)
    repeats = layout.is_periodic(index) and len(found) == len(expected) + 1
    kept = found[: len(expected)] if repeats else found
    # As for the data of a training: coordinates are often rounded.
    if len(kept) != len(expected) or not (abs(kept - expected) < 0.01 * layout.spacing[index]).all():
        raise ValueError(
            f"{where} there are {len(found)} points from {found[0]:.6g} to {found[-1]:.6g}, the model has "
            f"{len(expected)} from {expected[0]:.6g} to {expected[-1]:.6g}; interpolate the state to these."
        )
    return slice(len(expected))


def _field(contents: Contents, wanted: Field, layout: Layout, points: tuple[Any, ...], frame: int) -> Array:
    """(N, components, *grid) at one frame."""
    known, name = {field.name: field for field in contents.fields}, wanted.name
    if name not in known:
        reason = contents.misfits.get(name, f"no field {name!r}; the file has {', '.join(known) or 'none'}")
        raise ValueError(f"{contents.source}: {reason}")
    field, count = known[name], contents.num_trajectories
    if field.components != wanted.components:
        raise ValueError(
            f"{contents.source}: field {name!r} has {field.components} components, the model's has "
            f"{wanted.components}."
        )
    if field.other_orders and contents.num_frames > 1:
        # All frames have to say in which order the axes come.
        every = np.stack([field.read(index, ALL) for index in range(count)])[points].astype(np.float64)
        alone = replace(layout, fields=(replace(wanted, static=False),))
        try:
            require_order(torch.from_numpy(every), None, alone, [field])
        except ValueError as error:
            raise ValueError(f"{contents.source}: {error}") from error
    values: Array = np.stack([_values(contents.source, field, index, frame) for index in range(count)])[points]
    return values


def _values(source: str, field: StoredField, trajectory: int, frame: int) -> Array:
    at = slice(frame, frame + 1)
    values = np.asarray(field.read(trajectory, at)[0], dtype=np.float64)
    seen = np.isfinite(values)
    if field.observed is not None:
        seen = seen & np.asarray(field.observed(trajectory, at)[0])
    if not seen.all():
        raise ValueError(
            f"{source}: {int((~seen).sum())} values of {field.name!r} in frame {frame} of trajectory {trajectory} "
            "are missing or not finite, and a rollout needs them all; choose another frame, or fill them."
        )
    return values
