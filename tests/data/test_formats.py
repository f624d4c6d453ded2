"""Files as others make them, read as they are: MATLAB's, PDEBench's, plain HDF5, one array, whatever the names."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from cotwin import open_trajectories
from cotwin.data.inspection.inspect import inspect_file

X, Y, T = (np.arange(16) + 0.5) / 16, (np.arange(12) + 0.5) / 12, np.arange(6) * 0.1
RNG = np.random.default_rng(0)
U = RNG.normal(size=(3, 6, 16))
V = RNG.normal(size=(3, 6, 16, 12))


def states(path, **options):
    return open_trajectories(path, walls="trusted", **({"boundary": "neumann"} | options))


def equal(data, *fields):
    """Whether the states are these fields, each [N, T, *S], one after the other."""
    expected = np.stack(fields, axis=2).astype(np.float32)
    return data.states.shape == expected.shape and np.array_equal(data.states.numpy().astype(np.float32), expected)


@pytest.fixture
def hdf5(tmp_path):
    def write(name="data.h5", **datasets):
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            for key, values in datasets.items():
                file[key.replace("__", "/").replace("_coordinate", "-coordinate")] = values
        return path

    return write


class TestPDEBench:
    def test_one_tensor_with_one_time_more(self, hdf5):
        path = hdf5(tensor=U, x_coordinate=X, t_coordinate=np.arange(7) * 0.1)
        data = states(path)
        assert equal(data, U)
        assert data.layout.dt == pytest.approx(0.1)
        assert "t-coordinate has 7 times for 6 states; the last is left out" in data.notes

    def test_compressible_flow(self, hdf5):
        names = ("density", "pressure", "Vx", "Vy")
        fields = {name: RNG.normal(size=V.shape) for name in names}
        data = states(hdf5(**fields, x_coordinate=X, y_coordinate=Y, t_coordinate=np.arange(7) * 0.1))
        assert [field.name for field in data.layout.fields] == sorted(names, key=names.index)
        assert equal(data, *fields.values())

    def test_a_group_for_each_trajectory(self, hdf5):
        both = RNG.normal(size=(3, 6, 16, 12, 2))
        groups = {f"{i:04d}__data": both[i] for i in range(3)}
        grids = {f"{i:04d}__grid__{name}": row for i in range(3) for name, row in (("x", X), ("y", Y), ("t", T))}
        path = hdf5(**groups, **grids)
        assert [field.name for field in states(path).layout.fields] == ["data_0", "data_1"]
        data = states(path, names={"u": "data_0", "v": "data_1"})
        assert [field.name for field in data.layout.fields] == ["u", "v"]
        assert equal(data, both[..., 0], both[..., 1])

    def test_groups_of_other_grids_do_not_belong_together(self, hdf5):
        groups = {f"{i:04d}__data": U[i][..., None] for i in range(2)}
        grids = {f"{i:04d}__grid__{name}": row * (1 + i) for i in range(2) for name, row in (("x", X), ("t", T))}
        with pytest.raises(ValueError, match=r"grid/x of 0001 and of 0000 differ"):
            states(hdf5(**groups, **grids))

    def test_incompressible_flow_has_times_of_each_trajectory_and_no_coordinates(self, hdf5):
        velocity, force = RNG.normal(size=(3, 6, 16, 12, 2)), RNG.normal(size=(3, 16, 12, 2))
        path = hdf5(t=np.tile(T, (3, 1)), velocity=velocity, particles=V[..., None], force=force)
        data = states(path, fields=["velocity", "particles"], given=["force_x", "force_y"])
        assert equal(data, velocity[..., 0], velocity[..., 1], V)
        assert data.layout.upper == (1.0, 1.0)
        assert any("unit square" in note for note in data.notes)
        assert np.allclose(data.given.conditions["force_y"].numpy(), force[..., 1])

    def test_steady_states_are_refused(self, hdf5):
        with pytest.raises(ValueError, match=r"data\.h5: holds steady states"):
            states(hdf5(tensor=V[:, :1], nu=V[:, 0], x_coordinate=X, y_coordinate=Y))


class TestMatlab:
    def test_columns_and_fields_as_matlab_has_them(self, tmp_path):
        scipy.io.savemat(tmp_path / "a.mat", {"usol": U[0].T, "x": X[:, None], "t": T[None], "note": "by hand"})
        data = states(tmp_path / "a.mat", fields=["usol"])
        assert equal(data, U[:1])
        assert "the axes of the fields come in the order 'xt', as their lengths say" in data.notes

    def test_complex_values_become_two_fields(self, tmp_path):
        scipy.io.savemat(tmp_path / "a.mat", {"h": U[0] + 1j * U[1], "x": X, "tt": T}, do_compression=True)
        data = states(tmp_path / "a.mat", names={"re": "h_re", "im": "h_im"})
        assert equal(data, U[:1], U[1:2])
        assert [field.name for field in data.layout.fields] == ["re", "im"]
        assert "h is complex and read as two fields, h_re and h_im" in data.notes

    def test_version_73_has_its_axes_in_reverse(self, hdf5, tmp_path):
        path = tmp_path / "b.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            # MATLAB's [x, t, n] lies in the file as [n, t, x].
            file["u"], file["x"], file["t"] = U, X[:, None], T[None]
            values = np.zeros(U.shape, dtype=[("real", "f8"), ("imag", "f8")])
            values["real"], values["imag"] = U, 2 * U
            file["h"] = values
        content = path.read_bytes()
        path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + content[512:])
        data = states(path, axes="xtn")
        assert equal(data, U, 2 * U, U)
        assert inspect_file(path).format == "MATLAB 7.3"

    def test_what_is_no_array_of_numbers_is_named(self, tmp_path):
        scipy.io.savemat(tmp_path / "a.mat", {"u": U[0], "x": X, "t": T, "about": {"by": "hand"}})
        with pytest.raises(ValueError, match=r"variable 'about' is of MATLAB's class struct"):
            states(tmp_path / "a.mat")


class TestNames:
    def test_datasets_in_groups_by_their_paths(self, hdf5):
        path = hdf5(run__solution=U, run__where=X, run__when=T, other__solution=U[:, :, ::2])
        names = {"t": "when", "x": "run/where", "u": "run/solution"}
        data = states(path, names=names, fields=["u"])
        assert equal(data, U)
        with pytest.raises(
            ValueError, match=r"data\.names .* takes u from 'solution', which may be other/solution or run"
        ):
            states(path, names=names | {"u": "solution"})

    def test_a_name_that_is_not_there_is_refused(self, hdf5):
        with pytest.raises(ValueError, match=r"takes t from 'clock', and no array is called so\. It holds t"):
            states(hdf5(u=U, x=X, t=T), names={"t": "clock"})
        with pytest.raises(ValueError, match=r"no array is called 'pressure', from which .* takes p"):
            states(hdf5(u=U, x=X, t=T), names={"p": "pressure"})

    def test_two_arrays_of_one_name_are_refused(self, hdf5):
        with pytest.raises(ValueError, match="two arrays would be called u"):
            states(hdf5(u=U, w=U, x=X, t=T), names={"u": "w"})

    def test_components_anywhere_are_fields(self, hdf5):
        path = hdf5(q=np.stack([V, 2 * V, 3 * V], axis=2), x=X, y=Y, t=T)
        data = states(path, names={"rho": "q_0"})
        assert [field.name for field in data.layout.fields] == ["rho", "q_1", "q_2"]
        assert equal(data, V, 2 * V, 3 * V)
        assert any("q has 3 components" in note for note in data.notes)
        assert any("come in the order 'tcxy'" in note for note in data.notes)

    @pytest.mark.parametrize("kind", [">f4", "<i2", ">i4", "u1", "f2"])
    def test_integers_and_other_byte_orders(self, hdf5, kind):
        values = RNG.integers(0, 100, size=U.shape).astype(kind)
        assert equal(
            states(hdf5(u=values, x=X.astype(">f8"), t=np.arange(6, dtype=">i4"))), values.astype(np.float32)
        )


class TestOneArray:
    def test_extent_and_step_stand_for_coordinates_and_times(self, tmp_path):
        np.save(tmp_path / "heat.npy", V)
        data = states(tmp_path / "heat.npy", extent=[(0, 1), (0, 1)], dt=0.1, points="cells")
        assert equal(data, V)
        assert [field.name for field in data.layout.fields] == ["heat"]
        assert data.layout.points(0) == pytest.approx(X)
        assert data.layout.dt == pytest.approx(0.1)

    @pytest.mark.parametrize(
        ("boundary", "points", "first", "last"),
        [("periodic", None, 0.0, 15 / 16), ("neumann", "cells", 1 / 32, 31 / 32), ("neumann", "nodes", 0.0, 1.0)],
    )
    def test_points_are_placed_in_the_extent(self, tmp_path, boundary, points, first, last):
        np.save(tmp_path / "u.npy", U)
        layout = states(tmp_path / "u.npy", boundary=boundary, points=points, extent=[(0, 1)], dt=0.1).layout
        assert (layout.points(0)[0], layout.points(0)[-1]) == pytest.approx((first, last))
        assert (layout.lower, layout.upper) == ((0.0,), (1.0,))

    def test_what_is_missing_is_asked_for(self, tmp_path):
        np.save(tmp_path / "u.npy", U)
        with pytest.raises(ValueError, match=r"u\.npy: the coordinates are not found; .*data\.extent"):
            states(tmp_path / "u.npy", dt=0.1)
        with pytest.raises(ValueError, match=r"u\.npy: the times are not found; .*data\.dt"):
            states(tmp_path / "u.npy", extent=[(0, 1)])

    def test_a_pickle_is_not_loaded(self, tmp_path):
        np.save(tmp_path / "u.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(ValueError, match=r"u\.npy: not a whole npy file of numbers \(Object arrays"):
            states(tmp_path / "u.npy", extent=[(0, 1)], dt=0.1)


def test_times_of_each_trajectory(tmp_path):
    times = T + np.array([[0.0], [5.0], [9.0]])
    np.savez(tmp_path / "a.npz", x=X, t=times, u=U)
    data = states(tmp_path / "a.npz")
    assert equal(data, U)
    assert data.layout.dt == pytest.approx(0.1)


def test_dates_are_counted_from_the_first(tmp_path):
    dates = np.datetime64("2020-02-28T12:00") + np.arange(6) * np.timedelta64(12, "h")
    dated = "dates, read in seconds after the first one, 2020-02-28T12:00:00"
    for times, said in ((dates, dated), (dates - dates[0], "intervals")):
        np.savez(tmp_path / "a.npz", x=X, t=times, u=U)
        data = states(tmp_path / "a.npz")
        assert (data.layout.dt, data.layout.time_unit) == (pytest.approx(43_200), "seconds")
        assert any(f"t holds {said}" in note for note in data.notes)
    np.savez(tmp_path / "a.npz", x=X, t=np.where(np.arange(6) == 3, np.datetime64("NaT"), dates), u=U)
    with pytest.raises(ValueError, match="t has entries that are no date"):
        states(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=X, t=dates.astype(str), u=U)
    with pytest.raises(ValueError, match="times real numbers or dates"):
        states(tmp_path / "a.npz")


def test_what_a_file_is_its_content_says(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, t=T, u=U)
    (tmp_path / "a.npz").rename(tmp_path / "a.h5")
    assert equal(states(tmp_path / "a.h5"), U)


def test_a_large_array_that_is_not_packed_is_mapped_and_checked(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez(path, x=X, t=T, u=U)
    monkeypatch.setattr("cotwin.data.formats.archive.is_large", lambda shape, item: True)
    assert equal(states(path), U)
    content = bytearray(path.read_bytes())
    at = content.index(U.tobytes()[:64]) + 1000
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole npz file"):
        states(path)


@pytest.mark.parametrize("asked", ["hdf5", "well"])
def test_the_format_may_be_said(hdf5, asked):
    path = hdf5("data.bin", u=U, x=X, t=T)
    if asked == "hdf5":
        assert equal(states(path, format=asked), U)
    else:
        with pytest.raises(ValueError, match="not in The Well's layout"):
            states(path, format=asked)


def test_a_format_that_is_none(hdf5):
    with pytest.raises(ValueError, match=r"data\.format .* is 'fits'; Cotwin reads zarr, npz"):
        states(hdf5(u=U, x=X, t=T), format="fits")


PUBLISHED = Path(__file__).parents[3] / "shared/data"


@pytest.mark.skipif(not PUBLISHED.exists(), reason=f"third-party data are not there: {PUBLISHED}")
class TestPublished:
    """Raissi et al. (2019), MATLAB files as they are."""

    def test_allen_cahn(self):
        data = states(PUBLISHED / "raissi_allen_cahn.mat", boundary="periodic")
        values = scipy.io.loadmat(PUBLISHED / "raissi_allen_cahn.mat")["uu"]
        assert np.array_equal(data.states[0, :, 0].numpy(), values.T.astype(data.states.numpy().dtype))
        assert (data.layout.lower, data.layout.upper, data.layout.dt) == ((-1.0,), (1.0,), pytest.approx(0.005))

    def test_schroedinger(self):
        path = PUBLISHED / "raissi_schroedinger.mat"
        data = states(path, boundary="periodic", names={"real": "uu_re", "imaginary": "uu_im"})
        values = scipy.io.loadmat(path)["uu"].T
        assert equal(data, values.real[None], values.imag[None])
        assert (data.layout.lower, data.layout.upper) == ((-5.0,), (5.0,))


@pytest.mark.parametrize(
    "capital", [np.float64(0.5), np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0, 6.0, 9.0])]
)
def test_a_capital_t_beside_the_times_is_no_time(tmp_path, capital):
    np.savez(tmp_path / "a.npz", x=X, time=T, u=U, T=capital)
    data = states(tmp_path / "a.npz")
    assert equal(data, U)
    assert data.layout.dt == pytest.approx(0.1)
    assert {"T"} == {*data.given.conditions, *data.given.inputs}


def test_a_capital_t_alone_is_the_times(tmp_path):
    np.savez(tmp_path / "a.npz", X=X, T=T, u=U)
    assert equal(states(tmp_path / "a.npz"), U)


@pytest.mark.parametrize("stored", ["<i2", ">i2", "f4"])
def test_packed_numbers_and_what_stands_for_none(hdf5, stored):
    counts = np.arange(18 * 16).reshape(3, 6, 16).astype(stored)
    counts[1, 2, 3] = -999
    path = hdf5(x=X, t=T, u=counts)
    with h5py.File(path, "r+") as file:
        file["u"].attrs.update({"scale_factor": 0.5, "add_offset": [100.0], "_FillValue": np.array(-999, stored)})
    with pytest.raises(ValueError, match=r"1 values are not finite, the first in trajectory 1, time step 2"):
        states(path)
    data = states(path, missing="mask")
    assert (~data.mask).nonzero().tolist() == [[1, 2, 0, 3]]
    seen = data.mask[:, :, 0].numpy()
    assert np.array_equal(data.states[:, :, 0].numpy()[seen], 0.5 * counts.astype(float)[seen] + 100)


def test_a_factor_that_is_no_number_is_refused(hdf5):
    path = hdf5(x=X, t=T, u=U)
    with h5py.File(path, "r+") as file:
        file["u"].attrs["scale_factor"] = "two"
    with pytest.raises(ValueError, match=r"u has the attribute scale_factor = two, which is no number"):
        states(path)


def test_npy_files_of_a_folder_are_one_set_in_the_order_of_their_numbers(tmp_path):
    for place in range(11):
        np.save(tmp_path / f"run_{place}.npy", U[0] + place)
    data = states(tmp_path, extent=[(0, 1)], dt=0.1)
    assert equal(data, np.stack([U[0] + place for place in range(11)]))
    assert data.layout.fields[0].name == "run"


def test_groups_of_states_without_times_are_one_trajectory(hdf5):
    path = hdf5(
        x=X, **{f"snap{place}__{name}": one[place] for place in range(6) for name, one in (("u", U[0]), ("time", T))}
    )
    data = states(path)
    assert equal(data, U[:1])
    assert data.notes[0] == "snap0 to snap5 hold the same arrays: 6 trajectories, or states where these have no times"


def test_what_lies_in_a_structure_is_said_to(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"data": {"x": X, "t": T, "u": U}})
    with pytest.raises(
        ValueError, match=r"It holds no array of numbers\. Not read: variable 'data' is .* class struct"
    ):
        states(tmp_path / "a.mat")


def test_parts_of_a_complex_array_replace_no_other(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, t=T, h=U * (1 + 2j), h_re=U)
    with pytest.raises(
        ValueError, match="h is complex, and its parts would be called h_re and h_im, as another array is"
    ):
        states(tmp_path / "a.npz")


def test_components_replace_no_other_field(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, t=T, q=np.stack([U, 2 * U], axis=-1), q_0=7 * U)
    with pytest.raises(ValueError, match="two fields would be called q_0"):
        states(tmp_path / "a.npz")
