"""Of data that exceed the memory, the part that an estimate is of: it needs all its measurements at once."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from cotwin.data.trajectories import Trajectories
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.estimation_settings import Estimation
from cotwin.parameters import estimates
from cotwin.stepper import Stepper
from cotwin.windows.frames import frames_of

BESIDES = 40
"""Numbers in double precision that an estimate takes for each measured value, beside its derivatives: 39 were
measured, with a repetition on a grid twice as fine."""
MOST_DERIVATIVES = 50
"""With more unknowns a search goes along gradients."""


def part_in_memory(data: Dataset, settings: Estimation, stepper: Stepper) -> Dataset:
    """The data; where training trajectories lie in a file, as many of their windows as fit, evenly spread.

    Raises ValueError, with the cure, where not even one fits.
    """
    if not data.train.in_file:
        return data
    train, steps = data.train, data.steps(settings.window, "estimation.window")
    if train.between is not None or train.sensors is not None:
        raise ValueError(
            f"{train.source}: the data exceed the memory, and have times or places of their own, of which an "
            "estimate needs all at once; interpolate to equal steps or to the grid, or raise store.memory_budget_gb."
        )
    unknowns = sum(value.numel() for value in estimates(stepper).values())
    numbers = (steps + 1) * train.states[0, 0].numel()
    window_bytes = 8 * numbers * (BESIDES + min(unknowns, MOST_DERIVATIVES))
    count = int(train.room.most // window_bytes)
    if count == 0:
        raise ValueError(
            f"{train.source}: an estimate along {steps} steps takes {window_bytes / 1e9:.3g} GB of memory at least, "
            f"and half of the memory budget is {train.room.most / 1e9:.3g} GB; take shorter windows with "
            "estimation.window, or raise store.memory_budget_gb."
        )
    firsts = torch.arange(0, train.num_frames - steps, steps + 1)
    every = len(train) * len(firsts)
    chosen = torch.arange(0, every, -(-every // count))
    part = _windows(train, chosen // len(firsts), firsts[chosen % len(firsts)], steps)
    note = (
        f"The training data exceed the memory. The estimate is of {len(chosen)} of {every:,} windows of {steps} "
        f"steps, evenly spread: all would take {every * window_bytes / 1e9:.3g} GB. store.memory_budget_gb decides "
        "how many."
    )
    return replace(data, train=part, starts=None, notes=[*data.notes, note])


def _windows(train: Trajectories, rows: Int[Tensor, " B"], frames: Int[Tensor, " B"], steps: int) -> Trajectories:
    """Stretches of trajectories, each as one, in memory."""
    shape, places = (len(rows), steps + 1, *train.states.shape[2:]), (rows.tolist(), frames.tolist())
    states, mask = torch.empty(shape, dtype=train.states.dtype), None
    frames_of(train.states).write(*places, states, range(len(rows)))
    if train.mask is not None:
        mask = torch.empty(shape, dtype=torch.bool)
        frames_of(train.mask).write(*places, mask, range(len(rows)))
    return replace(train, states=states, mask=mask, given=train.given.window(rows, frames, steps))


def require_memory(trajectories: Trajectories, what: str) -> None:
    """Raise ValueError for what is done with all states at once, where they lie in a file."""
    if trajectories.in_file:
        raise ValueError(
            f"{trajectories.source}: {what}, which takes all of them in memory, and they exceed half of the memory "
            "budget; raise store.memory_budget_gb, or take fewer trajectories."
        )
