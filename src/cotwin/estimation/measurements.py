"""What was measured along rollouts, with which noise, and where the rollouts start."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation import Observation
from cotwin.estimation.priors.covariance import correlation
from cotwin.layout import Layout

SHARE = 1e-4
"""Of the variance of noisy starts, what modes that are left out may hold."""

Noise = float | tuple[float, ...] | None


@dataclass(frozen=True)
class Measurements:
    """Values y = O(states) + noise, independent and normal.

    observation: O, what is seen of the rollouts.
    values: y, (M,).
    noise: its standard deviation, in the unit of the values: a number, or one for each channel of the layout; None
        where it is not known and has to be estimated, one number for each channel.

    Raises ValueError for values that do not fit the observation or are not finite, and a noise that is not positive.
    """

    observation: Observation
    values: Float[Tensor, " M"]
    noise: Noise = None

    def __post_init__(self) -> None:
        if tuple(self.values.shape) != (self.observation.size,):
            raise ValueError(
                f"values of shape {tuple(self.values.shape)} for an observation of {self.observation.size}; "
                "take them in its order, for recorded states by observation(states)."
            )
        bad = int((~torch.isfinite(self.values)).sum())
        if bad:
            raise ValueError(f"{bad} of {len(self.values)} values are not finite; leave them out of the observation.")
        if self.noise is None:
            return
        levels = (self.noise,) if isinstance(self.noise, int | float) else tuple(self.noise)
        if not all(level > 0 and math.isfinite(level) for level in levels):
            raise ValueError(
                f"noise is {self.noise}; give a positive standard deviation (for clean data what the numerics leave, "
                "say 1e-4 of the values), or None to have it estimated."
            )
        rounding = float(self.values.abs().max()) * torch.finfo(torch.float64).eps
        if min(levels) < rounding:
            raise ValueError(
                f"noise is {self.noise}, below the rounding of the values, {rounding:.1g}; give what the numerics "
                "leave, say 1e-4 of the values, or None to have it estimated."
            )
        channels = self.observation.layout.channels
        if not isinstance(self.noise, int | float) and len(levels) != channels:
            raise ValueError(f"noise has {len(levels)} levels for {channels} channels; give one for each, or one.")

    def deviation(self) -> Float[Tensor, " C"]:
        """The noise of each channel; ones where it is not known."""
        level = 1.0 if self.noise is None else self.noise
        return torch.as_tensor(level, dtype=torch.float64).expand(self.observation.layout.channels).clone()


@dataclass(frozen=True)
class NoisyStarts:
    """Initial states that are not known exactly: s = guess + deviation · L ε, ε white, estimated with the parameters.

    guess: (B, C, *S). deviation: how far s may be from it, in the unit of each channel, (C,).
    length: over which neighbouring points are alike, a Matérn field's as in `priors.GaussianField`; L Lᵀ is its
        correlation, cut off after the modes that hold all but `share` of the variance. 0: L = 1, independent points.
    adapt: deviation and length are where to begin; the marginal likelihood chooses them. Needs a length.
    common: by how much the guesses of a channel may be off together, in all starts and everywhere, a standard
        deviation, (C,), zero for channels whose guesses are not. Deviations that adapt grow no larger. What intervals
        know of it: `levels.with_unsure_levels`.

    Where the first states are observed too (as first frame of the observation), deviation is the field's own, not the
    noise's: information must not count twice. A length makes fewer unknowns of a start, and keeps noise out of it,
    which equations with high derivatives magnify. Then guess is the field's mean, since the noise of a measured state
    would stay in s.
    """

    guess: Float[Tensor, "B C *S"]
    deviation: Float[Tensor, " C"]
    length: float = 0.0
    adapt: bool = False
    share: float = SHARE
    common: Float[Tensor, " C"] | None = None

    def __post_init__(self) -> None:
        if self.deviation.shape != self.guess.shape[1:2]:
            raise ValueError(
                f"deviation of shape {tuple(self.deviation.shape)} for {self.guess.shape[1]} channels; one for each."
            )
        if not bool((self.deviation > 0).all() & self.deviation.isfinite().all()):
            raise ValueError(
                f"deviations of the starts are {self.deviation.tolist()}; they must be positive. Starts that are "
                "known exactly are given as a tensor."
            )
        if not (self.length >= 0 and math.isfinite(self.length)):
            raise ValueError(
                f"length of the starts is {self.length}; it must be positive, or 0 for independent points."
            )
        if self.adapt and not self.length:
            raise ValueError("only starts with a length adapt; give one, such as the spacing of the grid.")


def start_modes(layout: Layout, length: float, share: float = SHARE) -> Float[Tensor, "n *S"]:
    """Columns of L on the layout's grid, largest first: s = guess + deviation · L ε; the identity for length 0."""
    points = math.prod(layout.grid)
    if length == 0:
        return torch.eye(points, dtype=torch.float64).reshape(points, *layout.grid)
    vectors, kept, variances = _eigenvectors(layout, length, share)
    modes = variances.sqrt()[:, None]
    for own, along in zip(vectors, torch.unravel_index(kept, layout.grid), strict=True):
        modes = (modes[:, :, None] * own.mT[along][:, None]).flatten(1)
    return modes.reshape(-1, *layout.grid)


def num_modes(layout: Layout, length: float, share: float = SHARE) -> int:
    """How many `start_modes` has, which may be more than memory."""
    return math.prod(layout.grid) if length == 0 else len(_eigenvectors(layout, length, share)[1])


def mode_covariance(layout: Layout, length: float, share: float, other: float) -> Float[Tensor, "n n"]:
    """Of the weights of `start_modes(layout, length, share)`, in a field of the other length."""
    vectors, kept, variances = _eigenvectors(layout, length, share)
    covariance = (variances[:, None] * variances).rsqrt()
    for axis, (own, along) in enumerate(zip(vectors, torch.unravel_index(kept, layout.grid), strict=True)):
        covariance = covariance * (own.mT @ correlation(layout, axis, other) @ own)[along][:, along]
    return covariance


def _eigenvectors(layout: Layout, length: float, share: float) -> tuple[list[Tensor], Tensor, Tensor]:
    """Of the correlation along each axis; which of their products are kept, and the variances of these."""
    pairs = [torch.linalg.eigh(correlation(layout, axis, length)) for axis in range(layout.dims)]
    values = torch.ones(1, dtype=torch.float64)
    for own, _ in pairs:
        values = torch.outer(values, own.clamp(min=0)).flatten()
    kept = _largest(values, 1 - share)
    return [vectors for _, vectors in pairs], kept, values[kept]


def _largest(values: Tensor, share: float) -> Tensor:
    """Indices of the largest values that make up this share of their sum."""
    order = values.argsort(descending=True, stable=True)
    count = int((values[order].cumsum(0) < share * values.sum()).sum()) + 1
    return order[:count]
