"""Numbers that are stored as others, and values that stand for none: CF's attributes (1.11, chapters 2.5.1, 8.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cotwin.data.stored.contents import Array

MISSING = ("_FillValue", "missing_value")
KINDS = "fiu"
"""Of types that may be packed."""


@dataclass(frozen=True)
class Packing:
    """value = scale · stored + offset, and not a number where the stored one is among `missing`."""

    scale: float | None
    offset: float | None
    missing: Array

    @classmethod
    def of(cls, attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> Packing | None:
        """None where nothing has to be done. Raises ValueError for attributes that are no numbers."""
        if dtype.kind not in KINDS:
            return None
        scale, offset = (_numbers(attributes, name, 1) for name in ("scale_factor", "add_offset"))
        missing = np.concatenate([np.zeros(0), *(_numbers(attributes, name) for name in MISSING)])
        if dtype.kind == "f":
            missing = missing[~np.isnan(missing)].astype(dtype)
        if not (scale.size or offset.size or missing.size):
            return None
        return cls(scale.item() if scale.size else None, offset.item() if offset.size else None, missing)

    def dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """Of the values, which may be not a number."""
        packed = self.scale is not None or self.offset is not None
        return np.dtype(np.float64) if packed or stored.kind != "f" else stored.newbyteorder("=")

    def values(self, stored: Array) -> Array:
        """What the stored numbers stand for."""
        found = stored.astype(self.dtype(stored.dtype))
        found = found if self.scale is None else found * self.scale
        found = found if self.offset is None else found + self.offset
        return np.where(np.isin(stored, self.missing), np.nan, found).astype(found.dtype)


def _numbers(attributes: Mapping[str, Any], name: str, most: int | None = None) -> Array:
    found = np.ravel(np.asarray(attributes[name])) if name in attributes else np.zeros(0)
    if found.dtype.kind not in KINDS or (most is not None and found.size > most):
        raise ValueError(f"has the attribute {name} = {attributes[name]!s:.40}, which is no number")
    return found
