"""Settings that a configuration may leave open, from the training data: see `Stepper.suggested`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.channels import take_moving
from cotwin.pieces import pieces
from cotwin.stepper import DivergenceError, Stepper

MOST_SUBSTEPS = 1_000_000
ACCURATE, MOST_DOUBLED = 2e-3, 16
"""Of the states' deviation, what half as long steps may change over a trajectory; and how many times as many substeps
as are stable are suggested for that."""


def beyond_largest(make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]) -> float:
    """1.5 times the largest |u| of the training data"""
    return 1.5 * _largest(states, layout, layout.channels)


def beyond_fastest(make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]) -> float:
    """1.5 times the largest |u| of one component in the training data"""
    return 1.5 * _largest(states, layout, layout.dims)


def sufficient_substeps(make: Callable[..., Stepper], layout: Layout, states: Float[Tensor, "N T C *S"]) -> int:
    """twice as many as seem stable on the training data at the start, or as half as long steps hardly change"""
    count = states.shape[0] * states.shape[1]
    chosen = torch.arange(0, count, max(1, count // 8))
    few = states[chosen // states.shape[1], chosen % states.shape[1]].nan_to_num()
    stable = count = _stable(make, layout, few)
    # Noise lies in short waves too, and what a step makes of it matters to nobody.
    few = _long_waves(few)
    worst = ACCURATE * float(few.std(correction=0)) / states.shape[1]
    error = _error(make, few, count)
    while worst < error < torch.inf and 2 * count <= MOST_DOUBLED * stable:
        shorter = _error(make, few, 2 * count)
        if shorter > error / 2:
            break
        count, error = 2 * count, shorter
    return count


def _long_waves(states: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
    """Of six points or more; spectral models are periodic."""
    waves = torch.fft.fftn(states, dim=tuple(range(2, states.dim())))
    for axis, points in enumerate(states.shape[2:], start=2):
        short = torch.fft.fftfreq(points, device=states.device).abs() > 1 / 6
        waves = waves.index_fill(axis, short.nonzero().flatten(), 0)
    long: Tensor = torch.fft.ifftn(waves, dim=tuple(range(2, states.dim()))).real
    return long


@torch.no_grad()
def _error(make: Callable[..., Stepper], states: Float[Tensor, "B C *S"], substeps: int) -> float:
    """By how much half as long steps change the states after one interval, root-mean-square."""
    try:
        here, there = (
            make(substeps=count).at_largest().rollout(states, 1)[:, 1] for count in (substeps, 2 * substeps)
        )
    except DivergenceError:
        return math.inf
    return float((here - there).square().mean().sqrt())


def _stable(make: Callable[..., Stepper], layout: Layout, few: Float[Tensor, "B C *S"]) -> int:
    # Twice: parameters will change.
    needed = 2 * layout.dt / make(substeps=1).largest_stable_step(few)
    if not needed <= MOST_SUBSTEPS:
        raise ValueError(
            f"on the training data {needed:.2g} substeps per dt seem needed, more than {MOST_SUBSTEPS:,}; check the "
            "units of the data and where the parameters start, or give substeps."
        )
    return math.ceil(needed)


def _largest(states: Float[Tensor, "N T C *S"], layout: Layout, count: int) -> float:
    """Of the first so many channels that move."""
    parts = (take_moving(piece.of(states).flatten(0, 1), layout)[:, :count] for piece in pieces(states))
    return max(float(one.nan_to_num().abs().max()) for one in parts)
