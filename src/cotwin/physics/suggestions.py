"""Settings that a configuration may leave open, from the training data: see `Stepper.suggested`."""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.channels import take_moving
from cotwin.stepper import Stepper


def beyond_largest(make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]) -> float:
    """1.5 times the largest |u| of the training data"""
    return 1.5 * float(states.nan_to_num().abs().max())


def beyond_fastest(make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]) -> float:
    """1.5 times the largest |u| of one component in the training data"""
    velocity = take_moving(states.flatten(0, 1), layout)[:, : layout.dims]
    return 1.5 * float(velocity.nan_to_num().abs().max())


def stable_substeps(make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]) -> int:
    """twice as many as seem stable on the training data at the start"""
    # Twice: parameters will change. At a few states.
    every = states.nan_to_num().flatten(0, 1)
    few = every[:: max(1, len(every) // 8)]
    return math.ceil(2 * layout.dt / make(substeps=1).largest_stable_step(few))
