"""Coordinates that fall, and the fields with them, the other way round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cotwin.data.stored.contents import Array, Contents, Read, StoredField


def rising(contents: Contents) -> Contents:
    """What a file holds with every axis that falls reversed, along with all fields; a note says so."""
    falling = [index for index, axis in enumerate(contents.axes) if _falls(axis.coordinates)]
    if not falling:
        return contents
    axes = list(contents.axes)
    for index in falling:
        axes[index] = replace(axes[index], coordinates=axes[index].coordinates[::-1])
    notes = (f"coordinates {axes[index].name} fall, and were reversed together with the fields" for index in falling)
    return replace(
        contents,
        axes=tuple(axes),
        fields=tuple(_reversed(field, tuple(index + 2 for index in falling)) for field in contents.fields),
        notes=(*contents.notes, *notes),
    )


def _falls(values: Array) -> bool:
    return len(values) > 1 and values.dtype.kind in "fiu" and bool((np.diff(values.astype(np.float64)) < 0).all())


def _reversed(field: StoredField, axes: tuple[int, ...]) -> StoredField:
    def along(read: Read) -> Read:
        return lambda index, frames: np.flip(read(index, frames), axes)

    return replace(field, read=along(field.read), observed=None if field.observed is None else along(field.observed))
