"""Parts of what a file holds, so that looking at it takes little memory and time, however large it is."""

from __future__ import annotations

import math
from dataclasses import replace

from cotwin.data.stored.contents import Array, Contents, Read, StoredField

MOST = 2**26
"""Values of a field that are looked at; of larger ones as many, evenly spread."""
AT_ONCE = 2**21
"""Values that are read at once, unless one frame has more."""


def require_some(contents: Contents) -> None:
    """Raise ValueError where there is no trajectory, time or point."""
    sizes = (contents.num_trajectories, contents.num_frames, *contents.grid)
    if 0 in sizes:
        raise ValueError(
            f"{contents.source}: empty: {sizes[0]} trajectories, {sizes[1]} times, grid {sizes[2:]}; write it anew."
        )


def parts_of(contents: Contents, field: StoredField, most: int = MOST) -> tuple[list[tuple[int, slice]], int]:
    """Trajectories and slices of their frames, and how many there would be to look at all of them."""
    frame = field.components * math.prod(contents.grid)
    frames = 1 if field.static else contents.num_frames
    length = max(1, AT_ONCE // frame)
    starts = range(0, frames, length)
    count = len(starts) * (contents.num_trajectories if field.per_trajectory else 1)
    wanted = min(count, max(1, most // (frame * min(length, frames))))
    chosen = sorted({round(index * (count - 1) / max(wanted - 1, 1)) for index in range(wanted)})
    places = (divmod(one, len(starts)) for one in chosen)
    return [(row, slice(starts[at], min(starts[at] + length, frames))) for row, at in places], count


def beginning(contents: Contents, most: int) -> Contents:
    """The first frames of the first trajectories, of so many values at most, though of two frames at least."""
    frame = math.prod(contents.grid) * max(1, sum(one.components for one in contents.fields))
    frames = min(contents.num_frames, max(2, most // frame))
    count = min(contents.num_trajectories, max(1, most // (frame * frames)))
    if (count, frames) == (contents.num_trajectories, contents.num_frames):
        return contents
    return replace(
        contents,
        times=contents.times[:count, :frames],
        num_trajectories=count,
        fields=tuple(_beginning(one, frames) for one in contents.fields),
        scalars={name: one[:count, :frames] for name, one in contents.scalars.items()},
        courses={name: (times, values[:count]) for name, (times, values) in contents.courses.items()},
    )


def _beginning(field: StoredField, frames: int) -> StoredField:
    def cut(read: Read) -> Read:
        def first(index: int, chosen: slice) -> Array:
            return read(index, slice(*chosen.indices(frames)))

        return first

    return replace(field, read=cut(field.read), observed=None if field.observed is None else cut(field.observed))
