"""A state, or many, as an image with its axes; labels with units."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout


def picture_of(
    states: Tensor, layout: Layout
) -> tuple[np.ndarray, tuple[float, float, float, float], tuple[str, str]]:
    """In one dimension space over time; else the last state, in the middle plane of a third dimension."""
    x = (layout.lower[0], layout.upper[0])
    if layout.dims == 1:
        end = (len(states) - 1) * layout.dt
        return (
            states.T.numpy(),
            (0.0, end, *x),
            (label_of("time", layout.time_unit), label_of("x", layout.space_unit)),
        )
    last = states[-1] if layout.dims == 2 else states[-1, :, :, layout.grid[2] // 2]
    labels = (label_of("x", layout.space_unit), label_of("y", layout.space_unit))
    return last.T.numpy(), (*x, layout.lower[1], layout.upper[1]), labels


def latest(states: Float[Tensor, "T *S"]) -> Float[Tensor, "1 *S"]:
    """What is known last at each point; not a number where nothing is.

    >>> latest(torch.tensor([[1.0, 2.0, torch.nan], [torch.nan, 3.0, torch.nan]]))
    tensor([[1., 3., nan]])
    """
    times = torch.arange(len(states)).view(-1, *[1] * (states.dim() - 1))
    last = (states.isfinite() * times).amax(dim=0, keepdim=True)
    return states.gather(0, last)


def label_of(name: str, unit: str) -> str:
    """A name and, unless it has none, its unit."""
    return name if unit == "1" else f"{name} [{unit}]"


def channel_label(layout: Layout, channel: int) -> str:
    """A channel's name and the unit of its field."""
    units = [field.unit for field in layout.fields for _ in range(field.components)]
    return label_of(layout.channel_names[channel], units[channel])
