"""When values are observed, in steps of the layout."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation.interpolation import places_of
from cotwin.layout import Layout


def steps_at(times: Float[Tensor, " M"], layout: Layout) -> tuple[Float[Tensor, " M"], int]:
    """The times in steps of layout.dt after the start, and how many steps cover them all.

    times: in `layout.time_unit`. Raises ValueError if there are none, or one is negative or not finite.
    """
    if times.ndim != 1 or not len(times):
        raise ValueError(f"times have the shape {tuple(times.shape)}; give one or more, in one axis.")
    steps = places_of(times, 0.0, layout.dt)
    bad = ~(steps.isfinite() & (steps >= 0))
    if bad.any():
        which = int(bad.nonzero()[0])
        raise ValueError(
            f"time {which} is {quantity(float(times[which]), layout.time_unit)}, {int(bad.sum())} of {len(times)} "
            "are negative or not finite; times count from the start of the rollout: leave these out, or let "
            "it start earlier."
        )
    return steps, math.ceil(float(steps.max()))


def time_notes(steps: Float[Tensor, " M"], num_steps: int, layout: Layout) -> list[str]:
    """What to tell about times, in steps, that lie between two states."""
    distinct = torch.unique(steps)
    between = int((distinct != distinct.round()).sum())
    if not between:
        return []
    degree = {1: "linear", 2: "quadratic"}.get(num_steps, "cubic")
    return [
        f"{between:,} of {len(distinct):,} times lie between two steps of {quantity(layout.dt, layout.time_unit)}: "
        f"interpolated by {degree} polynomials in time"
    ]


def time_of(steps: Float[Tensor, " M"], layout: Layout) -> Float[Tensor, " M"]:
    """Steps as times, in `layout.time_unit`."""
    return steps.double() * layout.dt


def quantity(value: float, unit: str) -> str:
    """A number with its unit, for people.

    >>> quantity(0.01, "s"), quantity(0.01, "1")
    ('0.01 s', '0.01')
    """
    return f"{value:g}" if unit == "1" else f"{value:g} {unit}"
