"""What is measured at uneven times along windows of trajectories."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.data.between import Between
from cotwin.estimation import Measurements
from cotwin.estimation.measurements import Noise
from cotwin.estimation.observation import Instants
from cotwin.layout import Layout


@dataclass(frozen=True)
class InWindows:
    """States beside the frames, in windows: of which one, and so many steps after its start. Others are left out."""

    window: Int[Tensor, " M"]
    steps: Float[Tensor, " M"]
    states: Float[Tensor, "M C *S"]
    mask: Bool[Tensor, "M C *S"]

    @classmethod
    def cut(cls, between: Between, steps: int, stride: int, in_each: int) -> InWindows:
        """Of windows of so many steps, one every `stride` frames, so many in each trajectory."""
        which = (between.steps / stride).floor().long().clamp(0, in_each - 1)
        own = between.steps - which * stride
        inside = own <= steps
        window = between.row * in_each + which
        return cls(window[inside], own[inside].clamp(min=0), between.states[inside], between.mask[inside])

    def of(self, kept: Bool[Tensor, " B"]) -> InWindows:
        """Of some of the windows, counted anew; in the others is nothing."""
        return InWindows((kept.cumsum(0) - 1)[self.window], self.steps, self.states, self.mask)


def shown(
    mask: Bool[Tensor, "B T C *S"], first: int, between: InWindows | None, layout: Layout
) -> Bool[Tensor, " B"]:
    """The windows that show something that moves, from their first step that is seen on."""
    moving = ~torch.tensor(layout.static_channels)
    kept = mask[:, first:, moving].flatten(1).any(dim=1)
    if between is not None:
        kept = kept.clone()
        kept[between.window] = True
    return kept


def uneven(
    layout: Layout,
    windows: Float[Tensor, "B T C *S"],
    mask: Bool[Tensor, "B T C *S"] | None,
    between: InWindows,
    first: int,
    noise: Noise,
) -> Measurements:
    """What windows show at their steps, from the first that is seen on, and what lies between."""
    seen = torch.ones_like(windows, dtype=torch.bool) if mask is None else mask
    moving = ~torch.tensor(layout.static_channels)
    rows, at = seen[:, first:, moving].flatten(2).any(dim=2).nonzero().unbind(dim=1)
    at = at + first
    window, steps = torch.cat([rows, between.window]), torch.cat([at.double(), between.steps])
    order = torch.argsort(steps, stable=True)
    order = order[torch.argsort(window[order], stable=True)]
    states = torch.cat([windows[rows, at], between.states])[order]
    observed = torch.cat([seen[rows, at], between.mask])[order]
    observation = Instants(layout, len(windows), windows.shape[1] - 1, window[order], steps[order], observed)
    return Measurements(observation, observation.values(states).double(), noise)
