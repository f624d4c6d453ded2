"""Trajectories of one file that end before the others: not a number in every field from some state on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.room import MEMORY, Room
from cotwin.pieces import any_of, pieces


def ends_of(states: Float[Tensor, "N T C *S"], static: Sequence[bool]) -> list[int]:
    """How many states each trajectory has before nothing but NaN follows in what moves.

    All, where there are fewer than two before: that is no trajectory which ends early.
    """
    moving = [channel for channel, fixed in enumerate(static) if not fixed]
    there = torch.zeros(states.shape[:2], dtype=torch.bool)
    for piece in pieces(states):
        there[piece.rows, piece.frames] = any_of(~piece.of(states).isnan(), moving)
    count = states.shape[1]
    ends = count - (~there).flip(1).int().cumprod(dim=1).sum(dim=1)
    return [int(end) if end >= 2 else count for end in ends]


def without_tails(
    states: Float[Tensor, "N T C *S"],
    mask: Bool[Tensor, "N T C *S"] | None,
    ends: Sequence[int],
    room: Room = MEMORY,
) -> Bool[Tensor, "N T C *S"] | None:
    """The mask without what comes after the ends; a static field is everywhere."""
    if min(ends) == states.shape[1]:
        return mask
    result = room.zeros(states.shape, torch.bool, "what of the states was observed")
    last = torch.tensor(ends)
    for piece in pieces(states):
        values = piece.of(states)
        after = torch.arange(piece.frames.start, piece.frames.stop) >= last[piece.rows, None]
        known = torch.ones_like(values, dtype=torch.bool) if mask is None else piece.of(mask)
        within = ~after.view(*after.shape, *[1] * (values.dim() - 2))
        piece.of(result).copy_(known & (values.isfinite() | within))
    return result


def about_ends(ends: Sequence[int], measured: int) -> list[str]:
    """Which trajectories end before the others, in words."""
    early = [f"{number} after {end}" for number, end in enumerate(ends) if end < measured]
    if not early:
        return []
    few = ", ".join(early[:5]) + (f" and {len(early) - 5} more" if len(early) > 5 else "")
    return [f"trajectories end before {measured} states, nothing but NaN follows: trajectory {few}"]
