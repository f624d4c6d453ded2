"""From the contents of a file to trajectories: fields chosen, grid placed, missing values judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cotwin.data.assembling.grid import Placement, place
from cotwin.data.assembling.orders import require_order
from cotwin.data.assembling.outside import given_of
from cotwin.data.assembling.precision import Precision, fitting_precision
from cotwin.data.assembling.tails import about_ends, ends_of, without_tails
from cotwin.data.assembling.times import NEAR, Frames
from cotwin.data.assembling.walls import contradictions
from cotwin.data.room import MEMORY, Room
from cotwin.data.stored.boundaries import boundaries, centrings
from cotwin.data.stored.contents import Contents, StoredField, as_type, setting
from cotwin.data.trajectories import Trajectories
from cotwin.layout import Boundary, Centring, Ends, Field, Layout
from cotwin.pieces import Moments, copied, is_finite, pieces

Missing = Literal["error", "mask"]
Walls = Literal["checked", "trusted"]


def assemble(
    contents: Contents,
    *,
    fields: Sequence[str] | None = None,
    boundary: Boundary | Sequence[Ends] | None = None,
    extent: Sequence[tuple[float, float]] | None = None,
    missing: Missing = "error",
    precision: Precision = "auto",
    walls: Walls = "checked",
    given: Sequence[str] = (),
    given_at: Sequence[str] = (),
    points: Centring | Sequence[Centring] | None = None,
    dt: float | None = None,
    dt_tolerance: float = NEAR,
    room: Room = MEMORY,
) -> Trajectories:
    """Trajectories of the chosen fields; `docs/data.md` explains the options.

    room: where the states are put, and whatever is made of them on the way.

    Raises ValueError, naming the file and the array, for whatever does not fit.
    """
    source = contents.source
    if contents.refusals:
        raise ValueError(f"{source}: {contents.refusals[0]}")
    if contents.num_trajectories == 0:
        raise ValueError(f"{source}: the fields hold no trajectory; there is nothing to learn.")
    given = (*given, *(name for name in contents.given if name not in (fields or ())))
    chosen = _choose(contents, fields, given)
    if extent is not None and len(extent) != len(contents.axes):
        raise ValueError(
            f"{source}: {setting('extent')} has {len(extent)} pairs, the file has the axes "
            f"{[axis.name for axis in contents.axes]}; give (lower, upper) for each."
        )
    frames = Frames.of(contents.times, contents.num_trajectories, source, dt or contents.dt, dt_tolerance)
    kinds = boundaries(contents, boundary)
    ends = extent if extent is not None else [axis.ends for axis in contents.axes]
    placed = centrings(contents, points)
    placements = [
        place(axis, kind, end, source, one)
        for axis, kind, end, one in zip(contents.axes, kinds, ends, placed, strict=True)
    ]
    states, mask = _gather(contents, chosen, room)
    lengths = ends_of(states, [field.static for field in chosen for _ in range(field.components)])
    mask = without_tails(states, mask, lengths, room)
    if missing == "mask":
        mask = _mask_missing(states, mask, chosen, source, room)
    notes = [*contents.notes, *about_ends(lengths, contents.num_frames)]
    states, mask = _without_repeats(states, mask, placements, contents)
    if mask is not None and mask.all():
        mask = None
    notes += [placement.note for placement in placements if placement.note is not None]
    if mask is not None:
        notes.append(f"{mask.numel() - int(mask.sum())} of {mask.numel()} values are not observed")
        for piece in pieces(states):
            # Zero instead of what the file had there: not a number times a weight of zero is not a number.
            piece.of(states).masked_fill_(~piece.of(mask), 0.0)
    units = {axis.unit for axis in contents.axes}
    if len(units) > 1:
        notes.append(f"the axes have several units ({', '.join(sorted(units))}), and none is converted")
    layout = _layout(contents, chosen, placements, tuple(states.shape[3:]), frames.dt)
    try:
        require_order(states, mask, layout, chosen)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    notes += _require_walls(states, mask, layout, walls, given_at, source)
    dtype, said = fitting_precision(states, mask, layout, precision)
    states, mask = _settled(states, dtype, room), None if mask is None else _settled(mask, mask.dtype, room)
    notes += said
    known = given_of(contents, given, layout, frames, lengths).to(states.dtype)
    left = [name for name in contents.scalars if name not in known.names]
    if left:
        notes.append(f"not finite in all trajectories, and left out: {', '.join(left)}")
    between = None
    if not frames.whole:
        states, mask, between = frames.spread(states, mask, layout.static_channels, room)
        mask = None if mask.all() else mask
        notes += frames.notes()
    trajectories = Trajectories(states, layout, mask, source, tuple(notes), known, between, room)
    if trajectories.in_file:
        trajectories.require_finite()
    return trajectories


def _choose(contents: Contents, names: Sequence[str] | None, given: Sequence[str]) -> list[StoredField]:
    known = {field.name: field for field in contents.fields if field.name not in given}
    there = {field.name for field in contents.fields}
    strange = [name for name in contents.misfits if not (name in given and name in there)]
    wanted = [*known, *strange] if names is None else list(names)
    for name in wanted:
        if name in contents.misfits:
            others = f" Or name the fields to read: {setting('fields')}, of {[one for one in known if one != name]}."
            cure = others if names is None and name not in given and set(known) - {name} else ""
            raise ValueError(f"{contents.source}: {contents.misfits[name]}{cure}")
        if name not in known:
            raise ValueError(f"{contents.source}: no field {name!r}; the file has {list(known)}.")
    if not wanted:
        raise ValueError(
            f"{contents.source}: all its fields are given ({', '.join(given)}), and none is left to be the state; "
            "give what is known under another name."
        )
    chosen = [known[name] for name in wanted]
    if all(field.static for field in chosen):
        raise ValueError(f"{contents.source}: no field in {wanted} changes in time; there is nothing to learn.")
    return chosen


def _gather(contents: Contents, chosen: list[StoredField], room: Room) -> tuple[Tensor, Tensor | None]:
    """States (N, T, C, *S), and where they were observed."""
    channels = sum(field.components for field in chosen)
    shape = (contents.num_trajectories, contents.num_frames, channels, *contents.grid)
    # What single precision holds exactly takes half the memory.
    exact = all(np.can_cast(field.dtype, np.float32) for field in chosen)
    states = room.zeros(shape, torch.float32 if exact else torch.float64, f"{contents.source}: what it holds")
    mask = None
    if any(field.observed is not None for field in chosen):
        mask = room.zeros(shape, torch.bool, f"{contents.source}: what of it was observed")
    for piece in pieces(states):
        start = 0
        for field in chosen:
            channel, frames = slice(start, start + field.components), slice(0, 1) if field.static else piece.frames
            for row in range(piece.rows.start, piece.rows.stop):
                values = as_type(field.read(row, frames), np.float32 if exact else np.float64)
                states[row, piece.frames, channel] = torch.from_numpy(values)
                if mask is not None:
                    seen = True if field.observed is None else torch.from_numpy(np.array(field.observed(row, frames)))
                    mask[row, piece.frames, channel] = seen
            start += field.components
    return states, mask


def _mask_missing(
    states: Tensor, mask: Tensor | None, chosen: list[StoredField], source: str, room: Room
) -> Tensor | None:
    """The mask without the values that are not finite."""
    if all(is_finite(piece.of(states)) for piece in pieces(states)):
        return mask
    known = room.zeros(states.shape, torch.bool, f"{source}: what of it was observed")
    for piece in pieces(states):
        finite, start = piece.of(states).isfinite(), 0
        for field in chosen:
            if field.static and not finite[:, :, start : start + field.components].all():
                raise ValueError(
                    f"{source}: static field {field.name!r} has values that are not finite, and every rollout "
                    "needs all of it; fill them in the file."
                )
            start += field.components
        piece.of(known).copy_(finite if mask is None else finite & piece.of(mask))
    return known


def _settled(states: Tensor, dtype: torch.dtype, room: Room) -> Tensor:
    """In a precision, one frame after the other."""
    if states.dtype == dtype and states.is_contiguous():
        return states
    return copied(states, room.zeros(states.shape, dtype, "what is read, in its precision"))


def _without_repeats(
    states: Tensor, mask: Tensor | None, placements: Sequence[Placement], contents: Contents
) -> tuple[Tensor, Tensor | None]:
    """Without a last point along a periodic axis that is the first one again."""
    for index, placement in enumerate(placements):
        if placement.boundary == "periodic":
            where = f"{contents.source}: along {contents.axes[index].name}"
            _require_period(states, mask, index + 3, where, placement)
        if placement.repeats:
            states = states.narrow(index + 3, 0, states.shape[index + 3] - 1)
            mask = None if mask is None else mask.narrow(index + 3, 0, mask.shape[index + 3] - 1)
    return states, mask


def _require_period(states: Tensor, mask: Tensor | None, axis: int, where: str, placement: Placement) -> None:
    """Raise ValueError where the values contradict what is said of the last point along a periodic axis."""
    across, along, spread = _differences(states, mask, axis)
    # Half a standard deviation: noise may part two readings of one point, another place parts them further.
    if placement.repeats and (across > 0.5 * spread).any():
        raise ValueError(
            f"{where}, by {setting('extent')}, the last point repeats the first, but their values differ by "
            f"{float((across / spread).max()):.0%} of the data's standard deviation; leave that out if the "
            "last point is one spacing before the first comes again."
        )
    # Neighbours across the ends of a period are as far apart as any others, unless they are one point.
    varying = along > 0
    if not placement.stated and varying.any() and (across < 1e-3 * along)[varying].all():
        lower, upper = placement.lower, placement.upper
        end = upper - (upper - lower) / states.shape[axis]
        raise ValueError(
            f"{where} the first and the last point hold the same values, so the period is in doubt; give "
            f"({lower:.6g}, {end:.6g}) as {setting('extent')} if the last repeats the first, otherwise "
            f"({lower:.6g}, {upper:.6g})."
        )


def _differences(states: Tensor, mask: Tensor | None, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each channel: how far the last point along an axis is from the first, the second from the first, and the
    standard deviation, of what is known."""
    every = [[Moments() for _ in range(states.shape[2])] for _ in range(3)]
    for piece in pieces(states):
        values = piece.of(states)
        known = values.isfinite() if mask is None else values.isfinite() & piece.of(mask)
        first, second, last = (values.select(axis, index).double() for index in (0, 1, -1))
        there = [known.select(axis, index) for index in (0, 1, -1)]
        for channel, (across, along, spread) in enumerate(zip(*every, strict=True)):
            across.add((last - first)[:, :, channel][(there[2] & there[0])[:, :, channel]])
            along.add((second - first)[:, :, channel][(there[1] & there[0])[:, :, channel]])
            spread.add(values[:, :, channel][known[:, :, channel]])
    across, along, spread = every
    return (
        torch.tensor([one.size for one in across]),
        torch.tensor([one.size for one in along]),
        torch.tensor([one.deviation for one in spread]),
    )


def _require_walls(
    states: Tensor, mask: Tensor | None, layout: Layout, walls: Walls, given_at: Sequence[str], source: str
) -> list[str]:
    """What speaks against the boundary; raises ValueError where that is sure, unless the caller trusts it."""
    notes = []
    for found in contradictions(states, mask, layout, given_at):
        if found.sure and walls == "checked":
            raise ValueError(
                f"{source}: {found.text}. If the wall is right all the same (a layer thinner than a cell, a model of "
                f"your own with other walls), say so: 'trusted' as {setting('walls')}."
            )
        notes.append(f"the data speak against the boundary: {found.text}")
    return notes


def _layout(
    contents: Contents,
    chosen: list[StoredField],
    placements: list[Placement],
    grid: tuple[int, ...],
    dt: float,
) -> Layout:
    units = {axis.unit for axis in contents.axes}
    return Layout.box(
        [Field(field.name, field.components, field.static, field.unit) for field in chosen],
        grid=grid,
        extent=[(placement.lower, placement.upper) for placement in placements],
        boundary=tuple(placement.boundary for placement in placements),
        centring=tuple(placement.centring for placement in placements),
        dt=dt,
        space_unit=units.pop() if len(units) == 1 else "1",
        time_unit=contents.time_unit,
    )
