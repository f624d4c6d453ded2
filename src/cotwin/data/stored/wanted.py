"""What a caller says of a file that its content does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cotwin.data.stored.contents import Array
from cotwin.layout import Boundary, Centring, Ends

ROLES = ("n", "t", "x", "y", "z", "component")
"""What `names` may say beside fields: trajectories, times, coordinates, the dimension of a vector's components."""


@dataclass(frozen=True)
class Wanted:
    """names: what the file calls times (t), coordinates (x, y, z), trajectories (n) and fields; by Cotwin's names.
    axes: the order of the axes of its fields, where the format does not settle it.
    extent, boundary, points: of the domain, where the file has no coordinates. dt: where it has no times.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    axes: str | None = None
    extent: Sequence[tuple[float, float]] | None = None
    boundary: Boundary | Sequence[Ends] | None = None
    points: Centring | Sequence[Centring] | None = None
    dt: float | None = None

    def along(self, axis: int) -> tuple[tuple[float, float] | None, bool, Centring]:
        """Extent of one axis, whether it is periodic, and what its points are, as far as they are said."""
        extent = self.extent[axis] if self.extent is not None and axis < len(self.extent) else None
        ends = self.boundary if self.boundary is None or isinstance(self.boundary, str) else self.boundary[axis]
        points = self.points if self.points is None or isinstance(self.points, str) else self.points[axis]
        return extent, ends in ("periodic", ("periodic", "periodic"), ["periodic", "periodic"]), points or "cells"

    def row(self, axis: int, size: int) -> Array | None:
        """So many coordinates along an axis, from the ends of the domain; None where these are not said."""
        extent, periodic, points = self.along(axis)
        if extent is None:
            return None
        lower, upper = extent
        intervals = size - (points == "nodes" and not periodic)
        offset = 0.0 if periodic or points == "nodes" else 0.5
        return np.asarray(lower + (np.arange(size) + offset) * (upper - lower) / max(intervals, 1))


NOTHING_SAID = Wanted()
