"""How far a rollout is from the truth."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

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
    found = []
    for channel in range(states.shape[2]):
        values = states[:, :, channel]
        seen = (values.flatten() if mask is None else values[mask[:, :, channel]]).double()
        spread = seen.std(correction=0) if seen.numel() else torch.zeros((), dtype=torch.float64)
        is_rounding = seen.numel() == 0 or spread <= rounding(seen[None])[0]
        found.append(torch.zeros_like(spread) if is_rounding else spread.square())
    return torch.stack(found)


def rounding(values: Float[Tensor, "C M"]) -> Float[Tensor, " C"]:
    """The spread up to which each row's values differ by rounding alone, in their unit and double precision.

    2⁻²³ of the largest value where single precision holds all of them: they were stored in it, whatever their
    precision now. Else 2⁻⁴⁰ of it: over the steps of a simulation the 2⁻⁵² of double precision add up.
    """
    single = (values.float() == values).all(dim=1)
    return torch.where(single, 2.0**-23, 2.0**-40).double() * values.double().abs().amax(dim=1)
