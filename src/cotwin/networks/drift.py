"""Whether data keep the means that a simulator keeps: a leak that it knows nothing of would show there."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.networks.surrogate import Statistics, volumes
from cotwin.pieces import pieces

LEAST = 1e-3
"""Of a channel's deviation: what its mean may move by in any case; holding it costs no more than that."""
FEWEST = 8
"""Frames of a trajectory that tell a drift from noise."""


def keeps_means(
    layout: Layout,
    trajectories: Float[Tensor, "N T C *S"],
    statistics: Statistics,
    mask: Bool[Tensor, "N T C *S"] | None = None,
) -> list[bool]:
    """For each channel, whether the mean over the domain moves along the trajectories by no more than noise does.

    Noise is independent from frame to frame: means then spread about as far around their own mean as half their mean
    squared step. A drift, whatever its form, spreads them more than twice as far. Where fewer than 8 wholly observed
    frames tell, nothing is known: False, unless the means spread by less than a thousandth of the deviation.
    """
    share, means, whole = volumes(layout).double(), [], []
    for piece in pieces(trajectories):
        states = piece.of(trajectories).double()
        seen = torch.ones(states.shape[:3], dtype=torch.bool)
        if mask is not None:
            seen = piece.of(mask).flatten(3).all(dim=3)
            states = torch.where(piece.of(mask), states, 0.0)
        means.append((states * share).flatten(3).sum(dim=3).flatten(0, 1))
        whole.append(seen.flatten(0, 1))
    shape = (*trajectories.shape[:2], layout.channels)
    return [
        _keeps(one, observed, float(scale) * LEAST)
        for one, observed, scale in zip(
            torch.cat(means).view(shape).unbind(2),
            torch.cat(whole).view(shape).unbind(2),
            statistics.scale,
            strict=True,
        )
    ]


def _keeps(means: Float[Tensor, "N T"], seen: Bool[Tensor, "N T"], least: float) -> bool:
    around, steps, told, every = 0.0, 0.0, 0, 0
    for row, there in zip(means, seen, strict=True):
        kept = row[there]
        if len(kept) > 1:
            around += float((kept - kept.mean()).square().sum())
            steps += float(kept.diff().square().sum()) / 2 * len(kept) / (len(kept) - 1)
            told, every = max(told, len(kept)), every + len(kept)
    if every and around / every <= least**2:
        return True
    return told >= FEWEST and around <= 2 * steps
