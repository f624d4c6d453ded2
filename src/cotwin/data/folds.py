"""Several ways to divide the same trajectories, each with data that test: for a comparison over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from cotwin.data.split import Split, split_in_time, split_trajectories
from cotwin.data.trajectories import Trajectories
from cotwin.seeds import seeded

FOLDS_IN_TIME = 5
"""Stretches of a single trajectory that are divided in time, one after another."""


def fold_of_trajectories(
    trajectories: Trajectories, fold: int, validation: int, test: int, fraction: float, train: int | None = None
) -> Split:
    """Whole trajectories in an order of the fold's own, drawn at random, so that successive folds test with others.

    validation, test: how many. train: so many of the others; all if not given. Of two trajectories one tests, and the
    last part in time of the other validates (fraction). After all have tested they are shuffled anew.
    Raises ValueError where there is one trajectory, or too few.
    """
    numbers = trajectories.numbers
    order = shuffled(numbers, fold, test)
    if len(numbers) != 2:
        return split_trajectories(trajectories, validation, test, order=order, train=train)
    whole = split_trajectories(trajectories, 1, 0, order=order)
    early = split_in_time(whole.train, fraction)
    note = f"of 2 trajectories number {order[1]} tests; of the other, {early.note.partition(': ')[2]}"
    return replace(early, test=whole.validation, note=note.removesuffix("; none tests"))


def fold_before_tests(
    trajectories: Trajectories, fold: int, validation: int, test: int, train: int | None = None
) -> Split:
    """Whole trajectories, of which the last ones test in every fold; the others are shuffled by it.

    validation, test: how many. train: so many of the others; all if not given.
    Raises ValueError where there are too few.
    """
    numbers = trajectories.numbers
    others = numbers[: max(0, len(numbers) - test)]
    order = torch.randperm(len(others), generator=seeded(fold)).tolist()
    mixed = [others[place] for place in order] + numbers[len(others) :]
    return split_trajectories(trajectories, validation, test, order=mixed, train=train)


def fold_in_time(trajectories: Trajectories, fold: int, fraction: float) -> Split:
    """A stretch of every trajectory of the fold's own, whose last part tests, and the part before that validates.

    fraction: of the stretch that tests, and of the rest that validates. All but so much of the time is a stretch;
    that of fold 0 begins first, and with fold 5 they begin anew. Raises ValueError where too little is left to train.
    """
    frames = trajectories.num_frames
    length = round(frames * (1 - fraction))
    begin = (frames - length) * (fold % FOLDS_IN_TIME) // (FOLDS_IN_TIME - 1)
    stretch = trajectories.frames(begin, begin + length)
    late = split_in_time(stretch, fraction)
    early = split_in_time(late.train, fraction)
    said = f"of {length} frames from frame {begin} on, the last {length - early_frames(late)} test, before them"
    note = f"held out in time: {said} {early.validation.num_frames - early_frames(early)} validate"
    return replace(early, test=late.validation, test_borders=late.borders, note=note)


def early_frames(split: Split) -> int:
    """Of a split in time, the frames before the first that is held out."""
    assert split.borders is not None
    return int(split.borders.min())


def shuffled(numbers: Sequence[int], fold: int, test: int) -> list[int]:
    """In an order of the fold's own.

    >>> [sorted(shuffled(range(4), fold, 2)[-2:]) for fold in range(2)]
    [[2, 3], [0, 1]]
    """
    rounds = max(1, len(numbers) // test)
    order = torch.randperm(len(numbers), generator=seeded(fold // rounds)).tolist()
    shift = fold % rounds * test
    return [numbers[place] for place in order[len(order) - shift :] + order[: len(order) - shift]]
