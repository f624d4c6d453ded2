"""Frames that are missing, trajectories of any length and step, several files as one set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cotwin.data.read import files_of, read_trajectories
from cotwin.data.times import Frames, together
from cotwin.data.trajectories import Trajectories

X = (np.arange(8) + 0.5) / 8


def written(path: Path, times: Any, **arrays: Any) -> Trajectories:
    """cos(πx) exp(−t), and the clock, at these times."""
    u = np.exp(-np.asarray(times))[:, None] * np.cos(np.pi * X)
    np.savez(path, x=X, t=times, u=u, boundary="neumann", **{"clock": times, **arrays})
    return read_trajectories(path)


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
    assert any("of 9 frames at steps of 0.1 up to 3 are missing" in note for note in data.notes)
    # What is given is known at all times: linear between those of the states.
    assert torch.allclose(data.given.inputs["clock"].values[0, ::1][:9], torch.arange(9) * 0.1, atol=1e-6)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            [0, 0.1, 0.2, 0.35, 0.4],
            "from 0.2 .* to 0.35 .* Frames may be missing where all others lie at whole steps",
        ),
        ([0, 0.1, 0.2, 0.3, 20.0], "at least one in 8 is there"),
        ([0, 0.1, 0.1, 0.2], "not equally spaced"),
        ([0, 0.1, 0.2, np.nan], "not equally spaced"),
    ],
)
def test_times_that_are_no_steps_are_refused(times: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Frames.of(np.array(times), "mine.npz")


def test_several_files_are_one_set_each_with_its_length_and_step(tmp_path: Path) -> None:
    short = written(tmp_path / "a.npz", np.arange(5) * 0.1, kappa=0.1)
    coarse = written(tmp_path / "b.npz", np.arange(6) * 0.3, kappa=0.2)
    assert files_of(str(tmp_path / "*.npz")) == [str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]
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
    parts = [read_trajectories(tmp_path / f"{name}.npz", given=["clock"]) for name in ("smooth", "steady", "field")]
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
        together([one, read_trajectories(tmp_path / "other.npz")], "both")
    with pytest.raises(ValueError, match="no file fits"):
        files_of(str(tmp_path / "none*.npz"))
    with pytest.raises(ValueError, match="is named twice"):
        files_of([str(tmp_path / "one.npz"), str(tmp_path / "*.npz")])
