"""Measurement noise for data that have none."""

from __future__ import annotations

from dataclasses import replace

import torch

from cotwin.data.trajectories import Trajectories


def add_noise(
    trajectories: Trajectories, relative: float, generator: torch.Generator, keep_start: bool = False
) -> Trajectories:
    """Independent Gaussian noise on every value of the fields that change in time.

    relative: its standard deviation over that of the channel, taken over all observed values.
    keep_start: leave the first state of each trajectory as it is, a known start.
    """
    if relative < 0:
        raise ValueError(f"relative is {relative}; noise cannot be negative.")
    states, mask = trajectories.states, trajectories.mask
    noise = torch.randn(states.shape, generator=generator)
    for channel, static in enumerate(trajectories.layout.static_channels):
        values = states[:, :, channel]
        observed = values if mask is None else values[mask[:, :, channel]]
        noise[:, :, channel] *= 0.0 if static else relative * float(observed.std(correction=0))
    if mask is not None:
        noise[~mask] = 0.0
    if keep_start:
        noise[:, 0] = 0.0
    note = f"noise of {relative:.3g} standard deviations added{', but not to the start' if keep_start else ''}"
    return replace(trajectories, states=states + noise, notes=(*trajectories.notes, note))
