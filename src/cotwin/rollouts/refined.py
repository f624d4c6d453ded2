"""Solving on a finer grid than the data's."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.coarsen import coarsened, require_cells
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.parameters.outside import Ones
from cotwin.physics.channels import put_moving, take_moving
from cotwin.rollouts.lift import lifted
from cotwin.rollouts.wrapper import Wrapper
from cotwin.stepper import Stepper


class Refined(Wrapper):
    """The inner stepper's solution u(x, t), started from the interpolated state, on the data's grid.

    inner: a stepper on layout.refined(factor), with its field parameters on that finer grid.
    factor: how many times finer the inner grid is along each axis; odd along periodic axes of a staggered one.
    Scheme: the start is lifted (`rollouts.lift`: spectrally accurate along periodic axes, of fifth order between
    walls, of fourth for faces); a rollout stays on the fine grid throughout, and of it every factor-th point along
    periodic axes, the means of cells along others are returned. A state that is lifted and returned is itself.

    Starting again from a returned state loses what only the fine grid resolved: two rollouts in sequence
    equal one rollout only as far as the data's grid resolves the solution.
    """

    batched = True

    def __init__(self, inner: Stepper, layout: Layout, factor: int) -> None:
        if inner.layout != layout.refined(factor):
            raise ValueError(
                f"the inner stepper's layout, grid {inner.layout.grid}, is not the data's layout, grid "
                f"{layout.grid}, refined by {factor}; build it on layout.refined({factor})."
            )
        super().__init__(inner, layout)
        self.factor, self.composes = factor, False
        if self.staggered:
            require_cells(layout, factor)

    @property
    def conserved(self) -> frozenset[int]:
        """Where means of cells are returned; the mean of every so many points is another than that of all."""
        nodes = any(map(self.layout.has_nodes, range(self.layout.dims)))
        return frozenset() if "periodic" in self.layout.kinds or nodes else self.inner.conserved

    def at_data_points(self, value: Float[Tensor, "*F"]) -> Float[Tensor, "*K"]:
        value, dims = self.inner.at_data_points(value), self.layout.dims
        if tuple(value.shape[-dims:]) != self.inner.layout.grid:
            return value
        leading = value.shape[:-dims]
        fields = value.reshape(1, 1, -1, *self.inner.layout.grid)
        return coarsened(fields, self.layout, self.factor).reshape(*leading, *self.layout.grid)

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        """The inner stepper's."""
        return self.inner.remedy(self._lifted(before))

    def largest_stable_step(self, state: Float[Tensor, "B C *S"]) -> float:
        """The inner stepper's."""
        return self.inner.largest_stable_step(self._lifted(state))

    def bound(self, given: Given, ones: Ones) -> Wrapper:
        return super().bound(given.on_another_grid(lambda fields: lifted(fields, self.layout, self.factor)), ones)

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        fine = self.inner.rollout(self._lifted(state), num_steps)
        coarse = coarsened(fine[:, 1:], self.layout, self.factor, self.staggered)
        states = torch.cat([state[:, None], coarse], dim=1)
        moving = take_moving(states.flatten(0, 1), self.layout).unflatten(0, states.shape[:2])
        return put_moving(moving, state, self.layout)

    def _lifted(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *F"]:
        return lifted(state, self.layout, self.factor, self.staggered)
