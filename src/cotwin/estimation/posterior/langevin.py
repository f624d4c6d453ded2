"""A Metropolis method that follows the slope, for many chains at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ACCEPTED = 0.574
"""Part of the proposals, under which chains of this kind move fastest."""
BEYOND = 3.0
"""How much longer than the root of the number of dimensions a slope counts for."""
SLOWER = 0.6
"""Power of the number of steps by which the step size is adapted less and less."""


@dataclass(frozen=True)
class Places:
    """Where P chains are.

    log: of the density, up to a constant; −∞ where it is zero. slope: of −log density, or what is near it.
    seen: whatever the density has to say of the places besides.
    """

    x: Float[Tensor, "P Z"]
    log: Float[Tensor, " P"]
    slope: Float[Tensor, "P Z"]
    seen: Float[Tensor, "P M"]

    def where(self, taken: Bool[Tensor, " P"], others: Places) -> Places:
        """The others where taken, else these."""
        column = taken[:, None]
        return Places(
            torch.where(column, others.x, self.x),
            torch.where(taken, others.log, self.log),
            torch.where(column, others.slope, self.slope),
            torch.where(column, others.seen, self.seen),
        )


class Density(ABC):
    """What is sampled, in numbers in which it is nearly a standard normal density."""

    @abstractmethod
    def at(self, x: Float[Tensor, "P Z"]) -> Places:
        """The density at each of P places, a function of the place alone."""


@dataclass(frozen=True)
class Step:
    """places: after it. accepted: which chains moved. share: the probability with which each was to move."""

    places: Places
    accepted: Bool[Tensor, " P"]
    share: Float[Tensor, " P"]


def step(density: Density, here: Places, size: float, generator: torch.Generator) -> Step:
    """One step of each chain: y = x − b g(x) + √(b (2 − b)) ξ, ξ standard normal, taken with Metropolis' probability.

    g: the slope, shortened where it is longer than a normal density has it; b: the size, up to one. Langevin's
    equation, by the semi-implicit scheme that leaves the standard normal density as it is for every b: there every
    proposal is taken, and with b = 1 it is a fresh draw. For small b it is MALA. The density stays as it is whatever
    g is, which only decides how fast chains move.
    generator: on the CPU, so that a seed means the same on every device.
    Source: Cotter, Roberts, Stuart & White (2013), Statist. Sci. 28, section 4.3; Petra, Martin, Stadler & Ghattas
    (2014), SIAM J. Sci. Comput. 36, for Hessian and Jacobian of one point; Roberts & Tweedie (1996), Bernoulli 2, for
    what is shortened, without which a chain far out may never move.
    """
    variance = size * (2 - size)
    normal = torch.randn(here.x.shape, generator=generator, dtype=torch.float64).to(here.x)
    uniform = torch.rand(len(here.x), generator=generator, dtype=torch.float64).to(here.x)
    there = density.at(here.x - size * _shortened(here.slope) + math.sqrt(variance) * normal)
    back = here.x - there.x + size * _shortened(there.slope)
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
    logarithm, total = 0.0, 0.0
    for count in range(1, steps + 1):
        moved = step(density, here, math.exp(logarithm), generator)
        here = moved.places
        logarithm = min(0.0, logarithm + (float(moved.share.mean()) - ACCEPTED) / count**SLOWER)
        total += logarithm if 2 * count > steps else 0.0
    return here, math.exp(total / (steps - steps // 2))


def walk(density: Density, here: Places, steps: int, size: float, generator: torch.Generator) -> Iterator[Step]:
    """So many steps of one size."""
    for _ in range(steps):
        moved = step(density, here, size, generator)
        here = moved.places
        yield moved
