"""Solving on a coarser grid than the data's: cheaper, and less accurate."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.coarsen import coarsened, require_cells
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.parameters.outside import Ones
from cotwin.rollouts.lift import lifted
from cotwin.rollouts.wrapper import Wrapper
from cotwin.stepper import Stepper


class Coarsened(Wrapper):
    """The inner stepper's solution from the start as its coarse grid sees it, interpolated to the data's grid.

    inner: a stepper on a layout of which `layout` is the refined one, with its field parameters on that grid.
    factor: how many times coarser it is along each axis; odd along periodic axes of a staggered grid.
    Scheme: of the start every factor-th point along periodic axes, and means of cells along others, are taken; what
    comes out is interpolated as `Refined` does it. The start stays itself.

    Raises ValueError for other layouts, and for one with static fields: what they say between coarse points is lost.
    """

    batched = True

    def __init__(self, inner: Stepper, layout: Layout, factor: int) -> None:
        if inner.layout.refined(factor) != layout:
            raise ValueError(
                f"the data's layout, grid {layout.grid}, is not the inner stepper's, grid {inner.layout.grid}, "
                f"refined by {factor}; build it on a layout {factor} times coarser."
            )
        if any(layout.static_channels):
            raise ValueError("static fields cannot be seen on a coarser grid; solve on the data's.")
        super().__init__(inner, layout)
        self.factor, self.composes = factor, False
        if self.staggered:
            require_cells(inner.layout, factor)

    def at_data_points(self, value: Float[Tensor, "*F"]) -> Float[Tensor, "*K"]:
        value, grid = self.inner.at_data_points(value), self.inner.layout.grid
        if tuple(value.shape[-len(grid) :]) != grid:
            return value
        there = lifted(value.reshape(-1, 1, *grid), self.inner.layout, self.factor)
        return there.reshape(*value.shape[: -len(grid)], *self.layout.grid)

    def bound(self, given: Given, ones: Ones) -> Wrapper:
        return super().bound(given.on_another_grid(self._coarse), ones)

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        """The inner stepper's."""
        return self.inner.remedy(self._seen(before))

    def largest_stable_step(self, state: Float[Tensor, "B C *S"]) -> float:
        """The inner stepper's."""
        return self.inner.largest_stable_step(self._seen(state))

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        coarse = self.inner.rollout(self._seen(state), num_steps)[:, 1:]
        later = lifted(coarse.flatten(0, 1), self.inner.layout, self.factor, self.staggered)
        return torch.cat([state[:, None], later.unflatten(0, coarse.shape[:2])], dim=1)

    def _seen(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *K"]:
        return coarsened(state[:, None], self.inner.layout, self.factor, self.staggered)[:, 0]

    def _coarse(self, fields: Float[Tensor, "R 1 *S"]) -> Float[Tensor, "R 1 *K"]:
        return coarsened(fields[:, None], self.inner.layout, self.factor)[:, 0]
