"""The trajectories of several files as one set: each with its own length, and steps that are multiples of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.data.between import Between
from cotwin.data.between import joined as joined_between
from cotwin.data.stored.contents import setting
from cotwin.data.trajectories import Trajectories
from cotwin.given import Course, Given, joined
from cotwin.pieces import copied
from cotwin.sensors import joined as joined_sensors

TOLERANCE = 1e-3
"""Of a step, by which a file's may differ from a whole multiple of the shortest."""


def together(parts: Sequence[Trajectories], source: str) -> Trajectories:
    """The trajectories of several files as one set, numbered through; each with its own length, and steps that are
    whole multiples of the shortest. Raises ValueError for another grid, fields or things given.
    """
    precision = max((part.states.dtype for part in parts), key=lambda dtype: dtype.itemsize)
    dt = min(part.layout.dt for part in parts)
    factors = [round(part.layout.dt / dt) for part in parts]
    first = parts[0]
    for part, factor in zip(parts, factors, strict=True):
        if abs(part.layout.dt / dt - factor) > TOLERANCE * factor:
            raise ValueError(
                f"{part.source}: its time step {part.layout.dt:.6g} is no multiple of {dt:.6g}, another file's; give "
                f"one for all with {setting('dt')}: states beside it are used at their own times."
            )
        if replace(part.layout, dt=dt) != replace(first.layout, dt=dt):
            raise ValueError(
                f"{part.source} and {first.source} have other fields, grids or boundaries; read them apart."
            )
        if (part.sensors is None) != (first.sensors is None):
            raise ValueError(f"{part.source} and {first.source}: only one is a table of readings; read them apart.")
        if part.given.names != first.given.names:
            only = ", ".join(sorted(part.given.names ^ first.given.names))
            raise ValueError(f"{part.source} and {first.source}: only one of them gives {only}; give it in each.")
    count = max((part.num_frames - 1) * factor + 1 for part, factor in zip(parts, factors, strict=True))
    whole, room = all(part.num_frames == count and part.mask is None for part in parts), first.room
    shape = (sum(map(len, parts)), count, *first.layout.state_shape)
    states = room.zeros(shape, precision, source)
    mask = None if whole else room.zeros(shape, torch.bool, f"what of {source} was observed")
    begin = 0
    for part, factor in zip(parts, factors, strict=True):
        own = slice(begin, begin + len(part))
        _spread(part, factor, states[own], None if mask is None else mask[own])
        begin += len(part)
    given = joined(list(_stretched([part.given for part in parts], factors, count, first.layout.grid)))
    return Trajectories(
        states,
        replace(first.layout, dt=dt),
        mask,
        source,
        (*dict.fromkeys(note for part in parts for note in part.notes), *_in_time(parts)),
        replace(given, trajectory=torch.cat(list(_numbered(parts)))).to(precision),
        joined_between([(_in(part.between, precision), len(part)) for part in parts], factors),
        room,
        sensors=joined_sensors([(part.sensors, len(part)) for part in parts], factors),
    )


def _in_time(parts: Sequence[Trajectories]) -> Iterator[str]:
    """A note where each file begins within two steps' change of where the one before it ends."""
    moving = [channel for channel, static in enumerate(parts[0].layout.static_channels) if not static]
    if any(len(part) > 1 or part.num_frames < 2 or part.mask is not None for part in parts):
        return
    for before, after in pairwise(parts):
        last, change = before.states[0, -1, moving], before.states[0, -1, moving] - before.states[0, -2, moving]
        if (after.states[0, 0, moving] - last).norm() > 2 * change.norm():
            return
    yield (
        f"{parts[1].source} begins where {parts[0].source} ends: read as {len(parts)} trajectories. If they are "
        "parts of one, join them along time first, in xarray by open_mfdataset, in numpy by concatenate"
    )


def _in(between: Between | None, precision: torch.dtype) -> Between | None:
    return None if between is None else replace(between, states=between.states.to(precision))


def _numbered(parts: Sequence[Trajectories]) -> Iterator[Int[Tensor, " N"]]:
    """The numbers of trajectories, which go on from one file to the next."""
    first = 0
    for part in parts:
        yield part.given.trajectory + first
        first += int(part.given.trajectory.max()) + 1


def _spread(
    part: Trajectories, factor: int, states: Float[Tensor, "N F C *S"], mask: Bool[Tensor, "N F C *S"] | None
) -> None:
    """Put states at every so many of the frames, zero and not observed at others; static channels are everywhere."""
    last = factor * (part.num_frames - 1) + 1
    copied(part.states, states[:, :last:factor])
    fixed = [channel for channel, static in enumerate(part.layout.static_channels) if static]
    if mask is not None and part.mask is not None:
        copied(part.mask, mask[:, :last:factor])
    elif mask is not None:
        mask[:, :last:factor] = True
    for channel in fixed:
        states[:, :, channel] = part.states[:, :1, channel]
        if mask is not None:
            mask[:, :, channel] = True


def _stretched(parts: Sequence[Given], factors: Sequence[int], count: int, grid: tuple[int, ...]) -> Iterator[Given]:
    """With courses at every frame of finer steps, up to so many, their last values going on.

    What is a course or a field in one of them is one in all; courses are known at as many times in each interval.
    """
    courses = {name for part in parts for name in part.inputs}
    fields = {name for part in parts for name, values in part.conditions.items() if values.dim() > 1}
    fields |= {name for part in parts for name, course in part.inputs.items() if course.values.dim() > 2}

    def wide(name: str, values: Tensor, leading: int) -> Tensor:
        if name not in fields or values.dim() > leading:
            return values
        return values.view(*values.shape, *[1] * len(grid)).expand(*values.shape, *grid)

    for part, factor in zip(parts, factors, strict=True):
        steady = {
            name: Course(value[:, None].expand(-1, 2, *value.shape[1:])) for name, value in part.conditions.items()
        }
        inputs = {}
        for name in courses:
            known = part.inputs.get(name) or steady[name]
            each = math.lcm(*(round(one.inputs[name].per_step) for one in parts if name in one.inputs))
            knots = torch.arange(known.values.shape[1]) * factor * (each // round(known.per_step))
            values = torch.stack([_linear(own, knots, (count - 1) * each + 1) for own in known.values])
            inputs[name] = Course(wide(name, values, 2), each)
        conditions = {name: wide(name, one, 1) for name, one in part.conditions.items() if name not in courses}
        yield replace(part, frame=part.frame * factor, conditions=conditions, inputs=inputs)


def _linear(values: Float[Tensor, "T *S"], places: Int[Tensor, " T"], count: int) -> Float[Tensor, "F *S"]:
    """Between the places, and as at the last one after it."""
    wanted = torch.arange(count)
    above = torch.searchsorted(places, wanted).clamp(1, len(places) - 1)
    below = above - 1
    along = ((wanted - places[below]) / (places[above] - places[below])).clamp(0, 1).to(values)
    return torch.lerp(values[below], values[above], along.view(-1, *[1] * (values.dim() - 1)))
