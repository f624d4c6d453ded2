"""The arrays of a file, listed: shapes, types, units, and of small ones what they hold."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from cotwin.data.inspection.summary import ArraySummary
from cotwin.data.stored.arrays import Arrays, StoredArray
from cotwin.data.stored.contents import Array, as_type, step, unevenness

SMALL = 2**16
"""Values of an array whose range is told in the list."""
LONGEST = 60
"""Letters of a text that are shown."""


def listed(arrays: Arrays) -> Iterator[ArraySummary]:
    """Every array, those that cannot be read too."""
    for name, one in arrays.named.items():
        words = {key: shortened(word) for key, word in arrays.words.get(name, {}).items()}
        try:
            holds = "" if math.prod(one.shape) > SMALL else _holds(one)
        except ValueError as error:
            holds = str(error)
        yield ArraySummary(name, one.shape, str(one.dtype), one.unit, holds, words)
    for name, why in arrays.unreadable.items():
        yield ArraySummary(name, (), "", "1", why, {})


def shortened(text: str) -> str:
    """In one line, of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _holds(array: StoredArray) -> str:
    values = array.values
    if values.size == 0:
        return "empty"
    if values.dtype.kind in "US":
        return shortened(", ".join(str(one) for one in np.ravel(values)[:SMALL]))
    if values.dtype.kind not in "fiub":
        return ""
    flat = np.ravel(values)
    if flat.size == 1:
        return f"{flat[0]}"
    if flat.size == max(values.shape) and values.dtype.kind != "b":
        return _row(flat)
    return _range(flat)


def _row(values: Array) -> str:
    ends = f"{values[0]:.6g} to {values[-1]:.6g}"
    if unevenness(values, "") is None:
        return f"{ends}, step {step(values):.6g}"
    gaps = np.diff(as_type(values, np.float64))
    if (gaps > 0).all() or (gaps < 0).all():
        return f"{ends}, {'rises' if gaps[0] > 0 else 'falls'} unevenly"
    return _range(values)


def _range(values: Array) -> str:
    exact = as_type(values, np.float64)
    finite = exact[np.isfinite(exact)]
    missing = exact.size - finite.size
    said = "no finite value"
    if finite.size:
        low, high = finite.min(), finite.max()
        said = f"between {low:.6g} and {high:.6g}" if low < high else f"{low:.6g} everywhere"
    return f"{said}, {missing} not finite" if missing else said
