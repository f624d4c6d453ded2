"""Several ways to divide the same trajectories: what tests has never been seen, and changes from fold to fold."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_split import frames_of, numbered

from cotwin.data.folds import FOLDS_IN_TIME, fold_before_tests, fold_in_time, fold_of_trajectories
from cotwin.data.split import Split, split_trajectories


def parts(split: Split) -> list[set[float]]:
    assert split.test is not None
    return [frames_of(one) for one in (split.train, split.validation, split.test)]


@given(st.integers(3, 12), st.integers(1, 3), st.integers(0, 40))
def test_each_trajectory_is_in_one_part(count: int, test: int, fold: int) -> None:
    test = min(test, count - 2)
    split = fold_of_trajectories(numbered(count, 3), fold, 1, test, 0.2)
    sets = parts(split)
    assert sum(map(len, sets)) == 3 * count == len(set.union(*sets))
    assert [len(split.validation), len(split.test)] == [1, test]


def test_of_successive_folds_each_trajectory_tests_once() -> None:
    data = numbered(6, 3)
    tested = [fold_of_trajectories(data, fold, 1, 2, 0.2).test.given.trajectory.tolist() for fold in range(3)]
    assert sorted(number for some in tested for number in some) == list(range(6))
    assert fold_of_trajectories(data, 3, 1, 2, 0.2).test.given.trajectory.tolist() != tested[0]


@given(st.integers(0, 40))
def test_where_the_last_ones_test_they_do_in_every_fold_and_the_others_are_shuffled(fold: int) -> None:
    data = numbered(9, 3)
    split = fold_before_tests(data, fold, 2, 3, train=1)
    assert split.test.given.trajectory.tolist() == [6, 7, 8]
    assert set.union(*parts(split)[:2]) < frames_of(data.select(slice(6)))
    assert [len(split.train), len(split.validation)] == [1, 2]


def test_the_others_train_each_in_some_fold() -> None:
    firsts = [fold_before_tests(numbered(9, 3), fold, 2, 3, train=1) for fold in range(40)]
    assert {one.train.given.trajectory.item() for one in firsts} == set(range(6))


def test_fewer_that_train_are_the_first_of_those_that_could() -> None:
    data = numbered(8, 3)
    every, some = (fold_of_trajectories(data, 2, 1, 2, 0.2, train=train) for train in (None, 2))
    assert set(some.train.given.trajectory.tolist()) < set(every.train.given.trajectory.tolist())
    assert parts(some)[1:] == parts(every)[1:]
    assert len(some.train) == 2
    with pytest.raises(ValueError, match=r"6 of 8 trajectories are to train, .* leave 5; take fewer"):
        split_trajectories(data, 1, 2, train=6)


@pytest.mark.parametrize("fold", [0, 1])
def test_of_two_trajectories_one_tests_and_the_end_of_the_other_validates(fold: int) -> None:
    data = numbered(2, 10)
    split = fold_of_trajectories(data, fold, 1, 1, 0.2)
    assert split.test.given.trajectory.tolist() != split.train.given.trajectory.tolist()
    assert (len(frames_of(split.train)), split.borders.tolist()) == (8, [8])
    assert "of 2 trajectories" in split.note


@pytest.mark.parametrize("fold", range(FOLDS_IN_TIME))
def test_in_time_what_tests_comes_after_what_validates_after_what_trains(fold: int) -> None:
    split = fold_in_time(numbered(1, 50), fold, 0.2)
    begin = 10 * fold // 4
    assert frames_of(split.train) == set(range(begin, begin + 26))
    assert split.borders.tolist() == [26]
    assert frames_of(split.validation) == set(range(begin, begin + 32))
    assert split.test_borders.tolist() == [32]
    assert frames_of(split.test) == set(range(begin, begin + 40))
    assert torch.equal(split.test.states, numbered(1, 50).states[:, begin : begin + 40])
    assert "of 40 frames from frame" in split.note
    assert "the last 8 test, before them 6 validate" in split.note
