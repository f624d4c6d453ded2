"""From data to what an estimation is of: rollouts along windows, their starts, and what is measured along them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation import Grid, Measurements, NoisyStarts
from cotwin.estimation.measurements import start_modes
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.estimation_settings import Estimation
from cotwin.experiment.holes import shows_all
from cotwin.experiment.instants import InWindows, shown, uneven
from cotwin.experiment.measured_starts import apart, correlation_length, filled, noisy_starts
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.stepper import Stepper
from cotwin.windows.start_states import Places

MOST_IN_A_START = 512
"""Numbers in a start up to which it is estimated unless asked otherwise: each costs two rollouts an iteration."""


@dataclass(frozen=True)
class Measured:
    """The starts of windows of the training data, what is measured along and given with them, and notes.

    places: where they start. recorded: the first as measured.
    """

    starts: Tensor | NoisyStarts
    places: Places
    measurements: Measurements
    given: Given
    recorded: Float[Tensor, "T C *S"]
    notes: list[str]


def measure(settings: Estimation, data: Dataset, stepper: Stepper) -> Measured:
    """What an estimation with these settings is of. Raises ValueError with the cure."""
    layout, unseen = data.layout, data.unseen
    seen = (data.train if unseen is None else unseen.seen).at_their_times()
    length = _length(settings.start_length, filled(seen.states, seen.mask)[:, 0], seen.mask, layout)
    in_a_start = len(start_modes(layout, length)) * layout.static_channels.count(False)
    few = in_a_start <= MOST_IN_A_START and stepper.differentiable and settings.search != "ensemble_kalman"
    estimated = settings.starts == "estimated" or (settings.starts == "auto" and (few or unseen is not None))
    if unseen is not None:
        _require_estimated(estimated, settings)
    steps = data.steps(settings.window, "estimation.window")
    # A frame is seen once: as the first of a window where starts are estimated, else as the last of the one before.
    stride, begun = (steps + 1, 0) if estimated else (steps, 1)
    states = _windows(seen.states, steps, stride)
    mask = None if seen.mask is None else _windows(seen.mask, steps, stride)
    firsts = torch.arange(0, seen.num_frames - steps, stride)
    places = Places(torch.arange(len(seen)).repeat_interleave(len(firsts)), firsts.repeat(len(seen)))
    between = None if seen.between is None else InWindows.cut(seen.between, steps, stride, len(firsts))
    if mask is not None:
        kept = shown(mask, begun, between, layout)
        if unseen is not None:
            kept = kept | (places.frames == 0)
        states, mask, places = states[kept], mask[kept], Places(places.rows[kept], places.frames[kept])
        between = None if between is None else between.of(kept)
    given = seen.given.window(places.rows, places.frames, steps)
    if between is None:
        grid = Grid(layout, len(states), steps, mask, first=begun)
        measurements = Measurements(grid, grid(states).double(), settings.noise)
    else:
        measurements = uneven(layout, states, mask, between, begun, settings.noise)
    recorded = states[0] if mask is None else torch.where(mask[0], states[0], torch.nan)
    notes = [_about_starts(settings.starts, estimated, in_a_start)]
    if settings.starts == "auto" and not estimated and not stepper.differentiable:
        notes = [_about_cost(in_a_start, len(states), steps)]
    left_over = (seen.num_frames - steps - 1) % stride
    if left_over:
        notes.append(
            f"The last {left_over} of {seen.num_frames} frames are not used: windows of {steps} steps end before."
        )
    if estimated:
        hidden = {} if unseen is None else unseen.hidden
        starts = noisy_starts(states, mask, layout, length, settings.start_length is None, hidden)
        return Measured(starts, places, measurements, given, recorded, notes)
    if mask is not None and not bool(shows_all(mask[:, :1], layout).all()):
        raise ValueError(
            "some windows start from a state of which a field is not observed at all; estimate it: "
            "estimation.starts=estimated."
        )
    return Measured(states[:, 0].double(), places, measurements, given, recorded, notes)


def _require_estimated(estimated: bool, settings: Estimation) -> None:
    """Raise ValueError where starts that nobody has seen are not to be estimated."""
    if not estimated:
        raise ValueError("estimation.starts: nobody has seen them, so they cannot be exact; leave it out.")
    if settings.search == "ensemble_kalman":
        raise ValueError(
            "estimation.search: an ensemble takes starts as measured, and here they have to be estimated; leave it "
            "out, or interpolate starts: data.filling=interpolated."
        )


def _length(
    asked: float | None, first: Float[Tensor, "B C *S"], mask: Bool[Tensor, "B T C *S"] | None, layout: Layout
) -> float:
    """Over which the starts' neighbours are alike; where to begin if that is left to the data."""
    if asked is not None:
        return asked
    if mask is not None:
        # Of a point at which nothing is ever seen nothing can be said.
        first = torch.where(mask.any(dim=1), first, torch.nan)
    closest = min(lag * one for lag, one in zip(apart(first, layout), layout.spacing, strict=True))
    return max(correlation_length(first, layout), closest)


def _windows(states: Tensor, steps: int, stride: int) -> Tensor:
    """Windows of steps + 1 frames, one after the other: (N, T, …) -> (N · windows, steps + 1, …)."""
    return states.unfold(1, steps + 1, stride).movedim(-1, 2).flatten(0, 1).contiguous()


def _about_starts(asked: str, estimated: bool, size: int) -> str:
    if estimated:
        return "The initial states are estimated with the parameters."
    if asked == "exact":
        return "The initial states are taken as measured."
    return (
        f"The initial states are taken as measured, since {size} numbers in each are many to estimate. Their noise "
        "biases the estimates; estimation.starts=estimated estimates them all the same."
    )


def _about_cost(size: int, starts: int, steps: int) -> str:
    return (
        "The initial states are taken as measured, and their noise biases the estimates: to estimate them "
        f"(estimation.starts=estimated) would take {size:,} more rollouts from each of {starts:,} starts for an "
        f"iteration with new derivatives, {size * starts * steps:,} intervals of the data that the program computes."
    )
