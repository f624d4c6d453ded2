"""In which precision trajectories are kept, and so computed with: single, unless that loses what is to be learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.layout import Layout

Precision = Literal["auto", "single", "double"]

# A model predicts what changes from one state to the next; rounded by more of it, it would learn from rounding.
MOST_ROUNDING = 1e-4
# Beyond, squares of values (in losses, in u²) leave the range of single precision.
SMALLEST, LARGEST = 1e-15, 1e15


def in_precision(
    states: Float[Tensor, "N T C *S"],
    mask: Bool[Tensor, "N T C *S"] | None,
    layout: Layout,
    precision: Precision,
) -> tuple[Float[Tensor, "N T C *S"], list[str]]:
    """States in the precision asked for, and what should be said of it.

    auto: double where the rounding of single precision is more than 10⁻⁴ of what a channel changes from one
    state to the next (as a rule a large offset, such as a pressure of 101,325 Pa that varies by 1), or where squares
    of its values would leave the range of single precision.
    """
    reasons = list(_losses(states, mask, layout))
    if precision == "double" or (precision == "auto" and reasons):
        return states.double(), [f"computed in double precision: {reason}" for reason in reasons]
    return states.float(), [f"rounded to single precision as asked, though {reason}" for reason in reasons]


def _losses(states: Tensor, mask: Tensor | None, layout: Layout) -> Iterator[str]:
    """For each channel that single precision does not serve, why."""
    for channel, (name, static) in enumerate(zip(layout.channel_names, layout.static_channels, strict=True)):
        if static:
            continue
        values = states[:, :, channel]
        known = torch.isfinite(values) if mask is None else mask[:, :, channel] & torch.isfinite(values)
        change = _root_mean_square(values.diff(dim=1), known[:, 1:] & known[:, :-1])
        if change == 0:
            continue
        largest = float(values.abs().max() if bool(known.all()) else values[known].abs().max())
        rounding = _root_mean_square(values, known) * torch.finfo(torch.float32).eps / 48**0.5
        if largest > LARGEST or change < SMALLEST:
            yield f"squares of {name}, from {change:.2g} to {largest:.2g}, leave the range of single precision"
        elif rounding > MOST_ROUNDING * change:
            stored = ", in which the file has it already," if states.dtype == torch.float32 else ""
            yield (
                f"single precision{stored} rounds {name} by {rounding:.2g}, {100 * rounding / change:.2g}% of what "
                "it changes from one state to the next"
            )


def _root_mean_square(values: Tensor, known: Tensor) -> float:
    """Of the values that are known; 0 if none is. By their largest, so that no square leaves the range."""
    sizes = values[known].double().abs()
    if sizes.numel() == 0:
        return 0.0
    largest = float(sizes.max())
    return largest * float((sizes / largest).square().mean().sqrt()) if largest > 0 else 0.0
