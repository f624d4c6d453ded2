"""Which trajectories train, which validate, which test. Never shuffled: the same file splits the same way."""

from __future__ import annotations

from dataclasses import dataclass

from cotwin.data.trajectories import Trajectories


@dataclass(frozen=True)
class Split:
    """Data for training, for choosing what to keep, and for the final figure; no state is in two of them.

    test: None where there is none.
    note: how the data were divided, for the user. in_time: whether validation is what follows the training states.
    """

    train: Trajectories
    validation: Trajectories
    test: Trajectories | None
    note: str
    in_time: bool = False


def split_trajectories(trajectories: Trajectories, validation: int, test: int) -> Split:
    """Whole trajectories, in their order: the last `test` test, the `validation` before them validate.

    Raises ValueError unless at least one is left to train and one validates.
    """
    count = len(trajectories)
    train = count - validation - test
    if validation < 1 or test < 0:
        raise ValueError(f"validation is {validation} and test {test}; at least one trajectory has to validate.")
    if count == 1:
        raise ValueError(
            f"{trajectories.source}: holds one trajectory, which cannot be split into whole ones; hold out "
            "its last part in time with split_in_time."
        )
    if train < 1:
        raise ValueError(
            f"{trajectories.source}: {validation} trajectories to validate and {test} to test leave none of "
            f"{count} to train; hold out at most {count - 1}."
        )
    return Split(
        train=trajectories.select(slice(0, train)),
        validation=trajectories.select(slice(train, train + validation)),
        test=trajectories.select(slice(train + validation, count)) if test else None,
        note=f"of {count} trajectories, the first {train} train, the next {validation} validate, the last "
        f"{test} test",
    )


def split_in_time(trajectories: Trajectories, fraction: float = 0.2, test: int = 0) -> Split:
    """The last part in time validates, where each trajectory has unknowns of its own, or is the only one.

    fraction: of the states, at least two. Validation starts with the state after the last that trains. test: so many
    whole trajectories, the last ones, test.

    Raises ValueError unless at least two states are left to train.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; it lies between 0 and 1.")
    whole, frames = len(trajectories) - test, trajectories.num_frames
    if whole < 1:
        raise ValueError(
            f"{trajectories.source}: {test} of {len(trajectories)} trajectories test, none is left to train."
        )
    start = frames - max(2, round(frames * fraction))
    if start < 2:
        raise ValueError(
            f"{trajectories.source}: holding out {frames - start} of {frames} states leaves {start} to "
            "train, and a step needs two."
        )
    dt, rest = trajectories.layout.dt, trajectories.select(slice(0, whole))
    return Split(
        train=rest.frames(0, start),
        validation=rest.frames(start, frames),
        test=trajectories.select(slice(whole, None)) if test else None,
        in_time=True,
        note=f"held out in time: of {frames} states the first {start} train (to {(start - 1) * dt:.6g} after "
        f"the start), the last {frames - start} validate (from {start * dt:.6g} on); "
        + (f"the last {test} of {len(trajectories)} trajectories test" if test else "none tests"),
    )
