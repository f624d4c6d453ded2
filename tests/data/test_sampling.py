"""However much a file holds, little of it is looked at, and what is looked at is told."""

import numpy as np
import pytest

from cotwin.data.inspection.sampling import AT_ONCE, beginning, parts_of
from cotwin.data.inspection.values import summary_of
from cotwin.data.stored.contents import Axis, Contents, StoredField


def holding(trajectories, frames, points):
    """Contents whose values are made as they are read, and how many were."""
    count = []

    def read(index, chosen):
        times = np.arange(*chosen.indices(frames))
        count.append(len(times) * points)
        return np.broadcast_to((index + times / frames)[:, None, None], (len(times), 1, points))

    field = StoredField("u", (trajectories, frames, points), "float64", 1, False, read)
    axes = (Axis("x", np.arange(points)),)
    return Contents("made", "none", axes, np.arange(frames)[None], trajectories, (field,)), count


def test_all_of_what_is_small_is_looked_at_once():
    contents, count = holding(3, 50, 10)
    summary = summary_of(contents)
    assert (summary.seen, summary.fields[0].minimum, summary.fields[0].maximum) == ((3, 3), 0.0, 2.98)
    assert sum(count) == 2 * 3 * 50 * 10  # where trajectories end, and their range


def test_of_what_is_large_a_part_is_from_the_first_to_the_last():
    contents, count = holding(1000, 1000, 100_000)
    summary = summary_of(contents, most=2**23)
    looked, whole = summary.seen
    assert sum(count) <= 2**23
    assert max(count) <= AT_ONCE
    assert looked / whole == pytest.approx(2**23 / 1e11, rel=0.5)
    assert (summary.fields[0].minimum, summary.fields[0].maximum) == (0.0, pytest.approx(999.99, abs=0.02))


def test_parts_are_all_the_frames_of_all_trajectories_where_these_are_few():
    contents, _ = holding(2, 5000, 1000)
    parts, count = parts_of(contents, contents.fields[0])
    seen = np.zeros((2, 5000), dtype=int)
    for row, frames in parts:
        seen[row, frames] += 1
    assert (seen == 1).all()
    assert len(parts) == count


@pytest.mark.parametrize("most", [1, 1000, 10_000, 10**6])
def test_a_beginning_is_what_the_whole_begins_with(most):
    contents, _ = holding(4, 50, 10)
    some = beginning(contents, most)
    values = some.num_trajectories * some.num_frames * 10
    assert values <= max(most, 20)
    for index in range(some.num_trajectories):
        whole = contents.fields[0].read(index, slice(0, some.num_frames))
        np.testing.assert_array_equal(some.fields[0].read(index, slice(None)), whole)
        np.testing.assert_array_equal(some.fields[0].read(index, slice(1, None, 2)), whole[1::2])
