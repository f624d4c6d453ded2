"""The loss of a rollout: squared error over a window, in units of the error of predicting no change."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.training.metrics import rounding
from cotwin.windows import Batch, Windows


class RolloutLoss:
    """Weighted, masked, normalised squared error of a batch of windows.

    For one window ℓ = mean over observed entries (step t ≥ 1, channel c, point x), each counted by how sure it is, of
    (prediction − truth)²/s_c; for a batch, the mean over windows of weight · ℓ. With s_c the persistence error of
    channel c, predicting no change costs one, whatever the data's units. Without that scale L-BFGS stops on its first
    evaluation, its gradients being below its tolerance.

    scale: s_c for each channel, in the channel's unit squared; infinity for one that does not count (static).
    """

    def __init__(self, scale: Float[Tensor, " C"]) -> None:
        if not bool((scale > 0).all()) or bool(torch.isinf(scale).all()):
            raise ValueError(f"loss scales are {scale.tolist()}; they must be positive, and one of them finite.")
        self.inverse_scale = 1 / scale

    @classmethod
    def by_persistence(cls, real: Windows, static: tuple[bool, ...] | None = None) -> RolloutLoss:
        """Scaled by the mean squared change over the real windows, for each channel.

        static: for each channel, whether it is to be left out (`layout.static_channels`); none if not given.
        A channel that changes by rounding alone is left out too, as errors on held-out data leave it out. Raises
        ValueError if no channel is left, or a value is not finite that no mask hides.
        """
        static = (False,) * real.window_shape[1] if static is None else static
        squares = torch.zeros(len(static), dtype=torch.float64)
        counts = torch.zeros(len(static), dtype=torch.float64)
        noise = torch.zeros(len(static), dtype=torch.float64)
        for first in range(0, len(real), 64):
            batch = real.__getitems__(range(first, min(first + 64, len(real))))
            states, mask = batch.states, batch.mask
            change = (states[:, 1:] - states[:, :1]).double().square()
            seen = torch.ones_like(change) if mask is None else mask[:, 1:].double()
            # Where nothing was observed the stored value means nothing, and may not be a number.
            change, values = (torch.where(seen > 0, part, 0.0) for part in (change, states[:, 1:]))
            squares += change.transpose(2, 0).flatten(1).sum(dim=1)
            counts += seen.transpose(2, 0).flatten(1).sum(dim=1)
            noise = torch.maximum(noise, rounding(values.transpose(2, 0).flatten(1)))
        if not bool(squares.isfinite().all()):
            raise ValueError("training windows are not finite; set a mask that is False where they are not.")
        scale = squares / counts
        still = ~(scale > noise.square()) | torch.tensor(static)
        if bool(still.all()):
            raise ValueError("no field that moves changes over any training window; use longer windows.")
        scale[still] = torch.inf
        return cls(scale.to(real.dtype))

    def __call__(self, prediction: Float[Tensor, "B T C *S"], batch: Batch) -> Float[Tensor, ""]:
        """The loss of predicted windows, the start included but not scored."""
        return self.of_each(prediction, batch).mean()

    def of_each(self, prediction: Float[Tensor, "B T C *S"], batch: Batch) -> Float[Tensor, " B"]:
        """weight · ℓ of each window."""
        truth = batch.states[:, 1:]
        if batch.mask is not None:
            # Before the difference: masked after it, a value that is not a number would still reach the gradient.
            truth = torch.where(batch.mask[:, 1:] > 0, truth, 0.0)
        error = (prediction[:, 1:] - truth).square()
        shape = (1, 1, -1, *(1,) * (error.dim() - 3))
        inverse_scale = self.inverse_scale.to(error).reshape(shape)
        counted = (inverse_scale > 0).to(error)
        if batch.mask is None:
            per_window = (error * inverse_scale).flatten(1).mean(dim=1) / counted.mean()
        else:
            sure = batch.mask[:, 1:] * counted
            total = torch.where(sure > 0, sure * error * inverse_scale, 0.0).flatten(1).sum(dim=1)
            count = sure.flatten(1).sum(dim=1)
            per_window = total / torch.where(count > 0, count, 1.0)
        return batch.weight.to(error) * per_window

    def root_weights(self, batch: Batch) -> Float[Tensor, "B T C *S"]:
        """√ of what (prediction − truth)² of each entry counts in the sum of weight · ℓ; zero where it does not."""
        shape = (1, 1, -1, *(1,) * (batch.states.dim() - 3))
        weights = self.inverse_scale.to(batch.states).reshape(shape).expand_as(batch.states[:, 1:])
        sure = (weights > 0).to(weights)
        if batch.mask is not None:
            sure = sure * batch.mask[:, 1:]
        counted = sure.flatten(1).sum(dim=1)
        counted, weights = torch.where(counted > 0, counted, 1.0), weights * sure
        return (weights * (batch.weight.to(weights) / counted).reshape(-1, *(1,) * (weights.dim() - 1))).sqrt()
