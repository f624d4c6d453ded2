"""From data to what an estimation is of: rollouts along windows, their starts, and what is measured along them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.trajectories import Trajectories
from cotwin.estimation import Grid, Measurements, NoisyStarts
from cotwin.estimation.measurements import Noise, num_modes
from cotwin.experiment.at_sensors import at_sensors, distance, in_windows, of_windows
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.estimation_settings import Estimation
from cotwin.experiment.holes import shows_all
from cotwin.experiment.instants import InWindows, shown, uneven
from cotwin.experiment.measured_starts import apart, correlation_length, filled, noisy_starts
from cotwin.experiment.unseen import guess
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.sensors import Sensors
from cotwin.stepper import Stepper
from cotwin.windows.start_states import Places

MOST_IN_A_START = 512
"""Numbers in a start up to which it is estimated unless asked otherwise: each costs two rollouts an iteration."""


@dataclass(frozen=True)
class Measured:
    """The starts of windows of the training data, what is measured along and given with them, and notes.

    places: where they start. recorded: the first as measured. sensors: what was read along them, if that was.
    """

    starts: Tensor | NoisyStarts
    places: Places
    measurements: Measurements
    given: Given
    recorded: Float[Tensor, "T C *S"]
    notes: list[str]
    sensors: Sensors | None = None


def measure(settings: Estimation, data: Dataset, stepper: Stepper) -> Measured:
    """What an estimation with these settings is of. Raises ValueError with the cure."""
    layout, unseen = data.layout, data.unseen
    seen = (data.train if unseen is None else unseen.seen).at_their_times()
    _require_at_points(seen, stepper)
    near = seen.on_the_grid()
    away = None if seen.sensors is None else distance(seen.sensors, layout)
    length = _length(settings.start_length, filled(near.states, near.mask)[:, 0], near.mask, layout, away)
    in_a_start = num_modes(layout, length) * layout.static_channels.count(False)
    few = in_a_start <= MOST_IN_A_START and stepper.differentiable and settings.search != "ensemble_kalman"
    estimated = settings.starts == "estimated" or (settings.starts == "auto" and (few or unseen is not None))
    exact = unseen is not None and unseen.exact
    if unseen is not None and unseen.initial:
        _require_whole(settings)
    if exact:
        estimated = False
    elif unseen is not None:
        _require_estimated(estimated, settings)
    steps = data.steps(settings.window, "estimation.window")
    # A frame is seen once: as the first of a window where starts are estimated, else as the last of the one before.
    stride, begun = (steps + 1, 0) if estimated else (steps, 1)
    states = _windows(near.states, steps, stride)
    mask = None if near.mask is None else _windows(near.mask, steps, stride)
    firsts = torch.arange(0, seen.num_frames - steps, stride)
    places = Places(torch.arange(len(seen)).repeat_interleave(len(firsts)), firsts.repeat(len(seen)))
    between = None if seen.between is None else InWindows.cut(seen.between, steps, stride, len(firsts))
    sensors = None if seen.sensors is None else in_windows(seen.sensors, steps, stride, len(firsts))
    if mask is not None:
        kept = shown(mask, begun, between, layout) if sensors is None else _with_readings(sensors, len(places.rows))
        if unseen is not None:
            kept = kept | (places.frames == 0)
        states, mask, places = states[kept], mask[kept], Places(places.rows[kept], places.frames[kept])
        between = None if between is None else between.of(kept)
        sensors = None if sensors is None else of_windows(sensors, kept)
    given = seen.given.window(places.rows, places.frames, steps)
    if sensors is not None:
        measurements = at_sensors(layout, sensors, len(states), settings.noise)
    else:
        measurements = _on_grid(layout, states, mask, between, begun, settings.noise)
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
        known = {} if unseen is None else unseen.known
        starts = noisy_starts(states, mask, layout, length, settings.start_length is None, known)
        return Measured(starts, places, measurements, given, recorded, notes, sensors)
    if exact:
        assert unseen is not None
        first = guess(seen, unseen.initial)[:, 0].double()
        notes[0] = "The initial states are those that data.initial says."
        return Measured(first, places, measurements, given, recorded, notes, sensors)
    if mask is not None and not bool(shows_all(mask[:, :1], layout).all()):
        raise ValueError(
            "some windows start from a state of which a field is not observed at all; estimate it: "
            "estimation.starts=estimated."
        )
    return Measured(states[:, 0].double(), places, measurements, given, recorded, notes)


def _on_grid(
    layout: Layout,
    states: Float[Tensor, "B T C *S"],
    mask: Bool[Tensor, "B T C *S"] | None,
    between: InWindows | None,
    begun: int,
    noise: Noise,
) -> Measurements:
    """What windows of states show, from a frame on."""
    if between is not None:
        return uneven(layout, states, mask, between, begun, noise)
    grid = Grid(layout, len(states), states.shape[1] - 1, mask, first=begun)
    return Measurements(grid, grid(states).double(), noise)


def _require_at_points(seen: Trajectories, stepper: Stepper) -> None:
    """Raise ValueError for readings of a field that does not lie at the points of the layout."""
    layout = seen.layout
    faces = {channel for name in stepper.staggered for channel in layout.channels_of(name)}
    if seen.sensors is not None and faces & set(seen.sensors.channel.tolist()):
        raise ValueError(
            f"{seen.source}: {type(stepper).__name__} has {', '.join(sorted(stepper.staggered))} on the faces of its "
            "cells, and readings are interpolated between their middles; read other quantities, with data.fields, or "
            "choose a model with all fields at its points."
        )


def _with_readings(sensors: Sensors, count: int) -> Bool[Tensor, " B"]:
    """Of so many windows, those in which there are any."""
    kept = torch.zeros(count, dtype=torch.bool)
    kept[sensors.row] = True
    return kept


def _require_whole(settings: Estimation) -> None:
    """Raise ValueError for windows beside what is said of the start of trajectories."""
    if settings.window != "full":
        raise ValueError(
            "estimation.window: data.initial says how trajectories start, and windows would start later; leave the "
            "window out."
        )


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
    asked: float | None,
    first: Float[Tensor, "B C *S"],
    mask: Bool[Tensor, "B T C *S"] | None,
    layout: Layout,
    away: float | None,
) -> float:
    """Over which the starts' neighbours are alike; where to begin if that is left to the data.

    away: how far sensors are from each other; by the points that are seen if not given.
    """
    if asked is not None:
        return asked
    if mask is not None:
        # Of a point at which nothing is ever seen nothing can be said.
        first = torch.where(mask.any(dim=1), first, torch.nan)
    if away is None:
        away = min(lag * one for lag, one in zip(apart(first, layout), layout.spacing, strict=True))
    return max(correlation_length(first, layout), away)


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
