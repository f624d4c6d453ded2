"""The loss of a rollout: squared error over a window, in units of the error of predicting no change."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation import sensed
from cotwin.layout import Layout
from cotwin.pieces import AT_ONCE
from cotwin.sensors import Sensors
from cotwin.training.metrics import rounding
from cotwin.windows import Batch, Windows

MOST_READ = 1_000_000_000
"""Bytes of windows whose changes tell the scale of a loss."""


class RolloutLoss:
    """Weighted, masked, normalised squared error of a batch of windows.

    For one window ℓ = mean over observed entries (step t ≥ 1, channel c, point x), each counted by how sure it is, of
    (prediction − truth)²/s_c; for a batch, the mean over windows of weight · ℓ. With s_c the persistence error of
    channel c, predicting no change costs one, whatever the data's units. Without that scale L-BFGS stops on its first
    evaluation, its gradients being below its tolerance.

    Readings of sensors count as entries do, each of the prediction interpolated at its place and time.

    scale: s_c for each channel, in the channel's unit squared; infinity for one that does not count (static).
    layout: of the states; needed for readings alone.
    """

    def __init__(self, scale: Float[Tensor, " C"], layout: Layout | None = None) -> None:
        if not bool((scale > 0).all()) or bool(torch.isinf(scale).all()):
            raise ValueError(f"loss scales are {scale.tolist()}; they must be positive, and one of them finite.")
        self.inverse_scale, self.layout = 1 / scale, layout

    @classmethod
    def by_persistence(
        cls, real: Windows, static: tuple[bool, ...] | None = None, layout: Layout | None = None
    ) -> RolloutLoss:
        """Scaled by the mean squared change over the real windows, for each channel.

        static: for each channel, whether it is to be left out (`layout.static_channels`); none if not given.
        Of windows of more than a gigabyte in all every so many count, as many as make up one.
        A channel that changes by rounding alone is left out too, as errors on held-out data leave it out. Raises
        ValueError if no channel is left, or a value is not finite that no mask hides.
        """
        static = (False,) * real.window_shape[1] if static is None else static
        squares = torch.zeros(len(static), dtype=torch.float64)
        counts = torch.zeros(len(static), dtype=torch.float64)
        noise = torch.zeros(len(static), dtype=torch.float64)
        # Windows overlap: of many, some tell as much, and all would be read many times.
        some = range(0, len(real), math.ceil(real.num_bytes / MOST_READ))
        at_once = min(64, max(1, AT_ONCE // real.window_bytes))
        for first in range(0, len(some), at_once):
            batch = real.__getitems__(some[first : first + at_once])
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
        return cls(scale.to(real.dtype), layout)

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
            if batch.readings:
                weight = self._inverse_scales(batch.readings).to(error)
                total = total.index_add(0, batch.readings.row, weight * self.missed(prediction, batch).square())
                count = count.index_add(0, batch.readings.row, (weight > 0).to(error))
            per_window = total / torch.where(count > 0, count, 1.0)
        return batch.weight.to(error) * per_window

    def root_weights(self, batch: Batch) -> Float[Tensor, "B T C *S"]:
        """√ of what (prediction − truth)² of each entry counts in the sum of weight · ℓ; zero where it does not."""
        shape = (1, 1, -1, *(1,) * (batch.states.dim() - 3))
        weights = self.inverse_scale.to(batch.states).reshape(shape).expand_as(batch.states[:, 1:])
        sure = (weights > 0).to(weights)
        if batch.mask is not None:
            sure = sure * batch.mask[:, 1:]
        each = self._share(batch, sure.flatten(1).sum(dim=1)).to(weights)
        return (weights * sure * each.reshape(-1, *(1,) * (weights.dim() - 1))).sqrt()

    def root_weights_of_readings(self, batch: Batch) -> Float[Tensor, " K"]:
        """The same of (prediction − reading)², where batches have readings; on the grid beside them is nothing."""
        assert batch.readings is not None
        weights = self._inverse_scales(batch.readings)
        nothing = torch.zeros(len(batch.weight), device=weights.device)
        return (weights * self._share(batch, nothing)[batch.readings.row].to(weights)).sqrt()

    def missed(self, prediction: Float[Tensor, "B T C *S"], batch: Batch) -> Float[Tensor, " K"]:
        """prediction − reading, of all readings."""
        assert batch.readings is not None
        assert self.layout is not None
        seen = sensed(batch.readings, self.layout, len(prediction))
        return seen(prediction[:, : seen.num_steps + 1]) - batch.readings.values.to(prediction)

    def _inverse_scales(self, readings: Sensors) -> Float[Tensor, " K"]:
        return self.inverse_scale.to(readings.values)[readings.channel]

    def _share(self, batch: Batch, counted: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Of the weight of each window what one of its values has. counted: of them on the grid."""
        if batch.readings:
            counted = counted.index_add(0, batch.readings.row, (self._inverse_scales(batch.readings) > 0).to(counted))
        return batch.weight.to(counted) / torch.where(counted > 0, counted, 1.0)
