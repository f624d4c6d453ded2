"""Inspecting reports what reading refuses."""

import h5py
import numpy as np
import pytest
from well_files import add_field, write_well

from cotwin.data.inspection.inspect import Place, inspect_file, render
from cotwin.data.read import open_trajectories

X, T = np.linspace(0, 1, 16, endpoint=False), np.linspace(0, 1, 5)


@pytest.fixture
def damaged(tmp_path):
    """Uneven in time, not finite, an array that is no field."""
    u = np.random.default_rng(0).normal(size=(2, 5, 16))
    u[1, 3, 7] = np.nan
    u[1, 4] = np.inf
    mask = np.ones(u.shape, dtype=bool)
    mask[0, 1, :4] = False
    path = tmp_path / "data.npz"
    np.savez(path, x=X, t=T**2, u=u, k=X, c=np.ones(4), mask=mask, nu=0.1, u_unit="m/s")
    return path, u


def test_everything_is_counted_and_nothing_refused(damaged):
    path, u = damaged
    summary = inspect_file(path).summary
    assert (summary.format, summary.trajectories, summary.grid) == ("npz", 2, (16,))
    assert (summary.time.points, summary.time.spacing) == (5, None)
    (axis,) = summary.axes
    assert (axis.first, axis.last, axis.spacing) == (0, X[-1], pytest.approx(1 / 16))
    field, static = summary.fields
    assert (field.name, field.shape, field.components, field.static, field.unit) == (
        "u",
        (2, 5, 16),
        1,
        False,
        "m/s",
    )
    finite = u[np.isfinite(u)]
    assert (field.minimum, field.maximum) == (finite.min(), finite.max())
    assert (field.non_finite, field.first_non_finite) == (17, Place(1, 3, 0, (7,)))
    assert field.unobserved == 4
    assert (static.static, static.non_finite, static.first_non_finite) == (True, 0, None)
    assert summary.scalars == {"nu": (0.1, 0.1)}


def test_the_text_says_all_of_it(damaged):
    text = render(inspect_file(damaged[0]))
    for words in (
        "read as npz, 2 trajectories",
        "x: 16 points from 0 to 0.9375, step 0.0625",
        "t: 5 points from 0 to 1, uneven",
        "u [m/s]: scalar, float64 (2, 5, 16)",
        "k: static scalar",
        "17 values of u are not finite, the first at trajectory 1, time step 3, point (7,)",
        "array 'c' of shape (4,) is no field",
        "the boundary along x is not in the file",
        "4 not observed",
        "nu: 0.1",
    ):
        assert words in text


def test_a_field_without_a_finite_value(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, t=T, u=np.full((5, 16), np.nan))
    summary = inspect_file(tmp_path / "data.npz").summary
    assert (summary.fields[0].minimum, summary.fields[0].non_finite) == (None, 80)
    assert "no finite value" in render(inspect_file(tmp_path / "data.npz"))


def test_the_well_file(tmp_path):
    path = tmp_path / "small.h5"
    u = write_well(path, kinds=("PERIODIC", "WALL"))
    with h5py.File(path, "r+") as file:
        file["t0_fields/u"][1, 2, 3, 4] = np.nan
        add_field(file, "t2_fields", "stress", np.ones((3, 5, 8, 6, 2, 2)), [True, True])
        file.attrs["grid_type"] = "spherical"
    found = inspect_file(path)
    summary = found.summary
    assert (summary.trajectories, summary.grid, summary.time.spacing) == (3, (8, 6), pytest.approx(0.25))
    assert [axis.boundary for axis in summary.axes] == ["periodic", "wall"]
    assert summary.axes[0].extent == pytest.approx((0, 1))
    assert summary.axes[1].extent == pytest.approx((0, 5 / 6)), "nodes"
    assert summary.fields[0].first_non_finite == Place(1, 2, 0, (3, 4))
    assert summary.fields[0].maximum == pytest.approx(float(u.max()))
    text = render(found)
    assert "grid_type is 'spherical'" in text
    assert "the tensor stress is read as the fields stress_xx" in text
    assert "the boundary along y is 'wall' in the file: choose" in text


def test_a_file_with_nothing_to_settle_reads(tmp_path):
    write_well(tmp_path / "small.h5")
    assert inspect_file(tmp_path / "small.h5").refusals == ()
    assert len(open_trajectories(tmp_path / "small.h5")) == 3


def test_what_a_mask_hides_needs_no_settling(tmp_path):
    u = np.cos(2 * np.pi * X) * np.exp(-T)[:, None]
    seen = np.ones(u.shape, dtype=bool)
    u[1, 2], u[3, 4], seen[1, 2], seen[3, 4] = np.nan, 1e6, False, False
    np.savez(tmp_path / "data.npz", x=X, t=T, u=u, mask=seen, boundary="periodic")
    summary = inspect_file(tmp_path / "data.npz").summary
    (field,) = summary.fields
    assert (field.non_finite, field.unobserved, summary.refusals) == (0, 2, ())
    assert field.maximum == 1.0
    assert open_trajectories(tmp_path / "data.npz").mask is not None
