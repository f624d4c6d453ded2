"""Random initial states of the values that real ones have, in another order."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.windows.starts.random_waves import held, random_waves
from cotwin.windows.starts.sampling import Initial, InitialStates


def rearranged_values(
    initial: Float[Tensor, "N C *S"], layout: Layout, *, reach: float, solid: Bool[Tensor, "N 1 *S"] | None = None
) -> Initial:
    """In each channel the values of a real state, drawn by chance, where those of random waves have the same rank.

    So what is positive stays positive and what is bounded bounded; of colonies, patches or fronts there are others
    elsewhere. The waves are related in all channels as in real states (`random_waves`): of a channel that is a rising
    or falling function of another it stays the same function. The share of the domain that has certain values changes
    too: the rank q of n, of waves, is n (q/n)^γ among the values, γ = reach^r, r uniform in [−1, 1], and in channels
    that fall where others rise the same from the other end.

    Static fields and what solid cells hold stay where they are. Raises ValueError where an end holds a value, which
    belongs to its place.
    Source: Theiler, Eubank, Longtin, Galdrikian & Farmer (1992), Physica D 58, of one series of readings.
    """
    if held(layout).any():
        raise ValueError(
            "rearranged starts would bring other values to ends that hold theirs (dirichlet); use simulated ones."
        )
    static = torch.tensor(layout.static_channels)
    moving = initial[:, ~static].flatten(2)
    inside = torch.zeros_like(moving[:, :1], dtype=torch.bool) if solid is None else solid.flatten(2)
    # Solid cells come last, so that ranks of fluid ones are ranks among these.
    values, falls = moving.masked_fill(inside, torch.inf).sort(dim=2).values, _falls(moving, ~inside)
    fluid = (~inside).sum(dim=2, keepdim=True)
    waves = random_waves(initial, layout, reach=reach, solid=solid)

    def draw(count: int, generator: torch.Generator) -> InitialStates:
        states, rows = waves(count, generator)
        power = reach ** (2 * torch.rand(count, 1, 1, generator=generator, dtype=torch.float64) - 1)
        wanted = states[:, ~static].flatten(2).masked_fill(inside[rows], torch.inf)
        shares = ((wanted.argsort(dim=2).argsort(dim=2) + 0.5) / fluid[rows]).clamp(max=1.0)
        shares = torch.where(falls, 1 - (1 - shares) ** power, shares**power)
        ranks = (shares * fluid[rows]).long().minimum(fluid[rows] - 1)
        found = torch.where(inside[rows], moving[rows], values[rows].gather(2, ranks))
        states[:, ~static] = found.unflatten(2, initial.shape[2:])
        return InitialStates(states, rows)

    return draw


def _falls(values: Float[Tensor, "N M P"], fluid: Bool[Tensor, "N 1 P"]) -> Bool[Tensor, "M 1"]:
    """Of each channel whether it falls where the combination of them that varies most, in their deviations, rises."""
    every = values.double().movedim(1, 2)[fluid[:, 0]].mT
    apart = every - every.mean(dim=1, keepdim=True)
    apart = apart / apart.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    falls: Tensor = torch.linalg.eigh(apart @ apart.mT).eigenvectors[:, -1:] < 0
    return falls
