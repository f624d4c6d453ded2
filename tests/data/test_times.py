"""Frames that are missing, trajectories of any length and step, several files as one set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cotwin.data.assembling.times import Frames
from cotwin.data.files import files_of
from cotwin.data.read import open_trajectories
from cotwin.data.several import together
from cotwin.data.split import split_in_time, split_trajectories
from cotwin.data.trajectories import Trajectories

X = (np.arange(8) + 0.5) / 8


def written(path: Path, times: Any, **arrays: Any) -> Trajectories:
    """cos(πx) exp(−t), and the clock, at these times."""
    u = np.exp(-np.asarray(times))[:, None] * np.cos(np.pi * X)
    np.savez(path, x=X, t=times, u=u, boundary="neumann", **{"clock": times, **arrays})
    return open_trajectories(path)


def test_states_lie_at_their_frames_and_nothing_at_others(tmp_path: Path) -> None:
    times = np.array([0.0, 0.1, 0.2, 0.5, 0.6, 0.8])
    data = written(tmp_path / "gaps.npz", times)
    assert data.layout.dt == pytest.approx(0.1)
    assert data.mask is not None
    there = [0, 1, 2, 5, 6, 8]
    assert data.mask[0, :, 0, 0].nonzero().flatten().tolist() == there
    assert torch.allclose(
        data.states[0, there, 0, 0], torch.from_numpy(np.exp(-times) * np.cos(np.pi * X[0])).float()
    )
    assert any("of the frames at steps of 0.1 3 are missing" in note for note in data.notes)
    # What is given is known at all times: linear between those of the states.
    assert torch.allclose(data.given.inputs["clock"].values[0, ::1][:9], torch.arange(9) * 0.1, atol=1e-6)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 0.1, 0.1, 0.2], r"do not rise from 0\.1 \(index 1\) to 0\.1 \(index 2\); sort"),
        ([0.3, 0.2, 0.1], "not equally spaced: they fall"),
        ([0, 1e-10, 2e-10, 1e300], r"from 0 to 1e\+300, inf steps of 1e-10; one of them is wrong"),
        ([0, 0.1, 0.2, np.nan], "not equally spaced: the value at index 3 is nan"),
    ],
)
def test_times_that_do_not_rise_are_refused(times: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Frames.of(np.array(times), 1, "mine.npz")


CLOCK = np.arange(30) * 0.1


@pytest.mark.parametrize(
    ("times", "dt", "framed"),
    [
        ([0, 0.1, 0.2, 0.35, 0.4], 0.05, 5),
        ([0, 0.1, 0.2, 0.33, 0.4, 0.5], 0.1, 5),
        (CLOCK + 2e-4 * np.cos(7 * np.arange(30)), 0.1, 30),  # read off with 0.2 % of a step
        (CLOCK + 0.004 * np.sin(7 * np.arange(30)), 0.1, 30),  # with 4 %: all of them by the tolerance asked for
        (2.0 ** np.arange(6), 1.0, 6),
    ],
)
def test_the_step_is_one_that_the_times_meet(times: Any, dt: float, framed: int) -> None:
    frames = Frames.of(np.asarray(times, dtype=float), 1, "mine.npz", tolerance=0.08 if framed == 30 else 0.01)
    assert frames.dt == pytest.approx(dt, rel=2e-3)
    assert sum(int(one.framed(frames.tolerance).sum()) for one in frames.stretches) == framed


def test_states_beside_the_frames_keep_their_times_and_values(tmp_path: Path) -> None:
    times = np.array([0.0, 0.1, 0.2, 0.33, 0.4, 0.5, 0.6005, 0.7, 0.8])
    data = written(tmp_path / "beside.npz", times)
    assert data.mask is not None
    assert data.between is not None
    assert data.mask[0, :, 0, 0].tolist() == [True, True, True, False, True, True, True, True, True]
    assert torch.allclose(data.between.steps, torch.tensor([3.3, 6.005], dtype=torch.float64))
    assert data.between.framed.tolist() == [False, True]
    exact = np.exp(-times[[3, 6]])[:, None] * np.cos(np.pi * X)
    assert torch.allclose(data.between.states[:, 0], torch.from_numpy(exact).float())
    # What is estimated sees the second at its own time alone.
    there = data.at_their_times()
    assert there.mask is not None
    assert there.mask[0, :, 0, 0].nonzero().flatten().tolist() == [0, 1, 2, 4, 5, 7, 8]
    # The clock, known at the times of the states, is linear between them.
    clock = data.given.inputs["clock"]
    assert torch.allclose(clock.values[0], torch.arange(8 * 8 + 1) * 0.1 / clock.per_step, atol=1e-5)
    assert any("8 of 9 states lie at steps of 0.1" in note for note in data.notes)
    later = data.frames(3, 8)
    assert later.between is not None
    assert torch.allclose(later.between.steps, torch.tensor([0.3, 3.005], dtype=torch.float64))


def test_a_run_is_cut_at_long_gaps_and_keeps_its_numbers(tmp_path: Path) -> None:
    times = np.concatenate([np.arange(6) * 0.1, 7.03 + np.arange(9) * 0.1, 20 + np.arange(5) * 0.1])
    u = np.stack([(1 + n) * np.exp(-times)[:, None] * np.cos(np.pi * X) for n in range(3)])
    np.savez(tmp_path / "days.npz", x=X, t=times, u=u, boundary="neumann", clock=times, nu=[0.1, 0.2, 0.3])
    data = open_trajectories(tmp_path / "days.npz")
    assert data.states.shape[:2] == (9, 9)  # no frame of a gap is stored
    assert data.numbers == [0, 1, 2]
    assert data.given.trajectory.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert data.given.frame.tolist() == [0, 70, 200] * 3
    assert data.mask is not None
    assert data.mask[:, :, 0, 0].sum(dim=1).tolist() == [6, 9, 5] * 3
    assert torch.allclose(data.states[4, :, 0], torch.from_numpy(u[1, 6:15]).float())
    assert torch.allclose(data.given.inputs["clock"].values[4], torch.from_numpy(times[6:15]).float())
    assert data.given.conditions["nu"][[0, 3, 8]].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert any(
        "cut at 6 gaps of more than 8 steps, the first in trajectory 0 between its states 5 and 6" in note
        for note in data.notes
    )
    # Whole trajectories of the file are held out, and in time the end of each.
    assert split_trajectories(data, validation=1, test=1).validation.given.trajectory.tolist() == [1, 1, 1]
    split = split_in_time(data, fraction=0.3)
    assert split.train.given.frame.tolist() == [0, 70] * 3
    assert split.train.mask is not None
    assert int(split.train.mask[:2, :, 0, 0].sum()) == 14
    assert split.borders is not None
    assert split.borders.tolist() == [8, 0] * 3
    assert split.validation.given.frame.tolist() == [70, 200] * 3
    both = together([data, data], "twice")
    assert both.numbers == list(range(6))


def test_a_trajectory_that_ends_early_needs_no_mask(tmp_path: Path) -> None:
    times = np.arange(10) * 0.1
    u = np.stack([np.exp(-times)[:, None] * np.cos(np.pi * X)] * 3)
    u[1, 6:] = np.nan
    heater = np.tile(np.abs(times - 0.3), (3, 1))
    heater[1, 6:] = np.nan
    np.savez(tmp_path / "ends.npz", x=X, t=times, u=u, boundary="neumann", heater=heater)
    data = open_trajectories(tmp_path / "ends.npz")
    assert "trajectories end before 10 states, nothing but NaN follows: trajectory 1 after 6" in data.notes
    assert data.mask is not None
    assert data.mask[:, :, 0, 0].sum(dim=1).tolist() == [10, 6, 10]
    assert data.given.inputs["heater"].values[1, 5:].tolist() == pytest.approx([0.2] * 5)
    # In time each is divided by its own length.
    split = split_in_time(data, fraction=0.3)
    assert split.borders is not None
    assert split.borders.tolist() == [7, 4, 7]
    u[0, 3, 2] = np.nan  # a hole is no end
    np.savez(tmp_path / "hole.npz", x=X, t=times, u=u, boundary="neumann")
    with pytest.raises(ValueError, match="1 values are not finite, the first in trajectory 0, time step 3"):
        open_trajectories(tmp_path / "hole.npz")


def test_several_files_are_one_set_each_with_its_length_and_step(tmp_path: Path) -> None:
    short = written(tmp_path / "a.npz", np.arange(5) * 0.1, kappa=0.1)
    coarse = written(tmp_path / "b.npz", np.arange(6) * 0.3, kappa=0.2)
    assert files_of(str(tmp_path / "*.npz")) == [str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]
    assert files_of(tmp_path) == files_of(str(tmp_path / "*.npz"))
    both = together([short, coarse], "two files")
    assert both.layout.dt == pytest.approx(0.1)
    assert both.states.shape[:2] == (2, 16)
    assert both.mask is not None
    assert both.mask[:, :, 0, 0].nonzero().tolist() == [[0, t] for t in range(5)] + [[1, t] for t in range(0, 16, 3)]
    assert torch.equal(both.states[1, ::3], coarse.states[0])
    assert torch.equal(both.given.conditions["kappa"], torch.tensor([0.1, 0.2]))
    assert both.given.trajectory.tolist() == [0, 1]
    assert torch.allclose(both.given.inputs["clock"].values[1], torch.arange(16) * 0.1, atol=1e-6)
    same = together([short, short], "twice")
    assert same.mask is None
    assert torch.equal(same.states, short.states.repeat(2, 1, 1, 1))


def test_what_is_given_may_be_steady_in_one_file_smooth_in_another_and_a_field_in_a_third(tmp_path: Path) -> None:
    times = np.arange(11) * 0.1
    bent = np.outer(np.abs(times[:9] - 0.4), X)
    for name, clock in (("smooth", np.sin(3 * times)), ("steady", np.full(11, 0.4)), ("field", bent)):
        own = times[: len(clock)]
        u = np.exp(-own)[:, None] * np.cos(np.pi * X)
        np.savez(tmp_path / f"{name}.npz", x=X, t=own, u=u, clock=clock, boundary="neumann")
    parts = [open_trajectories(tmp_path / f"{name}.npz", given=["clock"]) for name in ("smooth", "steady", "field")]
    course = together(parts, "three files").given.inputs["clock"]
    assert course.values.shape == (3, 10 * course.per_step + 1, 8)
    at = torch.arange(11) * round(course.per_step)
    assert torch.allclose(course.values[0, at], torch.from_numpy(np.sin(3 * times)).float()[:, None].expand(11, 8))
    assert bool((course.values[1] == np.float32(0.4)).all())
    assert torch.allclose(course.values[2, at[:9]], torch.from_numpy(bent).float(), atol=1e-6)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one = written(tmp_path / "one.npz", np.arange(5) * 0.1, kappa=0.1)
    with pytest.raises(ValueError, match=r"no multiple of 0\.1"):
        together([one, written(tmp_path / "odd.npz", np.arange(5) * 0.15, kappa=0.1)], "both")
    with pytest.raises(ValueError, match="only one of them gives kappa"):
        together([one, written(tmp_path / "without.npz", np.arange(5) * 0.1)], "both")
    np.savez(
        tmp_path / "other.npz", x=X, t=np.arange(5) * 0.1, v=np.ones((5, 8)) * np.cos(np.pi * X), boundary="neumann"
    )
    with pytest.raises(ValueError, match="have other fields, grids or boundaries"):
        together([one, open_trajectories(tmp_path / "other.npz")], "both")
    with pytest.raises(ValueError, match="no file fits"):
        files_of(str(tmp_path / "none*.npz"))
    with pytest.raises(ValueError, match="is named twice"):
        files_of([str(tmp_path / "one.npz"), str(tmp_path / "*.npz")])


def test_a_time_that_is_none_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(6) / 6, t=[-1e146, 0.25, 0.5, 0.75, 1.0], u=np.ones((5, 6)))
    with pytest.raises(
        ValueError, match=r"a\.npz: the times of a trajectory go from -1e\+146 to 1, .* one of them is"
    ):
        open_trajectories(tmp_path / "a.npz", boundary="neumann")


def test_times_that_rounding_has_made_uneven_are_refused(tmp_path: Path) -> None:
    late = 1e6 + 0.1 * np.arange(7)
    with pytest.raises(ValueError, match=r"times up to 1e\+06 are held as float32, which rounds them by a good part"):
        written(tmp_path / "late.npz", late.astype(np.float32), clock=0.1)
    assert written(tmp_path / "late.npz", late, clock=0.1).layout.dt == pytest.approx(0.1)


def test_parts_of_one_trajectory_are_said_to_look_so(tmp_path: Path) -> None:
    times = 0.1 * np.arange(30)
    for place in range(3):
        written(tmp_path / f"part{place}.npz", times[10 * place : 10 * place + 10])
    files = [tmp_path / f"part{place}.npz" for place in range(3)]
    (said,) = [note for note in open_trajectories(files).notes if "begins where" in note]
    assert "part1.npz begins where" in said
    assert "part0.npz ends: read as 3 trajectories. If they are parts of one, join them along time first" in said
    assert not any("begins where" in note for note in open_trajectories([files[0], files[2]]).notes)
