"""Numbers in the attributes of files, which may be of any type."""

from __future__ import annotations

from typing import Any

import numpy as np


def number_of(value: Any) -> float | None:
    """A positive number; None where an attribute is none.

    >>> number_of(np.float32(0.5)), number_of("a"), number_of(None)
    (0.5, None, None)
    """
    found = np.asarray(0.0 if value is None else value)
    return float(found.item()) if found.size == 1 and found.dtype.kind in "fiu" and found.item() > 0 else None


def pair_of(value: Any) -> tuple[float, float] | None:
    """Two numbers; None where an attribute is none.

    >>> pair_of([0, 1]), pair_of(None)
    ((0.0, 1.0), None)
    """
    found = np.ravel(np.asarray(() if value is None else value))
    return (float(found[0]), float(found[1])) if found.size == 2 and found.dtype.kind in "fiu" else None
