"""What sensors of a file see of rollouts."""

from __future__ import annotations

import torch

from cotwin.estimation.observation.boxes import Boxes
from cotwin.estimation.observation.points import Points
from cotwin.layout import Layout
from cotwin.sensors import Sensors


def sensed(sensors: Sensors, layout: Layout, num_trajectories: int) -> Points | Boxes:
    """Their values, in their order. Raises ValueError as `Points` and `Boxes` do."""
    times, own = sensors.steps * layout.dt, (sensors.channel, sensors.row, num_trajectories)
    if torch.equal(sensors.lower, sensors.upper):
        return Points(layout, sensors.lower, times, *own)
    return Boxes(layout, sensors.lower, sensors.upper, times, *own)
