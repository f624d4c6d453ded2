"""How far a rollout is from the truth."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.pieces import Moments, pieces

EPSILON = 1e-7  # The Well's; keeps a state without variation from dividing by zero.


def vrmse(
    prediction: Float[Tensor, "B T C *S"],
    truth: Float[Tensor, "B T C *S"],
    mask: Bool[Tensor, "B T C *S"] | None = None,
) -> Float[Tensor, "B T C"]:
    """Root of the mean squared error over the truth's spatial variance, for each time and channel.

    VRMSE = √( ⟨(prediction − truth)²⟩ / (var(truth) + 10⁻⁷) ), ⟨·⟩ the mean over space and var the unbiased
    variance. Predicting the spatial mean scores one. With a mask, over the observed points only; nan where
    fewer than two are. The 10⁻⁷ has the unit of the data: what decides is `HeldOut.error`, which has none.

    Source: Ohana et al. (2024), The Well, NeurIPS Datasets and Benchmarks.
    """
    space = tuple(range(3, truth.dim()))
    if mask is None:
        error = (prediction - truth).square().mean(dim=space)
        return (error / (truth.var(dim=space) + EPSILON)).sqrt()
    count = mask.sum(dim=space)
    points = count.clamp(min=1)
    error = torch.where(mask, (prediction - truth).square(), 0.0).sum(dim=space) / points
    mean = torch.where(mask, truth, 0.0).sum(dim=space) / points
    centred = truth - mean.reshape(*mean.shape, *(1,) * len(space))
    variance = torch.where(mask, centred.square(), 0.0).sum(dim=space) / (count - 1).clamp(min=1)
    return torch.where(count > 1, (error / (variance + EPSILON)).sqrt(), torch.nan)


def variances(states: Float[Tensor, "N T C *S"], mask: Bool[Tensor, "N T C *S"] | None = None) -> Float[Tensor, " C"]:
    """Variance of each channel over trajectories, time and space, of what was observed, in double precision.

    Zero for a channel whose spread is only rounding (`rounding`).
    """
    every, single = [Moments() for _ in range(states.shape[2])], [True] * states.shape[2]
    for piece in pieces(states):
        for channel, moments in enumerate(every):
            values = piece.of(states)[:, :, channel]
            seen = values.flatten() if mask is None else values[piece.of(mask)[:, :, channel]]
            moments.add(seen)
            single[channel] &= is_single(seen)
    found = [
        0.0 if not one.count or one.deviation <= ROUNDING[stored] * one.largest else one.deviation**2
        for one, stored in zip(every, single, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64)


ROUNDING = {True: 2.0**-23, False: 2.0**-40}
"""Of the largest value, up to which values differ by rounding alone: where single precision holds all of them they
were stored in it, whatever their precision now; else over the steps of a simulation the 2⁻⁵² of double add up."""


def is_single(values: Float[Tensor, " M"]) -> bool:
    """Whether single precision holds all of these."""
    return values.dtype == torch.float32 or bool((values.float() == values).all())


def rounding(values: Float[Tensor, "C M"]) -> Float[Tensor, " C"]:
    """The spread up to which each row's values differ by rounding alone, in their unit and double precision."""
    part = torch.tensor([ROUNDING[is_single(row)] for row in values], dtype=torch.float64)
    return part.to(values.device) * values.double().abs().amax(dim=1)
