"""Initial states from data that are noisy or have gaps: what to begin with, and how smooth they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import scipy.optimize
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation import NoisyStarts
from cotwin.experiment.settings import Hidden, Initial
from cotwin.layout import Layout


def noisy_starts(
    states: Float[Tensor, "B T C *S"],
    mask: Bool[Tensor, "B T C *S"] | None,
    layout: Layout,
    length: float,
    adapt: bool,
    known: Mapping[str, Hidden | Initial] = MappingProxyType({}),
) -> NoisyStarts:
    """Starts to be estimated from trajectories whose first frames are observed as well.

    They lie as far from a guess as each field varies. Where length is 0, the guess is what was seen first. Else it is
    the mean of each channel that moves: of a measured state, the noise would stay in the estimate. Where
    something is known of a field, guess and deviation are that, of each point and of all together.
    """
    first, spread = filled(states, mask)[:, 0].double(), _spread(states, mask)
    if length > 0:
        mean = first.mean(dim=tuple(range(2, first.dim())), keepdim=True).expand_as(first)
        static = torch.tensor(layout.static_channels).view(-1, *[1] * layout.dims)
        first = torch.where(static, first, mean)
    common = torch.zeros_like(spread)
    for name, one in known.items():
        channels = layout.channels_of(name)
        first[:, channels], spread[channels], common[channels] = one.mean, one.deviation, one.deviation
    return NoisyStarts(first, spread, length, adapt, common=common)


def filled(states: Float[Tensor, "B T C *S"], mask: Bool[Tensor, "B T C *S"] | None) -> Float[Tensor, "B T C *S"]:
    """The same states; a hole holds what was seen there next, or else last, or else the mean of the channel."""
    if mask is None:
        return states
    result, known = states.clone(), mask.clone()
    last = states.shape[1] - 1
    for step, other in [(t, t + 1) for t in range(last - 1, -1, -1)] + [(t, t - 1) for t in range(1, last + 1)]:
        missing = ~known[:, step] & known[:, other]
        result[:, step] = torch.where(missing, result[:, other], result[:, step])
        known[:, step] |= missing
    mean = _moments(states, mask)[0].to(states).view(-1, *[1] * (states.dim() - 3))
    return torch.where(known, result, mean)


def correlation_length(states: Float[Tensor, "B C *S"], layout: Layout) -> float:
    """The length of a Matérn field (ν = 3/2) whose correlation falls as the states' does from neighbours to the next.

    states: not a number where unknown. Neighbours are as close as any two known points along an axis (`apart`).
    Noise does not shorten it, since it adds to neither correlation. Subtracting the states' own mean does, somewhat,
    where they are few and the domain is short. The shortest of all axes counts; 0 where neighbours are not
    correlated, at most a quarter of the domain.
    """
    lengths = []
    moving = [channel for channel, static in enumerate(layout.static_channels) if not static]
    states = states[:, moving].double()
    together = (0, *range(2, states.dim()))
    states = states - states.nanmean(dim=together, keepdim=True)
    # Each channel counts by its own variance.
    states = states / states.square().nanmean(dim=together, keepdim=True).sqrt().clamp(min=1e-300)
    for axis, lag in enumerate(apart(states, layout)):
        longest, spacing = layout.grid[axis] * layout.spacing[axis] / 4, lag * layout.spacing[axis]
        near, next_but_one = (_covariance(states, axis + 2, each) for each in (lag, 2 * lag))
        if not near > 0 or not next_but_one > 0:
            return 0.0
        ratio = next_but_one / near

        def excess(length: float, ratio: float = ratio, spacing: float = spacing) -> float:
            a = math.sqrt(3) * spacing / length
            return (1 + 2 * a) / (1 + a) * math.exp(-a) - ratio

        shortest = spacing / 100
        if excess(longest) <= 0:
            lengths.append(longest)
        elif excess(shortest) >= 0:
            return 0.0
        else:
            lengths.append(float(scipy.optimize.brentq(excess, shortest, longest)))
    return min(lengths)


def apart(states: Float[Tensor, "B C *S"], layout: Layout) -> list[int]:
    """How many points along each axis lie at least between known ones; 1 where that cannot be told."""
    known = states.isfinite()
    lags = []
    for axis, points in enumerate(layout.grid, start=2):
        pairs = (
            lag
            for lag in range(1, points)
            if bool((known.narrow(axis, 0, points - lag) & known.narrow(axis, lag, points - lag)).any())
        )
        lags.append(next(pairs, 1))
    return lags


def _covariance(states: Tensor, axis: int, lag: int) -> float:
    points = states.shape[axis]
    if points <= lag:
        return 0.0
    return float((states.narrow(axis, 0, points - lag) * states.narrow(axis, lag, points - lag)).nanmean())


def _spread(states: Tensor, mask: Tensor | None) -> Float[Tensor, " C"]:
    """Standard deviation of each channel over all that was seen; one for a channel that is the same everywhere."""
    mean, square = _moments(states, mask)
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    return torch.where(deviation > 0, deviation, 1.0)


def _moments(states: Tensor, mask: Tensor | None) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
    """Mean and mean square of each channel over all that was seen."""
    values = states.transpose(0, 2).flatten(1).double()
    if mask is None:
        return values.mean(dim=1), values.square().mean(dim=1)
    seen = mask.transpose(0, 2).flatten(1)
    values, count = torch.where(seen, values, 0.0), seen.sum(dim=1).clamp(min=1)
    return values.sum(dim=1) / count, values.square().sum(dim=1) / count
