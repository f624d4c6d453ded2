"""Which trajectories train, which validate, which test. The same file splits the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from cotwin.data.trajectories import Trajectories
from cotwin.layout import Layout
from cotwin.pieces import any_of, pieces


@dataclass(frozen=True)
class Split:
    """Data for training, for choosing what to keep, and for the final figure; no state is in two of them.

    validation: in time, with the states before the held-out ones, from which a rollout gets there.
    test: None where there is none.
    note: how the data were divided, for the user.
    borders, test_borders: in time, the first frame of each trajectory of `validation`, and of `test`, that is held
        out; else None.
    """

    train: Trajectories
    validation: Trajectories
    test: Trajectories | None
    note: str
    borders: Int[Tensor, " N"] | None = None
    test_borders: Int[Tensor, " N"] | None = None


def split_trajectories(
    trajectories: Trajectories,
    validation: int,
    test: int,
    *,
    order: Sequence[int] | None = None,
    train: int | None = None,
) -> Split:
    """Whole trajectories, in their order: the last `test` test, the `validation` before them validate.

    order: of the trajectories, by their numbers; as they come if not given. train: so many of the others, the first
    ones, train; all if not given. Raises ValueError unless at least one is left to train and one validates.
    """
    numbers = trajectories.numbers if order is None else list(order)
    count = len(numbers)
    rest = count - validation - test
    if validation < 1 or test < 0:
        raise ValueError(f"validation is {validation} and test {test}; at least one trajectory has to validate.")
    if count == 1:
        raise ValueError(
            f"{trajectories.source}: holds one trajectory, which cannot be split into whole ones; hold out "
            "its last part in time with split_in_time."
        )
    if rest < 1:
        raise ValueError(
            f"{trajectories.source}: {validation} trajectories to validate and {test} to test leave none of "
            f"{count} to train; hold out at most {count - 1}."
        )
    if train is not None and train > rest:
        raise ValueError(
            f"{trajectories.source}: {train} of {count} trajectories are to train, and {validation} to validate and "
            f"{test} to test leave {rest}; take fewer."
        )
    training = rest if train is None else train
    parts = ("the first ", "the next ", "the last ") if order is None else ("",) * 3
    shares = zip(parts, (training, validation, test), ("train", "validate", "test"), strict=True)
    said = ", ".join(f"{which}{share} {what}" for which, share, what in shares)
    return Split(
        train=_of(trajectories, numbers[:training]),
        validation=_of(trajectories, numbers[rest : rest + validation]),
        test=_of(trajectories, numbers[rest + validation :]) if test else None,
        note=f"of {count} trajectories, {'' if order is None else 'in another order, '}{said}",
    )


def split_in_time(trajectories: Trajectories, fraction: float = 0.2, test: int = 0) -> Split:
    """The last part in time validates, where each trajectory has unknowns of its own, or is the only one.

    fraction: of the states of each trajectory, at least two. Validation starts with the state after the last that
    trains. test: so many whole trajectories, the last ones, test.

    Raises ValueError unless at least two states are left to train.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; it lies between 0 and 1.")
    count = len(trajectories.numbers)
    if test >= count:
        raise ValueError(f"{trajectories.source}: {test} of {count} trajectories test, none is left to train.")
    rest, frames = _of(trajectories, trajectories.numbers[: count - test]), trajectories.num_frames
    borders, kept, held = _borders(rest, fraction)
    what = "states" if rest.sensors is None else "times of readings"
    begin = (float(rest.given.frame[borders < frames][0]) + float(borders[borders < frames][0])) * rest.layout.dt
    if bool((borders == borders[0]).all()):
        train, early, last = rest.frames(0, int(borders[0])), kept // len(rest), held // len(rest)
        said = (
            f"of {early + last} {what} the first {early} train (to {begin - rest.layout.dt:.6g} after the start), "
            f"the last {last} validate (from {begin:.6g} on)"
        )
    else:
        train, own = (
            _before(rest, borders),
            ", each by its own length" if count - test > 1 else f", from {begin:.6g} on",
        )
        said = f"{kept} {what} train, the last {held} validate{own}"
    late = (borders < _ends(rest)).nonzero().flatten().tolist()
    return Split(
        train=train,
        validation=rest if len(late) == len(rest) else rest.select(late),
        test=_of(trajectories, trajectories.numbers[count - test :]) if test else None,
        note=f"held out in time: {said}; "
        + (f"the last {test} of {count} trajectories test" if test else "none tests"),
        borders=borders[late],
    )


def _of(trajectories: Trajectories, numbers: Sequence[int]) -> Trajectories:
    """Those with some of the numbers, in the order of the data; a view where they lie side by side."""
    return trajectories.select(
        torch.isin(trajectories.given.trajectory, torch.tensor(numbers)).nonzero()[:, 0].tolist()
    )


def _measured(trajectories: Trajectories) -> tuple[Int[Tensor, " M"], Int[Tensor, " M"]]:
    """Row and frame of each state of which something was seen; of one between two frames the later."""
    exact = trajectories.at_their_times()
    if exact.mask is None:
        seen = torch.ones(len(exact), exact.num_frames, dtype=torch.bool)
    else:
        seen = shown(exact.mask, exact.layout)
    rows, frames = seen.nonzero().unbind(dim=1)
    if exact.between is not None:
        rows = torch.cat([rows, exact.between.row])
        frames = torch.cat([frames, exact.between.steps.ceil().long()])
    if exact.sensors is not None:
        read = torch.stack([exact.sensors.row.double(), exact.sensors.steps], dim=1).unique(dim=0)
        rows, frames = read[:, 0].long(), read[:, 1].ceil().long()
    order = torch.argsort(rows * (exact.num_frames + 1) + frames, stable=True)
    return rows[order], frames[order]


def shown(mask: Shaped[Tensor, "N T C *S"], layout: Layout) -> Bool[Tensor, "N T"]:
    """The frames that show something of what moves."""
    return any_of(mask, [channel for channel, static in enumerate(layout.static_channels) if not static])


def _ends(trajectories: Trajectories) -> Int[Tensor, " N"]:
    """One more than the last frame up to which something was seen."""
    rows, frames = _measured(trajectories)
    ends = torch.zeros(len(trajectories), trajectories.num_frames, dtype=torch.bool)
    ends[rows, frames] = True
    return (torch.arange(1, trajectories.num_frames + 1) * ends).amax(dim=1)


def _borders(trajectories: Trajectories, fraction: float) -> tuple[Int[Tensor, " N"], int, int]:
    """The first frame of each row that is held out, one after the last where none is; states that train, and not."""
    rows, frames = _measured(trajectories)
    numbers, borders = trajectories.given.trajectory, torch.full((len(trajectories),), trajectories.num_frames)
    kept = held = 0
    for number in trajectories.numbers:
        own = (numbers[rows] == number).nonzero().flatten()
        last = max(2, round(len(own) * fraction))
        start = len(own) - last
        if start < 2:
            raise ValueError(
                f"{trajectories.source}: holding out {last} of {len(own)} states of trajectory {number} leaves "
                f"{start} to train, and a step needs two."
            )
        first = own[start]
        borders[(numbers == number) & (torch.arange(len(numbers)) > rows[first])] = 0
        borders[rows[first]] = frames[first]
        kept, held = kept + start, held + last
    return borders, kept, held


def _before(trajectories: Trajectories, borders: Int[Tensor, " N"]) -> Trajectories:
    """What lies before the borders."""
    early = (borders > 0).nonzero().flatten().tolist()
    rest, borders = trajectories.select(early), borders[early]
    after = torch.arange(rest.num_frames) >= borders[:, None]
    mask = rest.room.zeros(rest.states.shape, torch.bool, "what of the states trains")
    moving = ~torch.tensor(rest.layout.static_channels)
    for piece in pieces(mask):
        there = (~(piece.of(after)[:, :, None] & moving)).view(*piece.of(after).shape, -1, *[1] * rest.layout.dims)
        piece.of(mask).copy_(there if rest.mask is None else there & piece.of(rest.mask))
    between = rest.between
    if between is not None:
        between = between.some(between.steps <= (borders - 1)[between.row])
    sensors = rest.sensors
    if sensors is not None:
        sensors = sensors.some(sensors.steps <= (borders - 1)[sensors.row])
    return replace(rest, mask=mask, between=between, sensors=sensors).frames(0, int(borders.max()))
