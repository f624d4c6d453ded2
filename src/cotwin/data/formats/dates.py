"""Times of labelled arrays as numbers: dates are counted from the first one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cotwin.data.stored.contents import Array

if TYPE_CHECKING:
    import xarray as xr

SINCE = re.compile(r"\s*(\w+)\s+since\s+(\S.*)", re.IGNORECASE)
"""Units of times that are dates: "hours since 2020-01-01"."""
UNITS = {
    "days": np.timedelta64(1, "D"),
    "hours": np.timedelta64(1, "h"),
    "minutes": np.timedelta64(1, "m"),
    "seconds": np.timedelta64(1, "s"),
    "milliseconds": np.timedelta64(1, "ms"),
    "microseconds": np.timedelta64(1, "us"),
    "nanoseconds": np.timedelta64(1, "ns"),
}


@dataclass(frozen=True)
class Clock:
    """How times become numbers.

    unit: of the numbers. origin: the number or the date that they are counted from; None where they are as they are.
    said: what this unit and this origin are in the file, in words; empty where nothing was done.
    """

    unit: str
    origin: Any = None
    said: str = ""

    @classmethod
    def of(cls, times: xr.Variable) -> Clock:
        """By the main times of a dataset. Raises ValueError where they are neither numbers nor dates."""
        kind, unit = times.dtype.kind, str(times.attrs.get("units", "1"))
        if kind in "mM":
            first = str(times.encoding.get("units", "")).split(" ")[0].lower()
            unit = first if first in UNITS else "seconds"
            if kind == "m":
                return cls(unit, None, "intervals")
            origin = np.min(times.values)
            return cls(unit, origin, f"dates, counted from the first one, {np.datetime_as_string(origin, unit='s')}")
        if kind not in "fiu":
            raise ValueError(
                f"has type {times.dtype}, no numbers, and no dates that numpy knows. Where its calendar is another, "
                "open the file with decode_times=False; where it is text, give numbers"
            )
        if dated := SINCE.match(unit):
            origin = np.min(times.values).astype(np.float64)
            return cls(dated[1], origin, f"dates, counted from the first one, {origin:g} {unit.strip()}")
        return cls(unit)

    def numbers(self, times: xr.Variable) -> Array:
        """Times in this unit, from this origin. Raises ValueError for others that are counted in another way."""
        if times.dtype.kind in "mM":
            values = times.values if self.origin is None else times.values - self.origin
            return np.asarray(values / UNITS[self.unit])
        return np.asarray(times.values if self.origin is None else times.values.astype(np.float64) - self.origin)

    def note(self, name: str) -> str | None:
        """What was done, for people."""
        return f"{name} holds {self.said}, read in {self.unit}" if self.said else None
