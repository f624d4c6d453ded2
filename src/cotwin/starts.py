"""Where generated windows start: states that the teacher rolls out from."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.stepper import DivergenceError, Stepper

MOST_DRAWS = 8  # rounds of replacing initial states from which the teacher diverges
ROLLOUTS_AT_ONCE = 64  # all their states together are many times what is drawn from them

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
    initial states, scaled down where they would go further from the mean than 1.5 times those do; each is
    rolled out over `horizon` steps and yields states at random times. Draws from which the teacher diverges
    are drawn again. Needs periodic axes and no static fields. Raises ValueError otherwise, and
    DivergenceError if the teacher diverges from most draws.

    initial: the first states of the real training trajectories.
    """
    if any(kind != "periodic" for kind in layout.boundary) or any(layout.static_channels):
        raise ValueError(
            "starts: simulated draws initial states from a Fourier spectrum, so every axis must be periodic and "
            "no field static; use starts: real."
        )
    if not torch.isfinite(initial).all():
        raise ValueError("starts: simulated needs real initial states without missing values; use starts: real.")
    axes = tuple(range(2, initial.dim()))
    mean = initial.mean(dim=(0, *axes), keepdim=True)
    amplitude = torch.fft.rfftn(initial - mean, dim=axes).abs().square().mean(dim=0).sqrt()
    furthest = 1.5 * (initial - mean).abs().amax(dim=(0, *axes), keepdim=True)
    per_rollout = max(1, (horizon + 1) // 8)

    def draw_rollouts(count: int, teacher: Stepper, generator: torch.Generator) -> Tensor:
        # At most `count` rollouts, `per_rollout` states of each: (R, P, C, *S).
        noise = torch.randn(count, *initial.shape[1:], generator=generator)
        # White noise has unit power at every wavenumber, and the conjugate symmetry of a real field.
        white = torch.fft.rfftn(noise, dim=axes, norm="ortho")
        fields = torch.fft.irfftn(white * amplitude, s=initial.shape[2:], dim=axes)
        # tiny: a channel that always starts the same draws no field at all, and zero over zero is not a number.
        largest = fields.abs().amax(dim=axes, keepdim=True).clamp(min=torch.finfo(fields.dtype).tiny)
        fields = fields * (furthest / largest).clamp(max=1.0)
        device = next((p.device for p in teacher.parameters()), fields.device)
        with torch.no_grad():
            states = teacher.rollout((mean + fields).to(device), horizon).to(fields.device)
        states = states[torch.isfinite(states).flatten(1).all(dim=1)]
        times = torch.rand(len(states), horizon + 1, generator=generator).argsort(dim=1)[:, :per_rollout]
        return states[torch.arange(len(states))[:, None], times]

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> Tensor:
        wanted = math.ceil(count / per_rollout)
        parts: list[Tensor] = []
        found = 0
        for _ in range(MOST_DRAWS * math.ceil(wanted / ROLLOUTS_AT_ONCE)):
            if found >= wanted:
                break
            parts.append(draw_rollouts(min(wanted - found, ROLLOUTS_AT_ONCE), teacher, generator))
            found += len(parts[-1])
        if found < wanted:
            raise DivergenceError(
                f"{type(teacher).__name__} diverges from most initial states like the real ones; take more substeps, "
                "or use starts: real."
            )
        return torch.cat(parts).flatten(0, 1)[:count]

    return draw
