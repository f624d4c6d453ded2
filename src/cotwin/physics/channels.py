"""Which channels of a state move, and which coefficients fit a grid."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter


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


def require_velocity(layout: Layout, equation: str, most_dims: int = 3) -> None:
    """Raise ValueError unless the moving fields are one vector with a component for each axis."""
    moving = [field for field in layout.fields if not field.static]
    if len(moving) != 1 or moving[0].components != layout.dims or layout.dims > most_dims:
        found = ", ".join(f"{field.name} ({field.components})" for field in moving)
        raise ValueError(
            f"{equation} moves one velocity field with a component for each of 1 to {most_dims} axes; the layout of "
            f"{layout.dims} axes has the moving fields (components) {found}. Declare Field('u', "
            f"components={layout.dims}), and mark given fields as static."
        )


def require_scalars(layout: Layout, equation: str, count: int = 1, dims: tuple[int, ...] = (1, 2, 3)) -> None:
    """Raise ValueError unless the moving fields are so many scalars, on so many axes."""
    moving = [field for field in layout.fields if not field.static]
    if len(moving) != count or any(field.components != 1 for field in moving) or layout.dims not in dims:
        found = ", ".join(f"{field.name} ({field.components})" for field in moving)
        raise ValueError(
            f"{equation} moves scalar fields, {count} of them, on {' or '.join(map(str, dims))} axes; the layout of "
            f"{layout.dims} axes has the moving fields (components) {found}. Mark given fields as static."
        )


def require_scalar_coefficients(equation: str, **parameters: Parameter | None) -> None:
    """Raise ValueError unless each parameter that is given is a scalar."""
    for name, parameter in parameters.items():
        shape = () if parameter is None else tuple(parameter().shape)
        if shape != ():
            raise ValueError(f"{name} of shape {shape} must be a scalar in {equation}.")


def require_coefficient(parameter: Parameter, layout: Layout, name: str) -> None:
    """Raise ValueError unless the parameter is a scalar or a field on the layout's grid."""
    shape = tuple(parameter().shape)
    if shape not in ((), layout.grid):
        raise ValueError(
            f"{name} of shape {shape} is neither a scalar nor a field on the grid {layout.grid}; "
            "wrap coarse coefficients in CoarseField(coefficients, layout)."
        )


def _moving_index(layout: Layout, device: torch.device) -> Tensor:
    moving = [channel for channel, static in enumerate(layout.static_channels) if not static]
    return torch.tensor(moving, device=device)
