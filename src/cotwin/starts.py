"""Where generated windows start: states that the teacher rolls out from."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.stepper import Stepper, rollout

Starts = Callable[[int, Stepper, torch.Generator], Tensor]
"""(how many, the teacher, randomness) -> states (M, C, *S)."""


def real(states: Float[Tensor, "M C *S"]) -> Starts:
    """Real states, each once before any is drawn again: teaches what the real data already cover."""

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> Tensor:
        rounds = math.ceil(count / len(states))
        order = torch.cat([torch.randperm(len(states), generator=generator) for _ in range(rounds)])
        return states[order[:count]]

    return draw


def perturbed(states: Float[Tensor, "M C *S"], layout: Layout) -> Starts:
    """Real states shifted by a random number of points along each periodic axis.

    A shifted state is as possible a state of the system as the one observed, even where the system itself,
    through a coefficient field, is not the same everywhere: the teacher says what follows from it. Layouts
    with static fields are refused, since those belong to their place.
    """
    if any(layout.static_channels):
        raise ValueError("starts: perturbed would shift the layout's static fields too; use starts: real.")
    axes = [axis for axis in range(layout.dims) if layout.boundary[axis] == "periodic"]
    if not axes:
        raise ValueError("starts: perturbed shifts along periodic axes and the layout has none; use starts: real.")
    draw_real = real(states)

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> Tensor:
        chosen = draw_real(count, teacher, generator)
        for axis in axes:
            points = layout.grid[axis]
            shift = torch.randint(points, (count,), generator=generator)
            shape = [1] * chosen.dim()
            shape[0], shape[axis + 2] = count, points
            index = (torch.arange(points) - shift[:, None]) % points
            chosen = chosen.gather(axis + 2, index.reshape(shape).expand_as(chosen))
        return chosen

    return draw


def simulated(initial: Float[Tensor, "N C *S"], layout: Layout, horizon: int) -> Starts:
    """States along trajectories that the teacher rolls out from random initial states like the real ones.

    The initial states are Gaussian random fields with the mean and the mean power spectrum of the real
    initial states; each is rolled out over `horizon` steps and yields states at random times. Needs periodic
    axes and no static fields. Raises ValueError otherwise.

    initial: the first states of the real training trajectories.
    """
    if any(kind != "periodic" for kind in layout.boundary) or any(layout.static_channels):
        raise ValueError(
            "starts: simulated draws initial states from a Fourier spectrum, so every axis must be periodic and "
            "no field static; use starts: real."
        )
    axes = tuple(range(2, initial.dim()))
    mean = initial.mean(dim=(0, *axes), keepdim=True)
    amplitude = torch.fft.rfftn(initial - mean, dim=axes).abs().square().mean(dim=0).sqrt()

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> Tensor:
        per_rollout = max(1, (horizon + 1) // 8)
        rollouts = math.ceil(count / per_rollout)
        noise = torch.randn(rollouts, *initial.shape[1:], generator=generator)
        # White noise has unit power at every wavenumber, and the conjugate symmetry of a real field.
        white = torch.fft.rfftn(noise, dim=axes, norm="ortho")
        fields = mean + torch.fft.irfftn(white * amplitude, s=initial.shape[2:], dim=axes)
        with torch.no_grad():
            states = rollout(teacher, fields, horizon)
        times = torch.rand(rollouts, horizon + 1, generator=generator).argsort(dim=1)[:, :per_rollout]
        return torch.cat([states[row, times[row]] for row in range(rollouts)])[:count]

    return draw
