"""One equation: native models of it, and the same equation at the rivals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import torch
from phi.field import Field as PhiField
from phiml.math import Tensor as PhiTensor
from torch import Tensor

from cotwin import Field, Layout, Positive, Stepper
from cotwin.physics import random_fourier

STEPS = 8

EAGER, ALONE = "PhiFlow, eager", "PhiFlow, eager, one by one"
JITTED_STEP, JITTED_ROLLOUT = "PhiFlow, jitted step", "PhiFlow, jitted rollout"
JITTED = (JITTED_STEP, JITTED_ROLLOUT)
JAX = "JAX"
BARE = "bare transforms of {}"

Mode = Literal["forward", "gradient"]


@dataclass(frozen=True)
class Bound:
    """The least speed in units of a rival's: of the fastest of `models`, or of all if none is named."""

    rival: str
    least: float
    models: tuple[str, ...] = ()
    mode: Mode = "forward"
    batches: tuple[int, ...] = (16, 64)


@dataclass(frozen=True)
class PhiFlow:
    """One data interval in PhiFlow: a step of the field and of what `prepare` makes of the coefficient in a rollout.

    staggered: whether the field lives on faces. complete: whether it is run in batches, jitted, and its gradient too.
    """

    step: Callable[[PhiField, Any], PhiField]
    prepare: Callable[[PhiTensor], Any] = lambda coefficient: coefficient
    staggered: bool = False
    complete: bool = True


@dataclass(frozen=True)
class Problem:
    """One equation, on one grid.

    coefficient: what gradients are taken to; a number or a field.
    native: models by name. The first is what all others are checked against.
    jax: from the coefficient to the step of one sample. sign: by what JAX's states are ours multiplied.
    tolerance: on differences of states, of the change in them, and of gradients to the coefficient.
    """

    name: str
    layout: Layout
    coefficient: Tensor
    native: dict[str, Callable[[Positive], Stepper]]
    phiflow: PhiFlow
    bounds: tuple[Bound, ...]
    jax: Callable[[jax.Array], Callable[[jax.Array], jax.Array]] | None = None
    sign: float = 1.0
    start: Callable[[Layout, int, torch.Generator], Tensor] = field(
        default=lambda layout, batch, generator: random_fourier(layout, batch, generator, modes=3)
    )
    tolerance: float = 0.02


def periodic(fields: Sequence[Field], grid: tuple[int, ...], dt: float = 0.005) -> Layout:
    """A periodic box of side 2π."""
    return Layout.box(fields, grid=grid, extent=[(0.0, 2 * math.pi)] * len(grid), boundary="periodic", dt=dt)
