"""Single precision where it serves, double where it would round off what is to be learned, and a word of it."""

import numpy as np
import pytest
import torch

from cotwin.data.read import open_trajectories

X, T = np.linspace(0, 1, 32, endpoint=False), np.linspace(0, 1, 11)
WAVE = np.sin(2 * np.pi * (X - 0.1 * T[:, None]))


def read(tmp_path, u, **options):
    np.savez(tmp_path / "data.npz", x=X, t=T, u=u)
    return open_trajectories(tmp_path / "data.npz", boundary="periodic", **options)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0, 1e8])
def test_values_of_any_usual_size_are_single(tmp_path, size):
    data = read(tmp_path, size * WAVE)
    assert data.states.dtype == torch.float32
    assert not any("precision" in note for note in data.notes)


def test_a_pressure_of_which_single_precision_would_leave_nothing_stays_double_and_says_so(tmp_path):
    u = 101_325 + 0.05 * WAVE
    data = read(tmp_path, u)
    assert np.array_equal(data.states[0, :, 0].numpy(), u)
    # Values between 2^16 and 2^17 are 2^-7 apart, rounding is spread evenly over that; the wave changes by 0.0022.
    (note,) = [note for note in data.notes if "precision" in note]
    assert "computed in double precision: single precision rounds u by 0.00" in note
    assert float(note.split("u by ")[1].split(",")[0]) == pytest.approx(2**-7 / 12**0.5, rel=0.5)


def test_asked_for_single_precision_it_says_what_is_lost(tmp_path):
    data = read(tmp_path, 101_325 + 0.05 * WAVE, precision="single")
    assert data.states.dtype == torch.float32
    assert any(
        "rounded to single precision as asked, though single precision rounds u" in note for note in data.notes
    )


def test_asked_for_double_it_is_double(tmp_path):
    data = read(tmp_path, WAVE, precision="double")
    assert np.array_equal(data.states[0, :, 0].numpy(), WAVE)


def test_what_the_file_has_rounded_already_is_said(tmp_path):
    data = read(tmp_path, (101_325 + 0.05 * WAVE).astype(np.float32))
    assert any("single precision, in which the file has it already, rounds u" in note for note in data.notes)


@pytest.mark.parametrize("size", [1e-30, 1e30, 1e200])
def test_sizes_whose_squares_single_precision_cannot_hold_are_double(tmp_path, size):
    data = read(tmp_path, size * WAVE)
    assert data.states.dtype == torch.float64
    assert any("squares of u" in note and "leave the range of single precision" in note for note in data.notes)


def test_only_what_was_observed_counts(tmp_path):
    u = WAVE.copy()
    u[3, 4] = np.nan
    u[5, 6] = 1e300
    seen = np.ones(u.shape, dtype=bool)
    seen[5, 6] = False
    np.savez(tmp_path / "data.npz", x=X, t=T, u=u, u_mask=seen)
    data = open_trajectories(tmp_path / "data.npz", boundary="periodic", missing="mask")
    assert data.states.dtype == torch.float32
    assert int((~data.mask).sum()) == 2
