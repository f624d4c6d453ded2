"""Splits of trajectories whose rollouts have a state to start from: interpolated, or to be estimated."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.data.split import Split
from cotwin.data.trajectories import Trajectories
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.holes import FEW, begin_whole, shows_all, without_holes
from cotwin.experiment.measured_starts import correlation_length
from cotwin.experiment.part import require_memory
from cotwin.experiment.settings import FileData
from cotwin.experiment.unseen import begun, has_unseen_starts, require_known
from cotwin.layout import Layout
from cotwin.pieces import pieces
from cotwin.training.held_out import HeldOut
from cotwin.training.metrics import variances


def with_starts(trajectories: Trajectories, split: Split, settings: FileData) -> Dataset:
    """The split, with states that rollouts can start from, or guesses of them. Raises ValueError without any."""
    require_known(trajectories.layout, settings)
    if has_unseen_starts(split, settings):
        require_memory(split.train, "states that nobody has seen are estimated from those of all times")
        return _with_unseen_starts(trajectories, split, settings)
    if settings.initial:
        raise ValueError("data.initial is of no effect: starts are measured. Leave it out.")
    if settings.assimilated is not None:
        raise ValueError("data.assimilated is of no effect: no start has to be estimated. Leave it out.")
    return _without_holes(trajectories, split, 0.0 if settings.filling == "interpolated" else FEW)


def _with_unseen_starts(trajectories: Trajectories, split: Split, settings: FileData) -> Dataset:
    """The split, with guesses of the states that rollouts start from."""
    variance = _variances(split.train)
    validation, test, unseen = begun(split, settings, variance)
    hidden = [channel for name in settings.hidden for channel in trajectories.layout.channels_of(name)]
    train, notes = split.train, _notes(trajectories, split, variance, hidden)
    assert train.mask is not None
    missing = 0.0 if train.sensors is not None else _missing(train.mask, train.layout, hidden)
    also = f" Of {'the other' if hidden else 'all'} training values {missing:.1%} are missing." if missing else ""
    notes.append(f"What nobody has seen is what the calibrated simulator gives, and is never scored.{also}")
    notes += [one.about for one in (validation, test) if one is not None]
    return Dataset(train, validation, test, notes=notes, unseen=unseen)


def _without_holes(trajectories: Trajectories, split: Split, part: float) -> Dataset:
    """The split, each rollout with a whole state to start from: of a frame that shows at least this part."""
    train, mask, variance = split.train, split.train.mask, _variances(split.train)
    notes, length, starts = _notes(trajectories, split, variance), 0.0, None
    if mask is not None:
        length = correlation_length(_some_states(train.states, mask), train.layout)
        starts = shows_all(mask, train.layout, part)
        train = without_holes(train, length)
        missing = _missing(mask, train.layout)
        if missing:
            notes.append(
                f"{missing:.1%} of the training values are missing. They are interpolated in space where a rollout "
                "starts, and never scored."
            )
    # In time rolled out from the first frame, whose state is known best, and scored on the held-out frames alone.
    validation = _held_out(split.validation, split.borders, variance, length, part)
    test = None if split.test is None else _held_out(split.test, split.test_borders, variance, length, part)
    notes += [one.about for one in (validation, test) if one is not None and one.about]
    return Dataset(train, validation, test, notes=notes, starts=starts)


def _missing(mask: Bool[Tensor, "N T C *S"], layout: Layout, hidden: Collection[int] = ()) -> float:
    """Part of the values that are not there of frames that are, hidden channels left out."""
    moving = [channel for channel, static in enumerate(layout.static_channels) if not (static or channel in hidden)]
    seen = every = 0
    for piece in pieces(mask):
        frames = piece.of(mask)[:, :, moving].flatten(2)
        frames = frames[frames.any(dim=2)]
        seen, every = seen + int(frames.sum()), every + frames.numel()
    return 1 - seen / every if every else 0.0


MOST_LOOKED_AT = 64_000_000
"""Bytes of frames that tell over which length neighbours are alike."""


def _some_states(states: Float[Tensor, "N T C *S"], mask: Bool[Tensor, "N T C *S"]) -> Float[Tensor, "B C *S"]:
    """All frames, or of many every so many; not a number where unknown."""
    every = torch.arange(0, len(states) * states.shape[1], -(-states.nbytes // MOST_LOOKED_AT))
    at = every // states.shape[1], every % states.shape[1]
    return torch.where(mask[at], states[at], torch.nan)


def _notes(
    trajectories: Trajectories, split: Split, spread: Float[Tensor, " C"], hidden: Collection[int] = ()
) -> list[str]:
    """What the reader decided, how the data are divided, and what errors leave out."""
    notes = [f"{note[0].upper()}{note[1:]}." for note in (*trajectories.notes, split.note)]
    layout = trajectories.layout
    for channel, (name, static) in enumerate(zip(layout.channel_names, layout.static_channels, strict=True)):
        if channel in hidden:
            notes.append(f"Field {name!r} is hidden: no error counts it.")
        elif not static and spread[channel] == 0:
            notes.append(f"Field {name!r} does not vary beyond rounding; the errors that decide leave it out.")
    if hidden:
        moving = [field.name for field in layout.fields if not field.static]
        notes.append(
            f"The simulator takes the state as {', '.join(moving)}, in this order; data.fields says another."
        )
    return notes


def _variances(train: Trajectories) -> Float[Tensor, " C"]:
    """Of each channel, of the states between frames too, or of what sensors read."""
    if train.sensors is not None:
        channel = train.sensors.channel[:, None] == torch.arange(train.layout.channels)
        values = train.sensors.values[:, None].expand(-1, train.layout.channels)
        return variances(values[None], channel[None])
    if train.between is None:
        return variances(train.states, train.mask)
    exact = train.at_their_times()
    assert exact.between is not None
    mask = torch.ones_like(exact.states, dtype=torch.bool) if exact.mask is None else exact.mask
    states = torch.cat([exact.states.flatten(0, 1), exact.between.states])
    return variances(states[None], torch.cat([mask.flatten(0, 1), exact.between.mask])[None])


def _held_out(
    trajectories: Trajectories,
    borders: Int[Tensor, " N"] | None,
    variance: Float[Tensor, " C"],
    length: float,
    part: float,
) -> HeldOut:
    """Held-out trajectories, or what comes from a frame of each on; length: over which training states are alike."""
    exact, scored_from = trajectories.at_their_times(), 1
    # Trajectories with holes may each start later, by another number of frames.
    alike = borders is not None and bool((borders == borders[0]).all()) and (exact.mask is None or len(exact) == 1)
    if borders is not None and alike and borders[0] > 0:
        scored_from = int(borders[0])
    elif borders is not None:
        exact = _only_from(exact, borders, part)
    if exact.mask is None:
        return HeldOut(exact.states, None, scored_from, variance, given=exact.given, between=exact.between)
    begun, skipped, about = begin_whole(exact, scored_from, length, part)
    return HeldOut(begun.states, begun.mask, scored_from - skipped, variance, about, begun.given, begun.between)


def _only_from(trajectories: Trajectories, borders: Int[Tensor, " N"], part: float) -> Trajectories:
    """With nothing observed before a frame of each trajectory but the first state that can start a rollout."""
    seen, what = trajectories.mask, "what of the held-out trajectories is scored"
    mask = trajectories.room.zeros(trajectories.states.shape, torch.bool, what)
    frames, first = torch.arange(trajectories.num_frames), torch.zeros(len(trajectories), dtype=torch.long)
    if seen is not None:
        first = shows_all(seen, trajectories.layout, part).int().argmax(dim=1)
    early = (frames < borders[:, None]) & (frames != first[:, None])
    moving = ~torch.tensor(trajectories.layout.static_channels)
    for piece in pieces(mask):
        kept = ~(piece.of(early)[:, :, None] & moving)
        kept = kept.view(*kept.shape, *[1] * trajectories.layout.dims)
        piece.of(mask).copy_(kept if seen is None else kept & piece.of(seen))
    between = trajectories.between
    if between is not None:
        between = between.some(between.steps > (borders - 1)[between.row])
    return replace(trajectories, mask=mask, between=between)
