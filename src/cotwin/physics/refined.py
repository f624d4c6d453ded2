"""Solving on a finer grid than the data's."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.channels import put_moving, take_moving
from cotwin.stepper import Stepper


class Refined(Stepper):
    """The inner stepper's solution u(x, t), started from the interpolated state, at the data's points.

    inner: a stepper on layout.refined(factor), with its field parameters on that finer grid.
    factor: how many times finer the inner grid is along each axis.
    Scheme: the start is lifted by trigonometric interpolation, spectrally accurate; a rollout stays on the
    fine grid throughout and every factor-th point of it is returned, exactly.

    Starting again from a returned state loses what only the fine grid resolved: two rollouts in sequence
    equal one rollout only as far as the data's grid resolves the solution.
    Source: Trefethen (2000), Spectral Methods in MATLAB, chapter 3.
    """

    composes = False

    def __init__(self, inner: Stepper, layout: Layout, factor: int) -> None:
        super().__init__(layout)
        if any(kind != "periodic" for kind in layout.boundary):
            raise ValueError(
                f"Refined interpolates by Fourier series and needs periodic boundaries, the layout has "
                f"{layout.boundary}; use data on the finer grid instead."
            )
        if inner.layout != layout.refined(factor):
            raise ValueError(
                f"the inner stepper's layout, grid {inner.layout.grid}, is not the data's layout, grid "
                f"{layout.grid}, refined by {factor}; build it on layout.refined({factor})."
            )
        self.inner = inner
        self.factor = factor
        self.vmaps = inner.vmaps

    def needed_pace(self) -> tuple[int, ...]:
        """The inner stepper's."""
        return self.inner.pace()

    def paced(self, pace: tuple[int, ...]) -> Refined:
        return Refined(self.inner.paced(pace), self.layout, self.factor)

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        """The inner stepper's."""
        return self.inner.remedy(interpolate(before, self.factor))

    def forward(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        return self.rollout(state, 1)[:, 1]

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        fine = self.inner.rollout(interpolate(state, self.factor), num_steps)
        whole, coarse = slice(None), slice(None, None, self.factor)
        fine = fine[(whole, whole, whole, *[coarse] * self.layout.dims)]
        states = [take_moving(state, self.layout)]
        states += [take_moving(fine[:, step], self.layout) for step in range(1, num_steps + 1)]
        return put_moving(torch.stack(states, dim=1), state, self.layout)


def interpolate(fields: Float[Tensor, "B C *S"], factor: int) -> Float[Tensor, "B C *F"]:
    """Periodic fields at `factor` times as many points along each axis, by trigonometric interpolation.

    >>> interpolate(torch.tensor([[[1.0, -1.0]]]), 2)
    tensor([[[ 1.,  0., -1.,  0.]]])
    """
    if factor == 1:
        return fields
    for axis in range(2, fields.ndim):
        points = fields.shape[axis]
        spectrum = torch.fft.rfft(fields, dim=axis, norm="forward")
        if points % 2 == 0:
            # On the finer grid the highest mode has a partner of negative frequency; each gets half.
            share = torch.ones(points // 2 + 1, dtype=fields.dtype, device=fields.device)
            share[-1] = 0.5
            spectrum = spectrum * share.view(-1, *[1] * (fields.ndim - 1 - axis))
        fields = torch.fft.irfft(spectrum, n=factor * points, dim=axis, norm="forward")
    return fields


def at_data_points(value: Tensor, model: Stepper) -> Tensor:
    """A field that a model keeps on a finer grid, at the points of the data's; anything else as it is."""
    if isinstance(model, Refined) and tuple(value.shape) == model.inner.layout.grid:
        return value[(slice(None, None, model.factor),) * value.dim()]
    return value


def short_name(name: str) -> str:
    """A parameter's name without that of the stepper which wraps its own.

    >>> short_name("inner.viscosity")
    'viscosity'
    """
    return name.removeprefix("inner.")
