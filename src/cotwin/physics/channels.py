"""Which channels of a state move."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout


def take_moving(state: Float[Tensor, "B C *S"], layout: Layout) -> Float[Tensor, "B M *S"]:
    """The channels of the fields that change in time."""
    if not any(layout.static_channels):
        return state
    return state.index_select(1, _moving_index(layout, state.device))


def put_moving(
    moved: Float[Tensor, "B T M *S"], state: Float[Tensor, "B C *S"], layout: Layout
) -> Float[Tensor, "B T C *S"]:
    """The rollout of all channels: the moved ones, and the static ones as the start has them."""
    if not any(layout.static_channels):
        return moved
    everywhere = state[:, None].expand(-1, moved.shape[1], *state.shape[1:])
    return everywhere.index_copy(2, _moving_index(layout, state.device), moved)


def is_uniform(coefficient: Tensor, dims: int) -> bool:
    """Whether a coefficient of shape (), (*S) or either of these for each sample is a scalar."""
    return math.prod(coefficient.shape[-dims:]) == 1


def side_by_side(*scalars: Tensor, dims: int) -> Float[Tensor, "*M ones"]:
    """Scalars, or scalars for each sample, as one coefficient for each channel."""
    ones = (1,) * (dims + 1)
    shaped = [one.view(ones) if one.ndim == 0 else one for one in scalars]
    return torch.cat(torch.broadcast_tensors(*shaped), dim=-dims - 1)


def by_channel(components: Sequence[Tensor], dims: int) -> Float[Tensor, "*M K"]:
    """Components, scalars or fields or either of these for each sample, as one coefficient for each channel."""
    shaped = (one if one.ndim == dims + 2 else one.view(1, *(one.shape or (1,) * dims)) for one in components)
    return torch.cat(torch.broadcast_tensors(*shaped), dim=-dims - 1)


def _moving_index(layout: Layout, device: torch.device) -> Tensor:
    moving = [channel for channel, static in enumerate(layout.static_channels) if not static]
    return torch.tensor(moving, device=device)
