"""In which precision trajectories are kept, and so computed with: single, unless that loses what is to be learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.pieces import chosen, pieces

Precision = Literal["auto", "single", "double"]

# A model predicts what changes from one state to the next; rounded by more of it, it would learn from rounding.
MOST_ROUNDING = 1e-4
# Beyond, squares of values (in losses, in u²) leave the range of single precision.
SMALLEST, LARGEST = 1e-15, 1e15


def fitting_precision(
    states: Float[Tensor, "N T C *S"],
    mask: Bool[Tensor, "N T C *S"] | None,
    layout: Layout,
    precision: Precision,
) -> tuple[torch.dtype, list[str]]:
    """The precision that is asked for, or that states need, and what should be said of it.

    auto: double where the rounding of single precision is more than 10⁻⁴ of what a channel changes from one
    state to the next (as a rule a large offset, such as a pressure of 101,325 Pa that varies by 1), or where squares
    of its values would leave the range of single precision.
    """
    reasons = list(_losses(states, mask, layout))
    if precision == "double" or (precision == "auto" and reasons):
        return torch.float64, [f"computed in double precision: {reason}" for reason in reasons]
    return torch.float32, [f"rounded to single precision as asked, though {reason}" for reason in reasons]


class _RootMeanSquare:
    """Of values that come in parts; by the largest so far, so that no square leaves the range."""

    def __init__(self) -> None:
        self.largest, self._squares, self._count = 0.0, 0.0, 0

    def add(self, values: Float[Tensor, " M"]) -> None:
        values = values.double()
        here = max(abs(float(end)) for end in values.aminmax()) if values.numel() else 0.0
        if here > self.largest:
            self._squares *= (self.largest / here) ** 2
            self.largest = here
        if self.largest > 0:
            self._squares += float(torch.linalg.vector_norm(values / self.largest)) ** 2
        self._count += values.numel()

    @property
    def value(self) -> float:
        """0 without any."""
        return self.largest * (self._squares / self._count) ** 0.5 if self._count else 0.0


def _losses(states: Tensor, mask: Tensor | None, layout: Layout) -> Iterator[str]:
    """For each channel that single precision does not serve, why."""
    moving = [channel for channel, static in enumerate(layout.static_channels) if not static]
    sizes, changes = ({channel: _RootMeanSquare() for channel in moving} for _ in range(2))
    for piece in pieces(states, before=1):
        for channel in moving:
            values = piece.of(states)[:, :, channel]
            known = values.isfinite() if mask is None else piece.of(mask)[:, :, channel] & values.isfinite()
            # The first of the frames was in the piece before: its change to the next was not.
            changes[channel].add(chosen(values.diff(dim=1), known[:, 1:] & known[:, :-1]))
            sizes[channel].add(chosen(values[:, piece.lead :], known[:, piece.lead :]))
    for channel in moving:
        name, change, size = layout.channel_names[channel], changes[channel].value, sizes[channel]
        if change == 0:
            continue
        rounding = size.value * torch.finfo(torch.float32).eps / 48**0.5
        if size.largest > LARGEST or change < SMALLEST:
            yield f"squares of {name}, from {change:.2g} to {size.largest:.2g}, leave the range of single precision"
        elif rounding > MOST_ROUNDING * change:
            stored = ", in which the file has it already," if states.dtype == torch.float32 else ""
            yield (
                f"single precision{stored} rounds {name} by {rounding:.2g}, {100 * rounding / change:.2g}% of what "
                "it changes from one state to the next"
            )
