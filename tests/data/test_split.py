"""No state is in two parts of a split."""

import pytest
import torch

from cotwin.data.split import split_in_time, split_trajectories
from cotwin.data.trajectories import Trajectories
from cotwin.given import Course, Given
from cotwin.layout import Field, Layout


def numbered(count, frames):
    """Trajectories in which every frame holds its own number."""
    layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    numbers = torch.arange(float(count * frames)).reshape(count, frames)
    states = numbers[:, :, None, None].expand(count, frames, 1, 4).clone()
    return Trajectories(
        states,
        layout,
        torch.ones_like(states, dtype=torch.bool),
        given=Given.of(count, inputs={"id": Course(numbers)}),
    )


def frames_of(part):
    return set(part.states[:, :, 0, 0].flatten().tolist())


def test_whole_trajectories_are_shared_by_no_two_parts():
    data = numbered(7, 5)
    split = split_trajectories(data, validation=1, test=2)
    parts = [frames_of(part) for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [20, 5, 10]
    assert set.union(*parts) == frames_of(data)
    assert "first 4 train, the next 1 validate, the last 2 test" in split.note
    assert torch.equal(split.test.given.inputs["id"].values, data.given.inputs["id"].values[5:])
    assert split.test.mask.shape == split.test.states.shape
    # A view: data that barely fit in memory can be split.
    assert split.train.states.data_ptr() == data.states.data_ptr()


def test_without_test_trajectories_there_is_no_test_part():
    assert split_trajectories(numbered(3, 5), validation=1, test=0).test is None


@pytest.mark.parametrize(
    ("count", "validation", "test", "message"),
    [
        (1, 1, 0, "holds one trajectory.*split_in_time"),
        (3, 2, 1, "leave none of 3 to train"),
        (3, 0, 1, "at least one trajectory has to validate"),
        (3, 1, -1, "test -1"),
    ],
)
def test_a_split_that_is_none_is_refused(count, validation, test, message):
    with pytest.raises(ValueError, match=message):
        split_trajectories(numbered(count, 5), validation, test)


@pytest.mark.parametrize(("frames", "fraction", "start"), [(100, 0.2, 80), (10, 0.01, 8), (5, 0.5, 3)])
def test_validation_starts_right_after_the_last_frame_that_trains(frames, fraction, start):
    data = numbered(1, frames)
    split = split_in_time(data, fraction)
    assert frames_of(split.train) == set(range(start))
    assert split.borders.tolist() == [start]
    assert frames_of(split.validation) == set(range(frames))
    assert split.test is None
    assert f"the first {start} train" in split.note


def test_the_held_out_part_is_the_last_fifth_unless_said():
    assert split_in_time(numbered(1, 100)).borders.tolist() == [80]


@pytest.mark.parametrize(("frames", "fraction"), [(3, 0.2), (10, 0.9), (10, 0.0), (10, 1.0)])
def test_too_little_to_train_is_refused(frames, fraction):
    with pytest.raises(ValueError, match=r"to train, and a step needs two|between 0 and 1"):
        split_in_time(numbered(1, frames), fraction)
