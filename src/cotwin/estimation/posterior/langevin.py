"""A Metropolis method that follows the slope, for many chains at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ACCEPTED = 0.574
"""Part of the proposals, under which chains of this kind move fastest."""
BEYOND = 3.0
"""How much longer than the root of the number of dimensions a slope counts for."""
EVERY, SHORT = 3, 0.2
"""Every third step is a fifth as long."""
SLOWER = 0.6
"""Power of the number of steps by which the step size is adapted less and less."""


@dataclass(frozen=True)
class Places:
    """Where P chains are.

    log: of the density, up to a constant; −∞ where it is zero. slope: of −log density, or what is near it.
    seen: whatever the density has to say of the places besides. given: what it is conditional on, K numbers.
    scale: how many times as wide as a standard normal density it is then, about.
    """

    x: Float[Tensor, "P Z"]
    log: Float[Tensor, " P"]
    slope: Float[Tensor, "P Z"]
    seen: Float[Tensor, "P M"]
    given: Float[Tensor, "P K"]
    scale: Float[Tensor, " P"]

    def where(self, taken: Bool[Tensor, " P"], others: Places) -> Places:
        """The others where taken, else these, on the same conditions."""
        column = taken[:, None]
        return replace(
            self,
            x=torch.where(column, others.x, self.x),
            log=torch.where(taken, others.log, self.log),
            slope=torch.where(column, others.slope, self.slope),
            seen=torch.where(column, others.seen, self.seen),
        )


class Density(ABC):
    """What is sampled, in numbers in which it is nearly a standard normal density."""

    @abstractmethod
    def at(self, x: Float[Tensor, "P Z"], given: Float[Tensor, "P K"]) -> Places:
        """The density at each of P places, a function of the place and of what it is conditional on."""

    @abstractmethod
    def drawn(self, here: Places, generator: torch.Generator) -> Places:
        """The same places, with what they are conditional on drawn from its own density there: Gibbs' step."""


@dataclass(frozen=True)
class Step:
    """places: after it. accepted: which chains moved. share: the probability with which each was to move."""

    places: Places
    accepted: Bool[Tensor, " P"]
    share: Float[Tensor, " P"]


def step(density: Density, here: Places, size: float, generator: torch.Generator) -> Step:
    """One step of each chain: y = x − b g(x) + √(b (2 − b)) ξ, ξ standard normal, taken with Metropolis' probability.

    g: the slope, shortened where it is longer than a normal density has it; b: the size, up to one; all in units of
    the scale. Langevin's equation, by the semi-implicit scheme that leaves the standard normal density as it is for
    every b: there every proposal is taken, and with b = 1 it is a fresh draw. For small b it is MALA. The density
    stays as it is whatever g is, which only decides how fast chains move.
    generator: on the CPU, so that a seed means the same on every device.
    Source: Cotter, Roberts, Stuart & White (2013), Statist. Sci. 28, section 4.3; Petra, Martin, Stadler & Ghattas
    (2014), SIAM J. Sci. Comput. 36, for Hessian and Jacobian of one point; Roberts & Tweedie (1996), Bernoulli 2, for
    what is shortened, without which a chain far out may never move.
    """
    here, variance = density.drawn(here, generator), size * (2 - size)
    scale = here.scale[:, None]
    normal = torch.randn(here.x.shape, generator=generator, dtype=torch.float64).to(here.x)
    uniform = torch.rand(len(here.x), generator=generator, dtype=torch.float64).to(here.x)
    proposed = here.x + scale * (math.sqrt(variance) * normal - size * _shortened(scale * here.slope))
    there = density.at(proposed, here.given)
    back = (here.x - there.x) / scale + size * _shortened(scale * there.slope)
    log = there.log - here.log + 0.5 * (normal.square().sum(dim=1) - back.square().sum(dim=1) / variance)
    share = log.nan_to_num(nan=-torch.inf).clamp(max=0).exp()
    accepted = uniform < share
    return Step(here.where(accepted, there), accepted, share)


def _shortened(slope: Float[Tensor, "P Z"]) -> Float[Tensor, "P Z"]:
    longest = slope.shape[1] ** 0.5 + BEYOND
    length: Tensor = torch.linalg.vector_norm(slope, dim=1, keepdim=True)
    shortened: Tensor = slope * (longest / length.clamp(min=longest))
    return shortened


def warmed_up(density: Density, here: Places, steps: int, generator: torch.Generator) -> tuple[Places, float]:
    """The places after so many steps, and the size with which the best part of them is taken, at most one.

    Source: Roberts & Rosenthal (1998), J. R. Statist. Soc. B 60, for the part; Robbins & Monro (1951), Ann. Math.
    Statist. 22, for the search. The size is its mean over the second half.
    """
    logarithm, total, long = 0.0, [], 0
    for count in range(steps):
        moved = step(density, here, math.exp(logarithm) * _part(count), generator)
        here = moved.places
        if _part(count) == 1:
            long += 1
            logarithm = min(0.0, logarithm + (float(moved.share.mean()) - ACCEPTED) / long**SLOWER)
        total.append(logarithm)
    return here, math.exp(sum(total[steps // 2 :]) / len(total[steps // 2 :]))


def walk(density: Density, here: Places, steps: int, size: float, generator: torch.Generator) -> Iterator[Step]:
    """So many steps of one size, every third a fifth of it: a chain in a tail that is not normal comes back by it."""
    for count in range(steps):
        moved = step(density, here, size * _part(count), generator)
        here = moved.places
        yield moved


def _part(count: int) -> float:
    return SHORT if count % EVERY == EVERY - 1 else 1.0
