"""Real and generated windows together, each with its influence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from cotwin.given import Given, joined
from cotwin.sensors import Sensors
from cotwin.windows.windows import Batch, Windows


class JoinedWindows(Windows):
    """Real windows followed by generated ones, weighted so that generated data count alpha times.

    With n_r real and n_g generated windows of losses ℓ, the weights are (n_r+n_g)/n_r and alpha·(n_r+n_g)/n_g, both
    divided by 1 + alpha, so the mean of weight·ℓ over all windows is (L + alpha·I)/(1 + alpha), L the mean loss of
    the real windows and I that of the generated ones, however many were generated. Without the division gradients
    would grow with alpha, and an optimiser that clips them would clip the batches with most real windows most.

    >>> import torch
    >>> from cotwin.windows import SlidingWindows
    >>> real = SlidingWindows(torch.randn(1, 10, 1, 8), num_steps=1)
    >>> generated = SlidingWindows(torch.randn(1, 4, 1, 8), num_steps=1)
    >>> JoinedWindows(real, generated, alpha=0.5).__getitems__([0, 11]).weight
    tensor([0.8889, 1.3333])
    """

    def __init__(self, real: Windows, generated: Windows, alpha: float) -> None:
        if real.window_shape != generated.window_shape:
            raise ValueError(f"real windows are {real.window_shape}, generated ones {generated.window_shape}.")
        if not 0 <= alpha < math.inf:
            raise ValueError(f"alpha is {alpha}; the influence of generated data is zero or positive, and finite.")
        self.real, self.generated, self.alpha = real, generated, alpha
        self.ahead_bytes, self.renewed = generated.ahead_bytes, generated.renewed
        if real.dtype != generated.dtype:
            raise ValueError(
                f"real windows are {real.dtype}, generated ones {generated.dtype}; generate in the same."
            )
        self.dtype = real.dtype
        self.mask_dtype = real.mask_dtype or generated.mask_dtype
        total = len(real) + len(generated)
        self.real_weight = total / len(real) / (1 + alpha)
        self.generated_weight = alpha * total / len(generated) / (1 + alpha)

    def __len__(self) -> int:
        return len(self.real) + len(self.generated)

    @property
    def window_shape(self) -> tuple[int, ...]:
        return self.real.window_shape

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        first = len(self.real)
        placed = list(zip(indices, rows, strict=True))
        real = [(index, row) for index, row in placed if index < first]
        generated = [(index - first, row) for index, row in placed if index >= first]
        # NumPy: of a few rows torch's indexing takes five times as long.
        weights, measured = batch.weight.numpy(), batch.measured.numpy()
        measured[[row for _, row in generated]] = False
        for windows, weight, part in (
            (self.real, self.real_weight, real),
            (self.generated, self.generated_weight, generated),
        ):
            if part:
                own_indices, own_rows = zip(*part, strict=True)
                windows.write(own_indices, batch, own_rows)
                weights[list(own_rows)] *= weight

    def given_with(self, indices: Sequence[int]) -> Given | None:
        first = len(self.real)
        order = sorted(range(len(indices)), key=lambda row: indices[row] >= first)
        count = sum(index < first for index in indices)
        parts = [
            self.real.given_with([indices[row] for row in order[:count]]),
            self.generated.given_with([indices[row] - first for row in order[count:]]),
        ]
        known = [part for part in parts if part is not None and len(part)]
        return joined(known).rows(torch.tensor(order).argsort()) if known else None

    def readings_with(self, indices: Sequence[int]) -> Sensors | None:
        rows = [row for row, index in enumerate(indices) if index < len(self.real)]
        readings = self.real.readings_with([indices[row] for row in rows])
        return None if readings is None else replace(readings, row=torch.tensor(rows, dtype=torch.long)[readings.row])

    def will_read(self, indices: Sequence[int]) -> None:
        first = len(self.real)
        self.real.will_read([index for index in indices if index < first])
        self.generated.will_read([index - first for index in indices if index >= first])

    def epoch(self, number: int) -> JoinedWindows:
        generated = self.generated.epoch(number)
        return self if generated is self.generated else JoinedWindows(self.real, generated, self.alpha)
