"""Starts that are real states, as they are or shifted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.layout import Layout
from cotwin.stepper import Stepper
from cotwin.windows.start_states import PickedStates, Places, StartStates
from cotwin.windows.starts.sampling import Starts


def real(states: Float[Tensor, "M C *S"] | PickedStates) -> Starts:
    """Real states, each once before any is drawn again: teaches what the real data already cover."""
    every = PickedStates(states) if isinstance(states, Tensor) else states

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> PickedStates:
        rounds = math.ceil(count / len(every))
        order = torch.cat([torch.randperm(len(every), generator=generator) for _ in range(rounds)])
        return every.picked(order[:count])

    return draw


def perturbed(states: Float[Tensor, "M C *S"] | PickedStates, layout: Layout) -> Starts:
    """Real states shifted by a random number of points along each periodic axis.

    A shifted state is as possible a state of the system as the one observed, even where the system itself,
    through a coefficient field, is not the same everywhere: the teacher says what follows from it. Layouts
    with static fields are refused, since those belong to their place.
    """
    if any(layout.static_channels):
        raise ValueError("perturbed starts would shift the layout's static fields too; use real ones.")
    axes = [axis for axis in range(layout.dims) if layout.is_periodic(axis)]
    if not axes:
        raise ValueError("perturbed starts are shifted along periodic axes, and the layout has none; use real ones.")
    draw_real = real(states)

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> ShiftedStates:
        chosen = draw_real(count, teacher, generator)
        shifts = [torch.randint(layout.grid[axis], (count,), generator=generator) for axis in axes]
        return ShiftedStates(chosen, dict(zip(axes, shifts, strict=True)))

    return draw


class ShiftedStates(StartStates):
    """States, each shifted by its own number of points along some axes of the grid.

    shifts: (M,) for each shifted axis.
    """

    def __init__(self, states: StartStates, shifts: Mapping[int, Int[Tensor, "M"]]) -> None:
        self.states, self.shifts, self.dtype = states, shifts, states.dtype

    def __len__(self) -> int:
        return len(self.states)

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self.states.state_shape

    def places(self, indices: Sequence[int]) -> Places:
        return self.states.places(indices)

    def take(self, indices: Sequence[int]) -> Float[Tensor, "B C *S"]:
        chosen = self.states.take(indices)
        for axis, shifts in self.shifts.items():
            points = chosen.shape[axis + 2]
            shape = [1] * chosen.dim()
            shape[0], shape[axis + 2] = len(chosen), points
            index = (torch.arange(points) - shifts[torch.as_tensor(indices), None]) % points
            chosen = chosen.gather(axis + 2, index.reshape(shape).expand_as(chosen))
        return chosen
