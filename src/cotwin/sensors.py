"""What sensors read, at places of their own: points that may move, or means over boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Sensors:
    """M readings along N trajectories, in the order of trajectories and times.

    row: of which trajectory each is, (M,). steps: when, in steps after its first frame, in double precision, (M,).
    channel: of the layout, (M,).
    lower, upper: ends of the box whose mean was read, in the layout's unit of length, (M, dims); where they are the
        same a point along that axis.
    values: in double precision, (M,). sigma: the standard deviation of each one's noise; None where it is not known.
    """

    row: Int[Tensor, " M"]
    steps: Float[Tensor, " M"]
    channel: Int[Tensor, " M"]
    lower: Float[Tensor, "M dims"]
    upper: Float[Tensor, "M dims"]
    values: Float[Tensor, " M"]
    sigma: Float[Tensor, " M"] | None = None

    def __len__(self) -> int:
        return len(self.row)

    def some(self, which: Tensor) -> Sensors:
        """Those of these indices, or where a mask is True."""
        sigma = None if self.sigma is None else self.sigma[which]
        named = {name: getattr(self, name)[which] for name in _COLUMNS}
        return Sensors(**named, sigma=sigma)

    def of_rows(self, rows: Sequence[int] | slice, count: int) -> Sensors:
        """Of some of the trajectories, counted anew; count: of all."""
        chosen = torch.arange(count)[rows]
        place = torch.full((count,), -1)
        place[chosen] = torch.arange(len(chosen))
        own = self.some(place[self.row] >= 0)
        return replace(own, row=place[own.row])

    def stretch(self, start: int, stop: int) -> Sensors:
        """Of the frames from start up to stop, which is not among them."""
        own = self.some((self.steps >= start) & (self.steps <= stop - 1))
        return replace(own, steps=own.steps - start)

    def between(self, rows: Int[Tensor, " B"], frames: Int[Tensor, " B"], num_steps: int) -> Sensors:
        """Of windows of so many steps, from a frame of one of the rows on: what is read after their start."""
        # In the order of rows and times, so that those of a window lie side by side.
        last = float(self.steps.max()) + num_steps + 1 if len(self) else 1.0
        place, begin = self.row * last + self.steps, rows * last + frames
        first = torch.searchsorted(place, begin.double(), right=True)
        count = torch.searchsorted(place, begin.double() + num_steps, right=True) - first
        window = torch.arange(len(rows)).repeat_interleave(count)
        within = torch.arange(len(window)) - (count.cumsum(0) - count)[window]
        own = self.some(first[window] + within)
        return replace(own, row=window, steps=own.steps - frames[window])

    def to(self, device: torch.device) -> Sensors:
        """On another device."""
        named = {name: getattr(self, name).to(device) for name in _COLUMNS}
        return Sensors(**named, sigma=None if self.sigma is None else self.sigma.to(device))


_COLUMNS = ("row", "steps", "channel", "lower", "upper", "values")


def joined(parts: Sequence[tuple[Sensors | None, int]], factors: Sequence[int]) -> Sensors | None:
    """Of several sets of so many trajectories, one after the other; factors: that their steps are multiplied by.

    Raises ValueError where some say how large the noise of a reading is, and others do not.
    """
    found, first = list[Sensors](), 0
    for (part, count), factor in zip(parts, factors, strict=True):
        if part is not None:
            found.append(replace(part, row=part.row + first, steps=part.steps * factor))
        first += count
    if not found:
        return None
    known = [one.sigma for one in found if one.sigma is not None]
    if 0 < len(known) < len(found):
        raise ValueError("some of the files say how large the noise of each value is; let all say it, or none.")
    columns = {name: torch.cat([getattr(one, name) for one in found]) for name in _COLUMNS}
    return Sensors(**columns, sigma=torch.cat(known) if known else None)
