"""What is measured by sensors along windows of trajectories."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from cotwin.estimation import Measurements
from cotwin.estimation.measurements import Noise
from cotwin.estimation.observation import Weighted, sensed
from cotwin.layout import Layout
from cotwin.sensors import Sensors


def in_windows(sensors: Sensors, steps: int, stride: int, in_each: int) -> Sensors:
    """Of windows of so many steps, one every `stride` frames, so many in each trajectory: `row` is the window's."""
    which = (sensors.steps / stride).floor().long().clamp(0, in_each - 1)
    own = sensors.steps - which * stride
    cut = replace(sensors, row=sensors.row * in_each + which, steps=own)
    return cut.some(own <= steps)


def of_windows(sensors: Sensors, kept: Bool[Tensor, " B"]) -> Sensors:
    """Of some of the windows, counted anew; in the others is nothing."""
    return replace(sensors, row=(kept.cumsum(0) - 1)[sensors.row])


def distance(sensors: Sensors, layout: Layout) -> float:
    """Between the places of a trajectory's sensors, were they spread over the domain; no less than the spacing."""
    places = torch.cat([sensors.row.double()[:, None], sensors.lower, sensors.upper], dim=1).unique(dim=0)
    each = len(places) / len(sensors.row.unique())
    volume = math.prod(high - low for low, high in zip(layout.lower, layout.upper, strict=True))
    return max(math.pow(volume / each, 1 / layout.dims), *layout.spacing)


def read_after(sensors: Sensors, frames: Bool[Tensor, "N T"], steps: int) -> Bool[Tensor, "N T"]:
    """Of frames, those with a reading within so many steps after them: a rollout from others is not scored."""
    rows, at = torch.ones_like(frames).nonzero().unbind(dim=1)
    found = sensors.between(rows, at, steps).row.unique()
    kept = torch.zeros(frames.numel(), dtype=torch.bool)
    kept[found] = True
    return kept.view_as(frames)


def at_sensors(layout: Layout, sensors: Sensors, windows: int, noise: Noise) -> Measurements:
    """What they read of so many windows.

    noise: as `Measurements` has it. Where the file says the deviation of each value's, values are weighted so that
    those of a channel have one noise, which is known: the root mean square of all of them.

    Raises ValueError for a noise beside that of the file.
    """
    observation = sensed(sensors, layout, windows)
    if sensors.sigma is None:
        return Measurements(observation, sensors.values, noise)
    if noise is not None:
        raise ValueError(
            "estimation.noise is of no effect: the file says the noise of each value, in its column sigma. Leave it "
            "out, or call that column another name."
        )
    nothing = torch.zeros(layout.channels, dtype=torch.float64)
    squares = nothing.index_add(0, sensors.channel, sensors.sigma.square())
    counts = nothing.index_add(0, sensors.channel, torch.ones_like(sensors.sigma))
    level = torch.where(counts > 0, (squares / counts.clamp(min=1)).sqrt(), 1.0)
    weights = level[sensors.channel] / sensors.sigma
    known = tuple(level.tolist())
    if torch.allclose(weights, torch.ones_like(weights), rtol=1e-9):
        return Measurements(observation, sensors.values, known)
    return Measurements(Weighted(observation, weights), sensors.values * weights, known)
