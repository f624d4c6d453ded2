"""Settings that a configuration may leave open, from the training data: see `Stepper.suggested`."""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.channels import take_moving
from cotwin.stepper import Stepper

MOST_SUBSTEPS = 1_000_000


def beyond_largest(make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]) -> float:
    """1.5 times the largest |u| of the training data"""
    return 1.5 * _largest(take_moving(states.flatten(0, 1), layout))


def beyond_fastest(make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]) -> float:
    """1.5 times the largest |u| of one component in the training data"""
    return 1.5 * _largest(take_moving(states.flatten(0, 1), layout)[:, : layout.dims])


def stable_substeps(make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]) -> int:
    """twice as many as seem stable on the training data at the start"""
    # Twice: parameters will change. At a few states.
    every = states.nan_to_num().flatten(0, 1)
    few = every[:: max(1, len(every) // 8)]
    needed = 2 * layout.dt / make(substeps=1).largest_stable_step(few)
    if not needed <= MOST_SUBSTEPS:
        raise ValueError(
            f"on the training data {needed:.2g} substeps per dt seem needed, more than {MOST_SUBSTEPS:,}; check the "
            "units of the data and where the parameters start, or give substeps."
        )
    return math.ceil(needed)


def _largest(fields: Float[Tensor, "B M *S"]) -> float:
    return float(fields.nan_to_num().abs().max())
