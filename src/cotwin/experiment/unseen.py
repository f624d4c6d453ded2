"""Rollouts that start from states that nobody has seen: what is known of them before the simulator is calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.data.between import joined as joined_between
from cotwin.data.split import Split
from cotwin.data.trajectories import Trajectories
from cotwin.experiment.holes import FEW, shows_all
from cotwin.experiment.measured_starts import filled
from cotwin.experiment.settings import FileData, Hidden, Initial
from cotwin.given import joined
from cotwin.layout import Layout
from cotwin.sensors import joined as joined_sensors
from cotwin.training.held_out import HeldOut


@dataclass(frozen=True)
class Unseen:
    """States that rollouts have to start from, and that have to be estimated.

    hidden: what is known of fields that nothing measures. initial: of the start of those that are measured.
    seen: what they are estimated from, the trajectories that train, and after them held-out ones of which only the
    first frames are seen. validation, test: which of these a held-out rollout starts as.
    """

    hidden: Mapping[str, Hidden]
    initial: Mapping[str, Initial]
    seen: Trajectories
    validation: Int[Tensor, " V"]
    test: Int[Tensor, " W"]

    @property
    def known(self) -> dict[str, Hidden | Initial]:
        """What is known of fields at the start."""
        return {**self.hidden, **self.initial}

    @property
    def exact(self) -> bool:
        """Whether the starts are known, and nothing of them has to be estimated."""
        moving = {field.name for field in self.seen.layout.fields if not field.static}
        return moving == {name for name, one in self.initial.items() if one.deviation == 0}


def has_unseen_starts(split: Split, settings: FileData) -> bool:
    """Whether states that rollouts start from are estimated, not interpolated in space. Raises ValueError."""
    mask, layout = split.train.mask, split.train.layout
    if split.train.sensors is not None:
        if settings.filling != "auto":
            raise ValueError("data.filling is of no effect: states at sensors are estimated. Leave it out.")
        return True
    if settings.hidden and settings.filling == "interpolated":
        raise ValueError("data.filling: a hidden field cannot be interpolated; leave filling out.")
    held = [one.mask for one in (split.validation, split.test) if one is not None]
    if settings.filling != "auto" and all(one is None or bool(one.all()) for one in (mask, *held)):
        raise ValueError("data.filling is of no effect: no values are missing. Leave it out.")
    if mask is None or settings.filling == "interpolated":
        return False
    if settings.hidden or settings.filling == "estimated":
        return True
    # In time, what is held out begins where training does.
    in_time = ((split.validation, split.borders), (split.test, split.test_borders))
    held_out = [one if borders is None else split.train for one, borders in in_time if one]
    begin = [one.mask is None or bool(shows_all(one.mask, layout, FEW).any(dim=1).all()) for one in held_out]
    return not all(begin) or not bool(shows_all(mask, layout, FEW).any())


def require_known(layout: Layout, settings: FileData) -> None:
    """Raise ValueError for what is said of the start of fields that there are not, or of some exactly."""
    for name in settings.initial:
        if name not in {field.name for field in layout.fields if not field.static} or name in settings.hidden:
            there = ", ".join(field.name for field in layout.fields if not field.static)
            raise ValueError(f"data.initial: {name} is no field that is measured and changes; these are {there}.")
    known = [name for name, one in settings.initial.items() if one.deviation == 0]
    others = [field.name for field in layout.fields if not field.static and field.name not in known]
    if known and others:
        raise ValueError(
            f"data.initial: {', '.join(known)} is known exactly at the start, {', '.join(others)} is not; give all a "
            "deviation, a small one where little is open."
        )


def begun(split: Split, settings: FileData, variance: Float[Tensor, " C"]) -> tuple[HeldOut, HeldOut | None, Unseen]:
    """Validation and test with guesses of their starts, and what those are to be estimated from.

    variance: of each channel of the training data. Raises ValueError where nothing is left to score, or nothing is
    seen of a start.
    """
    train = split.train
    known: dict[str, Hidden | Initial] = {**settings.hidden, **settings.initial}
    last = max(1, train.num_frames // 4) if settings.assimilated is None else settings.assimilated
    if last > train.num_frames - 2:
        raise ValueError(f"data.assimilated: {last} of {train.num_frames} frames leave nothing to score; take fewer.")
    exact = bool(settings.initial) and all(one.deviation == 0 for one in settings.initial.values())
    scored, rows, parts = {}, {}, [train]
    for name, part in (("validation", split.validation), ("test", split.test)):
        if part is None:
            rows[name] = torch.zeros(0, dtype=torch.long)
            continue
        borders = split.borders if name == "validation" else split.test_borders
        own = _rows(train, part) if borders is not None else torch.full((len(part),), -1)
        new = (own < 0).nonzero().flatten().tolist()
        own[new] = sum(map(len, parts)) + torch.arange(len(new))
        rows[name] = own
        first = torch.full((len(part),), last + 1)
        if borders is not None:
            first = torch.where(own < len(train), borders, first)
        scored[name] = _scored(part, first, variance, known, _about(part, own < len(train), last, exact))
        if new:
            parts.append(_first_frames(part.select(new), last, train.num_frames))
    if settings.assimilated is not None and len(parts) == 1:
        raise ValueError("data.assimilated is for held-out trajectories, and here all train; leave it out.")
    unseen = Unseen(settings.hidden, settings.initial, _joined(parts), rows["validation"], rows["test"])
    return scored["validation"], scored.get("test"), unseen


def guess(part: Trajectories, hidden: Mapping[str, Hidden | Initial]) -> Float[Tensor, "N T C *S"]:
    """States with what was seen next or last in the holes, and what is known of hidden fields."""
    near = part.on_the_grid()
    states = filled(near.states, near.mask).clone()
    for name, known in hidden.items():
        states[:, :, part.layout.channels_of(name)] = known.mean
    return states


def _rows(train: Trajectories, part: Trajectories) -> Int[Tensor, " N"]:
    """Which training rows these go on from; -1 for one of which nothing trains."""
    known = {key: row for row, key in enumerate(_keys(train))}
    return torch.tensor([known.get(key, -1) for key in _keys(part)])


def _keys(part: Trajectories) -> list[tuple[int, int]]:
    return list(zip(part.given.trajectory.tolist(), part.given.frame.tolist(), strict=True))


def _scored(
    part: Trajectories,
    first: Int[Tensor, " N"],
    variance: Float[Tensor, " C"],
    known: Mapping[str, Hidden | Initial],
    about: str,
) -> HeldOut:
    """Scored from a frame of each on, rolled out from guesses of its start."""
    exact = part.at_their_times()
    states, mask = exact.states.clone(), _mask(exact)
    states[:, 0] = guess(part, known)[:, 0]
    mask[_early(exact, first)] = False
    mask[:, 0] = True
    between = exact.between
    if between is not None:
        between = between.some(between.steps > (first - 1)[between.row])
    sensors = exact.sensors
    if sensors is not None:
        sensors = sensors.some(sensors.steps > (first - 1)[sensors.row])
    return HeldOut(states, mask, int(first.min()), variance, about, exact.given, between, sensors)


def _first_frames(part: Trajectories, last: int, count: int) -> Trajectories:
    """So many frames, the same number for all, of which those up to the last are seen."""
    part = part.frames(0, count)
    mask = _mask(part)
    mask[:, last + 1 :] &= torch.tensor(part.layout.static_channels).view(-1, *[1] * part.layout.dims)
    between = part.between
    if between is not None:
        between = between.some(between.steps <= last)
    sensors = part.sensors
    if sensors is not None:
        sensors = sensors.some(sensors.steps <= last)
    seen = mask[:, :, ~torch.tensor(part.layout.static_channels)].flatten(1).any(dim=1)
    for beside in (between, sensors):
        if beside is not None:
            seen[beside.row] = True
    if not bool(seen.all()):
        raise ValueError(
            f"{part.source}: nothing is seen in the first {last + 1} frames of held-out trajectories "
            f"{part.given.trajectory[~seen].tolist()}; take more with data.assimilated, or hold others out."
        )
    return replace(part, mask=mask, between=between, sensors=sensors)


def _mask(part: Trajectories) -> Tensor:
    return torch.ones_like(part.states, dtype=torch.bool) if part.mask is None else part.mask.clone()


def _early(part: Trajectories, first: Int[Tensor, " N"]) -> Tensor:
    """(N, T), the frames before."""
    return torch.arange(part.num_frames) < first[:, None]


def _joined(parts: list[Trajectories]) -> Trajectories:
    return replace(
        parts[0],
        states=torch.cat([one.states for one in parts]),
        mask=torch.cat([_mask(one) for one in parts]),
        given=joined([one.given for one in parts]),
        between=joined_between([(one.between, len(one)) for one in parts], [1] * len(parts)),
        sensors=joined_sensors([(one.sensors, len(one)) for one in parts], [1] * len(parts)),
    )


def _about(part: Trajectories, training: Tensor, last: int, exact: bool) -> str:
    """Where rollouts start, by the file's numbers."""
    words = []
    if exact:
        early = f" Frames 0 to {last} of held-out trajectories count as data, and are not scored."
        return f"Rollouts start from what data.initial says.{'' if bool(training.all()) else early}"
    if bool(training.any()):
        words.append("Rollouts start from states that are estimated with all frames that train.")
    if not bool(training.all()):
        numbers = part.given.trajectory[~training].unique().tolist()
        words.append(
            f"Held-out trajectories {numbers} start from states that are estimated with their frames 0 to {last}, "
            "which are not scored."
        )
    return " ".join(words)
