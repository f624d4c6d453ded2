"""A model error that is admitted: a Gaussian process between the simulator and what it simulates.

y = O(rollout(θ, s)) + δ + noise. With Σ = σ² + cov δ, r = Σ^(−1/2) (O(rollout(θ, s)) − y) is white again, so that all
that takes errors to be independent goes on as before.
Source: Kennedy & O'Hagan (2001), J. R. Stat. Soc. B 63; Brynjarsdóttir & O'Hagan (2014), Inverse Problems 30, for why
it needs prior information.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.estimation.measurements import Noise
from cotwin.estimation.observation import Observation
from cotwin.estimation.priors.covariance import circumference, smoother
from cotwin.layout import Layout

SHARE = 1e-3
"""Of the variance of a discrepancy, what modes that are left out may hold."""
MOST = 1000
"""Modes of one trajectory and channel."""
MOST_NUMBERS = 2**26
"""In the modes of one trajectory and channel."""
MOST_PLACES = 2048
"""Distinct times, or coordinates along an axis."""
ROUNDING = 1e-9
"""Of the largest variance of a mode, that which is none."""


@dataclass(frozen=True)
class Discrepancy:
    """What is known of a simulator's error beforehand: a zero-mean Gaussian process δ_c(x, t) for each channel c.

    cov(δ_c(x, t), δ_c(x′, t′)) = τ_c² (c(t − t′) − c(t) c(t′)) Π_axes c(x_axis − x′_axis), c Matérn's correlation
    with ν = 5/2, c(r) = (1 + a + a²/3) exp(−a), a = √5 r/ℓ, around periodic axes summed over all images. Each
    trajectory has a δ of its own. At the start, t = 0, it is zero, since a rollout starts from the state itself; it
    grows in proportion to time at first, as what a missing term adds does, and has the deviation τ after about a
    duration. (In proportion to time for good it would grow without an end, and τ would depend on how long is
    measured.)

    deviation: of τ, which has a half-normal prior of this scale, and is zero where the data do not ask for more; in
        the unit of the values, a number, or one for each channel. If not given, a tenth of what the values vary by.
    length, duration: ℓ along the axes and in time, in the layout's units; the shorter, the more cautious. If not
        given, a quarter of the shortest axis, and a third of the time measured. They are not fitted: by the marginal
        likelihood they come out long, and intervals too narrow. Intervals hold those with both twice as long.
    share: of its variance, what modes that are left out may hold.

    Raises ValueError for what is not positive.
    """

    deviation: Noise = None
    length: float | None = None
    duration: float | None = None
    share: float = SHARE

    def __post_init__(self) -> None:
        deviations = self.deviation if isinstance(self.deviation, tuple) else (self.deviation,)
        parts = {"deviation": deviations, "length": (self.length,), "duration": (self.duration,)}
        for name, values in parts.items():
            if not all(one is None or (one > 0 and math.isfinite(one)) for one in values):
                raise ValueError(
                    f"{name} of the discrepancy is {getattr(self, name)}; it must be positive. For none leave the "
                    "discrepancy out."
                )
        if not 0 < self.share < 1:
            raise ValueError(f"share of the discrepancy is {self.share}; it must lie between 0 and 1.")


@dataclass(frozen=True)
class Modes:
    """Of G trajectories and channels that are seen at the same m places and times: cov δ = τ² V diag(variances) Vᵀ.

    rows: which values these are. channel: of each. vectors: V, orthonormal.
    """

    rows: Int[Tensor, "G m"]
    channel: Int[Tensor, " G"]
    vectors: Float[Tensor, "m K"]
    variances: Float[Tensor, " K"]


@dataclass(frozen=True)
class Process:
    """The discrepancy of measured values, of which all is known but δ itself.

    scale: of the prior of τ, (C,). ratio: τ/σ, (C,). length, duration: ℓ. share: of its variance that is left out.
    modes: of δ.
    Values are in units of the noise, plain or whitened, along the last axis.
    """

    scale: Float[Tensor, " C"]
    ratio: Float[Tensor, " C"]
    length: float
    duration: float
    share: float
    modes: tuple[Modes, ...]

    @classmethod
    def absent(cls, prior: Discrepancy, observation: Observation, usual: Float[Tensor, " C"]) -> Process:
        """With τ = 0, to begin with. usual: scale of τ for each channel where none was given.

        Raises ValueError for a deviation that does not fit the channels, and for too many modes.
        """
        scale, given = usual, prior.deviation
        if isinstance(given, tuple) and len(given) != len(usual):
            raise ValueError(
                f"the discrepancy has {len(given)} deviations for {len(usual)} channels; give one for each, or one."
            )
        if given is not None:
            scale = torch.as_tensor(given, dtype=torch.float64, device=usual.device).expand(len(usual))
        length, duration = usual_lengths(observation)
        length, duration = prior.length or length, prior.duration or duration
        modes = modes_of(observation, length, duration, prior.share)
        return cls(scale, torch.zeros_like(usual), length, duration, prior.share, modes)

    def stretched(self, observation: Observation, factor: float) -> Process:
        """One whose length and duration are so many times as long."""
        length, duration = factor * self.length, factor * self.duration
        modes = modes_of(observation, length, duration, self.share)
        return replace(self, length=length, duration=duration, modes=modes)

    @property
    def present(self) -> bool:
        """Whether the data ask for any."""
        return bool((self.ratio > 0).any())

    def whitened(self, plain: Float[Tensor, "*K M"]) -> Float[Tensor, "*K M"]:
        """Σ^(−1/2) of it, symmetric, so that each value stays where it is."""
        return self._changed(plain, lambda variance: (1 + variance).rsqrt() - 1)

    def plain(self, whitened: Float[Tensor, "*K M"]) -> Float[Tensor, "*K M"]:
        """Σ^(1/2) of it: what was whitened; or of white noise errors as they are supposed to be."""
        return self._changed(whitened, lambda variance: (1 + variance).sqrt() - 1)

    def mean(self, whitened: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
        """Of δ/σ, given residuals (prediction − value)/σ that were whitened."""
        return whitened - self._changed(whitened, lambda variance: variance * (1 + variance).rsqrt())

    def explained(self, whitened: Float[Tensor, " M"]) -> float:
        """The part of the squares of residuals (prediction − value)/σ that the mean of δ explains."""
        plain = self.plain(whitened)
        return 1 - float((plain + self.mean(whitened)).square().sum() / plain.square().sum())

    def half_log_determinant(self) -> Tensor:
        """½ log det Σ/σ²."""
        parts = [variance.log1p().sum() / 2 for _, variance in self._parts()]
        return torch.stack(parts).sum()

    def effective(self) -> float:
        """Effective degrees of freedom of δ, Σ v/(1 + v), v the variances of its modes in units of the noise."""
        return sum(float((variance / (1 + variance)).sum()) for _, variance in self._parts())

    def energy(self, whitened: Float[Tensor, "K M"]) -> Float[Tensor, "C K"]:
        """Of whitened values, the part of their squares that errors by δ make, by channel."""
        found = whitened.new_zeros(len(self.ratio), len(whitened))
        for modes, variance in self._parts():
            held = (whitened[:, modes.rows] @ modes.vectors).square() * (variance / (1 + variance))
            found.index_add_(0, modes.channel, held.sum(dim=2).mT)
        return found

    def learned(self, fitted: Float[Tensor, "M K"]) -> Float[Tensor, " C"]:
        """How many modes tell of τ, by channel. fitted: what predictions take up, as `Linearised.fitted`."""
        found = fitted.new_zeros(len(self.ratio))
        for modes, variance in self._parts():
            taken = (fitted.mT[:, modes.rows] @ modes.vectors).square().sum(dim=0)
            told = (variance / (1 + variance)).square() * (1 - taken).clamp(min=0)
            found.index_add_(0, modes.channel, told.sum(dim=1))
        return found

    def _parts(self) -> list[tuple[Modes, Float[Tensor, "G K"]]]:
        """With the variances of modes in units of the noise."""
        return [(own, self.ratio[own.channel].square()[:, None] * own.variances) for own in self.modes]

    def _changed(self, values: Tensor, by: Callable[[Tensor], Tensor]) -> Tensor:
        """Values plus such parts of their modes."""
        for modes, variance in self._parts():
            held = (values[..., modes.rows] @ modes.vectors) * by(variance)
            values = values.index_add(-1, modes.rows.flatten(), (held @ modes.vectors.mT).flatten(-2))
        return values


def usual_lengths(observation: Observation) -> tuple[float, float]:
    """A quarter of the shortest axis, and a third of the time measured."""
    layout = observation.layout
    shortest = min(points * spacing for points, spacing in zip(layout.grid, layout.spacing, strict=True))
    return shortest / 4, max(float(observation.time.max()), layout.dt) / 3


def modes_of(observation: Observation, length: float, duration: float, share: float) -> tuple[Modes, ...]:
    """Once for all trajectories and channels that are seen at the same places and times.

    Raises ValueError where there are too many, or values have no place.
    """
    layout = observation.layout
    columns = torch.cat([observation.time[:, None], observation.places()], dim=1)
    series = observation.trajectory * layout.channels + observation.channel
    alike = dict[bytes, list[Tensor]]()
    for one in series.unique():
        rows = (series == one).nonzero()[:, 0]
        alike.setdefault(columns[rows].cpu().numpy().tobytes(), []).append(rows)
    correlations = [_since_start(duration), *(_along(layout, axis, length) for axis in range(layout.dims))]
    found = list[Modes]()
    for together in alike.values():
        rows = torch.stack(together)
        vectors, variances = _modes_at(columns[rows[0]], correlations, share)
        found.append(Modes(rows, observation.channel[rows[:, 0]], vectors, variances))
    return tuple(found)


def _since_start(duration: float) -> Callable[[Tensor], Tensor]:
    def correlation(times: Tensor) -> Tensor:
        since = smoother(times, duration)
        return smoother(times[:, None] - times, duration) - since[:, None] * since

    return correlation


def _along(layout: Layout, axis: int, length: float) -> Callable[[Tensor], Tensor]:
    return lambda points: smoother(points[:, None] - points, length, circumference(layout, axis))


def _modes_at(
    columns: Float[Tensor, "m D"], correlations: list[Callable[[Tensor], Tensor]], share: float
) -> tuple[Float[Tensor, "m K"], Float[Tensor, " K"]]:
    """Orthonormal modes and their variances, of the product of one correlation for each column.

    Of the lattice of all distinct numbers in the columns they are products of eigenvectors; what is seen is all of
    it, or some of its rows.
    """
    products, total, size, along = columns.new_ones(1), 1.0, 1, list[tuple[Tensor, Tensor]]()
    for column, correlation in zip(columns.unbind(1), correlations, strict=True):
        points, place = column.unique(return_inverse=True)
        if len(points) > MOST_PLACES:
            raise ValueError(
                f"a discrepancy takes up to {MOST_PLACES:,} distinct times, or coordinates along an axis, and there "
                f"are {len(points):,}; observe fewer, or leave the discrepancy out."
            )
        values, vectors = torch.linalg.eigh(correlation(points))
        kept = values > ROUNDING * values[-1]
        along.append((vectors[:, kept], place))
        products = torch.outer(products, values[kept]).flatten()
        total, size = total * float(values.sum()), size * len(points)
    order = products.argsort(descending=True, stable=True)
    count = int((products[order].cumsum(0) < (1 - share) * total).sum()) + 1
    if count > MOST or count * len(columns) > MOST_NUMBERS:
        raise ValueError(
            f"a discrepancy of such short length and duration takes {count:,} modes for {len(columns):,} values of a "
            f"trajectory; at most {min(MOST, MOST_NUMBERS // len(columns)):,} are taken. Give a longer length or "
            "duration, or observe less."
        )
    variances = products[order[:count]]
    which = torch.unravel_index(order[:count], [vectors.shape[1] for vectors, _ in along])
    modes = columns.new_ones(len(columns), count)
    for (vectors, place), own in zip(along, which, strict=True):
        modes = modes * vectors[place][:, own]
    if len(columns) == size == len(columns.unique(dim=0)):
        return modes, variances
    modes = modes * variances.sqrt()
    values, turned = torch.linalg.eigh(modes.mT @ modes)
    kept = values > ROUNDING * values[-1]
    return modes @ (turned[:, kept] * values[kept].rsqrt()), values[kept]
