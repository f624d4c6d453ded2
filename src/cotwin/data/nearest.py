"""What sensors read, as if at the nearest points of a grid."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.sensors import Sensors


def nearest(
    sensors: Sensors, layout: Layout, rows: int, frames: int
) -> tuple[Float[Tensor, "N T C *S"], Bool[Tensor, "N T C *S"]]:
    """States with the readings at the nearest points and frames, of several in one their mean; and where any are."""
    places = []
    for axis, count in enumerate(layout.grid):
        middle = (sensors.lower[:, axis] + sensors.upper[:, axis]) / 2
        place = ((middle - layout.points(axis)[0]) / layout.spacing[axis]).round().long()
        places.append(place % count if layout.is_periodic(axis) else place.clamp(0, count - 1))
    at = (sensors.row, sensors.steps.round().long(), sensors.channel, *places)
    total, number = (torch.zeros(rows, frames, *layout.state_shape, dtype=torch.float64) for _ in range(2))
    total.index_put_(at, sensors.values, accumulate=True)
    number.index_put_(at, torch.ones_like(sensors.values), accumulate=True)
    return total / number.clamp(min=1), number > 0
