"""Trajectories of one file that end before the others: not a number in every field from some state on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def ends_of(states: Float[Tensor, "N T C *S"], static: Sequence[bool]) -> list[int]:
    """How many states each trajectory has before nothing but NaN follows in what moves.

    All, where there are fewer than two before: that is no trajectory which ends early.
    """
    moving = states[:, :, ~torch.tensor(static)].flatten(2)
    count = moving.shape[1]
    ends = count - moving.isnan().all(dim=2).flip(1).int().cumprod(dim=1).sum(dim=1)
    return [int(end) if end >= 2 else count for end in ends]


def without_tails(
    states: Float[Tensor, "N T C *S"], mask: Bool[Tensor, "N T C *S"] | None, ends: Sequence[int]
) -> Bool[Tensor, "N T C *S"] | None:
    """The mask without what comes after the ends; a static field is everywhere."""
    if min(ends) == states.shape[1]:
        return mask
    mask = torch.ones_like(states, dtype=torch.bool) if mask is None else mask.clone()
    for row, values, end in zip(mask, states, ends, strict=True):
        row[end:] &= values[end:].isfinite()
    return mask


def about_ends(ends: Sequence[int], measured: int) -> list[str]:
    """Which trajectories end before the others, in words."""
    early = [f"{number} after {end}" for number, end in enumerate(ends) if end < measured]
    if not early:
        return []
    few = ", ".join(early[:5]) + (f" and {len(early) - 5} more" if len(early) > 5 else "")
    return [f"trajectories end before {measured} states, nothing but NaN follows: trajectory {few}"]
