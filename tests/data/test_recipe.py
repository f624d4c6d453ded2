"""What `cotwin data inspect` prints reads the file: pasted as it is, but for what it leaves to choose."""

import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch
import yaml
from published import published
from well_files import write_well

from cotwin.data.inspection.inspect import inspect_file, render
from cotwin.data.read import Options, open_trajectories
from cotwin.experiment.settings import FileData

X, T = np.arange(32) / 32, 0.05 * np.arange(12)
WAVES = np.stack(
    [
        np.sin(2 * np.pi * (X - T[:, None] + shift)) + 0.3 * np.cos(4 * np.pi * (X + T[:, None] * shift))
        for shift in (0.0, 0.35, 0.7, 0.1, 0.55)
    ]
)


def pasted(path, **chosen):
    """Trajectories as the printed block reads them, with what it leaves to choose as chosen, or as it proposes."""
    block = render(inspect_file(path)).split("\n\n")[-1]
    left = re.findall(r"^  # (\w+): ", block, flags=re.MULTILINE)
    settings = yaml.safe_load(re.sub(r"^  # (\w+: )", r"  \1", block, flags=re.MULTILINE))["data"]
    assert set(chosen) <= {*left, "walls", "axes"}
    read = FileData.model_validate({**settings, **chosen})
    options = {name: getattr(read, name) for name in Options.__annotations__ if hasattr(read, name)}
    return open_trajectories(read.path, **options), left


def same(states, values):
    return torch.equal(states, torch.from_numpy(values).to(states.dtype))


def npz(path, **arrays):
    np.savez(path, **arrays)


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


def matlab(path, **arrays):
    scipy.io.savemat(path, arrays)


def matlab_hdf5(path, **arrays):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            file[name] = np.atleast_2d(values).T
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(126) + b"\0\2IM")


def pdebench(path, u):
    hdf5(path, tensor=u, **{"x-coordinate": X, "t-coordinate": 0.05 * np.arange(len(T) + 1)})


def numbered(path, u):
    with h5py.File(path, "w") as file:
        for number, one in enumerate(u):
            file[f"{number:04d}/data"] = one[..., None]
            file[f"{number:04d}/grid/x"], file[f"{number:04d}/grid/t"] = X, T


def netcdf(path, dims, **coordinates):
    import xarray as xr

    def write(u):
        dataset = xr.Dataset(
            {"u": (dims, u)}, {name: ((dim,), values) for name, (dim, values) in coordinates.items()}
        )
        dataset.to_netcdf(path) if path.suffix == ".nc" else dataset.to_zarr(path)

    return write


def runs(path, names, u):
    x, t, field = names
    hdf5(
        path,
        **{
            f"out/run{number}/{name}": values
            for number, one in enumerate(u)
            for name, values in ((x, X), (t, T), (field, one))
        },
    )


WAYS = {
    "a.npz": lambda path, u: npz(path, x=X, t=T, u=u),
    "names.npz": lambda path, u: npz(path, X=X[:, None], time=T, usol=u),
    "nothing.npz": lambda path, u: npz(path, a=X, b=T, c=u),
    "nothing.h5": lambda path, u: hdf5(path, **{"run/a": X, "run/b": T, "run/c": u}),
    "names.h5": lambda path, u: hdf5(path, **{"grid/xx": X, "grid/tt": T, "out/velocity": u}),
    "turned.h5": lambda path, u: hdf5(path, x=X, t=T, u=u.swapaxes(1, 2)),
    "last.h5": lambda path, u: hdf5(path, a=X, b=T - 1, time=T, u=np.moveaxis(u, 0, -1)),
    "old.mat": lambda path, u: matlab(path, x=X, tt=T, u=u.swapaxes(1, 2)),
    "new.mat": lambda path, u: matlab_hdf5(path, x=X, t=T, u=u.swapaxes(1, 2)),
    "tensor.hdf5": pdebench,
    "groups.h5": numbered,
    "runs.h5": lambda path, u: runs(path, ("x", "t", "u"), u),
    "runs_of_nothing.h5": lambda path, u: runs(path, ("a", "b", "c"), u),
    "plain.nc": lambda path, u: netcdf(path, ("member", "time", "x"), time=("time", T), x=("x", X))(u),
    "nothing.nc": lambda path, u: netcdf(path, ("p", "q", "r"), q=("q", T), r=("r", X))(u),
    "nothing.zarr": lambda path, u: netcdf(path, ("p", "q", "r"), clock=("q", T), place=("r", X))(u),
}


@pytest.mark.parametrize("name", WAYS)
def test_the_block_reads_the_same_states_whatever_the_file(tmp_path, name):
    WAYS[name](tmp_path / name, WAVES)
    data, left = pasted(tmp_path / name)
    assert left == []
    assert same(data.states[:, :, 0], WAVES)
    assert (data.layout.boundary, data.layout.dt) == (("periodic",), pytest.approx(0.05))
    assert (data.layout.lower, data.layout.upper) == ((0.0,), (1.0,))


def test_groups_with_times_of_their_own_and_numbers(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = X
        for number in range(12):
            file[f"case_{number}/t"], file[f"case_{number}/u"] = T + number, WAVES[number % 5]
            file[f"case_{number}/nu"] = 0.1 * number
    data, left = pasted(tmp_path / "a.h5")
    assert left == []
    assert same(data.states[:, :, 0], WAVES[np.arange(12) % 5])
    assert data.given.conditions["nu"].tolist() == pytest.approx(0.1 * np.arange(12))
    assert (
        "case_0 to case_11 hold the same arrays: 12 trajectories, or states where these have no times" in data.notes
    )


def test_groups_that_differ_stay_as_they_are(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["t"] = X, T
        file["case_0/u"], file["case_1/u"], file["case_1/v"] = WAVES[0], WAVES[1], WAVES[2]
    assert open_trajectories(tmp_path / "a.h5", boundary="periodic").layout.channel_names == (
        *("case_0_u", "case_1_u", "v"),
    )


def test_what_nothing_says_is_left_to_choose(tmp_path):
    np.save(tmp_path / "u.npy", WAVES)
    found = inspect_file(tmp_path / "u.npy")
    assert "axis 3 of u, (5, 12, 32), is taken as coordinates x: nothing in the file says what it is" in render(found)
    _, left = pasted(tmp_path / "u.npy")
    assert left == ["extent", "dt"]
    with pytest.raises(ValueError, match=r"coordinates are not found; .*data\.extent"):
        open_trajectories(tmp_path / "u.npy", **found.options)


def test_a_guess_is_said_to_be_one(tmp_path):
    WAYS["nothing.npz"](tmp_path / "a.npz", WAVES)
    text = render(inspect_file(tmp_path / "a.npz"))
    assert "b is taken as times: it has 12 values that rise, as many as there are along axis 2 of c" in text
    assert "names: {t: b, x: a}  # a guess, see above" in text


def test_names_of_coordinates_say_which_they_are_whatever_their_order(tmp_path):
    """As Athena writes: z, y, x last."""
    values = np.sin(2 * np.pi * (X - T[:, None, None])) + np.cos(2 * np.pi * np.arange(20) / 20)[:, None]
    hdf5(tmp_path / "a.h5", time=T, xc=X, yc=np.arange(20) / 20, rho=values)
    data, _ = pasted(tmp_path / "a.h5")
    assert same(data.states[0, :, 0], values.transpose(0, 2, 1))


def test_times_of_the_computer_are_not_those_of_the_states(tmp_path):
    """As Dedalus writes."""
    scales = {"iteration": np.arange(12), "sim_time": T, "timestep": np.full(12, 0.01), "wall_time": 3.0 * T**2}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in (scales | {"write_number": np.arange(12), "x_hash_1f3a": X}).items():
            file[f"scales/{name}"] = values
        file["tasks/b"] = WAVES[0]
    data, _ = pasted(tmp_path / "a.h5")
    assert same(data.states[0, :, 0], WAVES[0])
    assert data.layout.dt == pytest.approx(0.05)


def test_samples_without_coordinates_are_trajectories_where_they_are_strangers(tmp_path):
    """As published with the Fourier neural operator: u of [N, x, y, T], and t."""
    rng, x = np.random.default_rng(0), 2 * np.pi * np.arange(16) / 16
    phase = rng.uniform(0, 6, (6, 2, 1, 1, 1))
    values = (
        np.sin(x[:, None, None] + phase[:, 0]) * np.cos(x[:, None] + phase[:, 1]) * np.exp(-0.1 * np.arange(1, 11))
    )
    matlab(tmp_path / "ns.mat", u=values, t=np.arange(1.0, 11)[None])
    data, left = pasted(tmp_path / "ns.mat")
    assert left == ["extent"]
    assert same(data.states[:, :, 0], values.transpose(0, 3, 1, 2))


def test_the_page_shows_what_is_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    WAYS["nothing.npz"]("waves.npz", WAVES)
    page = Path(__file__).parents[2].joinpath("docs/data.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```\n(guessed\n.*?)```", page, flags=re.DOTALL)
    assert set(shown.splitlines()) <= set(render(inspect_file("waves.npz")).splitlines())


def heat(*shapes, times=T):
    """Solutions of u_t = κ u_xx, sums of what decays by itself: (shape, wave number)."""
    return sum(np.exp(-0.02 * k**2 * times)[:, None] * shape for shape, k in shapes)


CELLS, HALF = (np.arange(40) + 0.5) / 40, np.pi / 2
WALLS = {
    "dirichlet": heat((np.sin(np.pi * CELLS), np.pi), (0.7 * np.sin(2 * np.pi * CELLS), 2 * np.pi)),
    "neumann": heat((np.cos(np.pi * CELLS), np.pi), (0.7 * np.cos(2 * np.pi * CELLS), 2 * np.pi)),
    (("dirichlet", "neumann"),): heat((np.sin(HALF * CELLS), HALF), (0.5 * np.sin(3 * HALF * CELLS), 3 * HALF)),
    (("neumann", "dirichlet"),): heat((np.cos(HALF * CELLS), HALF), (0.5 * np.cos(3 * HALF * CELLS), 3 * HALF)),
}


@pytest.mark.parametrize("kind", WALLS, ids=str)
def test_the_data_say_which_walls_they_have(tmp_path, kind):
    npz(tmp_path / "a.npz", x=CELLS, t=T, u=WALLS[kind])
    assert inspect_file(tmp_path / "a.npz").options["boundary"] == kind
    data, _ = pasted(tmp_path / "a.npz")
    assert (data.layout.centring, data.layout.upper) == (("cells",), (1.0,))


def test_ends_at_one_value_are_no_period_and_no_zero(tmp_path):
    npz(tmp_path / "a.npz", x=CELLS, t=T, u=1 + WALLS["dirichlet"])
    text = render(inspect_file(tmp_path / "a.npz"))
    assert "# boundary:" in text
    assert "neither zero nor flat: a value or a flux stands there" in text


def test_ends_that_nothing_reaches_leave_the_boundary_to_choose(tmp_path):
    npz(tmp_path / "a.npz", x=CELLS, t=T, u=np.exp(-(((CELLS - 0.5 - 0.1 * T[:, None]) / 0.05) ** 2)))
    assert "the data meet periodic and dirichlet and neumann" in render(inspect_file(tmp_path / "a.npz"))
    for kind in ("periodic", "dirichlet", "neumann"):
        data, left = pasted(tmp_path / "a.npz", boundary=kind)
        assert (left, data.layout.boundary) == (["boundary"], (kind,))


def test_a_point_that_comes_twice_is_dropped(tmp_path):
    u = np.concatenate([WAVES, WAVES[..., :1]], axis=-1)
    npz(tmp_path / "a.npz", x=np.arange(33) / 32, t=T, u=u)
    data, left = pasted(tmp_path / "a.npz")
    assert (left, data.layout.grid, data.layout.upper) == ([], (32,), (1.0,))


def test_holes_uneven_times_and_arrays_that_are_no_field(tmp_path):
    u, times = WAVES.copy(), T + 0.004 * np.sin(np.arange(len(T)))
    u[1, 2, 3] = np.nan
    npz(tmp_path / "a.npz", x=X, t=times, u=u, weights=np.ones((7, 9)))
    found = inspect_file(tmp_path / "a.npz").options
    assert (found["missing"], found["fields"], found["dt"]) == ("mask", ("u",), pytest.approx(0.05, rel=0.02))
    data, left = pasted(tmp_path / "a.npz")
    assert (left, data.layout.channel_names) == ([], ("u",))


def test_a_field_that_nothing_measures_is_left_out(tmp_path):
    npz(tmp_path / "a.npz", x=X, t=T, u=WAVES, v=np.full_like(WAVES, np.nan))
    data, left = pasted(tmp_path / "a.npz")
    assert (left, data.layout.channel_names, data.mask) == ([], ("u",), None)
    assert "nothing measures v: as a state, see docs/data.md on data.hidden" in render(
        inspect_file(tmp_path / "a.npz")
    )


def test_a_square_array_is_asked_about(tmp_path):
    u = np.random.default_rng(0).normal(size=(16, 16))
    npz(tmp_path / "a.npz", x=np.arange(16) / 16, t=0.1 * np.arange(16), u=u, boundary="periodic")
    assert "# axes: tx  # choose: u might be tx or xt" in render(inspect_file(tmp_path / "a.npz"))
    assert same(pasted(tmp_path / "a.npz")[0].states[0, :, 0], u)


def test_several_axes_of_trajectories(tmp_path):
    npz(tmp_path / "a.npz", x=X, t=T, u=np.stack([WAVES, 2 * WAVES]), level=[1.0, 2.0])
    data, _ = pasted(tmp_path / "a.npz")
    assert inspect_file(tmp_path / "a.npz").options["axes"] == "nntx"
    assert same(data.states[:, :, 0], np.concatenate([WAVES, 2 * WAVES]))


def test_the_well_with_walls_that_do_not_say_what_they_hold(tmp_path):
    write_well(tmp_path / "a.h5", kinds=("PERIODIC", "WALL"))
    data, left = pasted(tmp_path / "a.h5", boundary=("periodic", "neumann"))
    assert (left, data.layout.boundary) == (["boundary"], ("periodic", "neumann"))


def test_a_file_of_the_wells_own_writer(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dummy = pytest.importorskip("the_well.utils.dummy_data")
    dummy.write_dummy_data(tmp_path / "dummy.h5")
    data, left = pasted(tmp_path / "dummy.h5")
    assert (len(data), left) == (2, [])


@pytest.mark.parametrize(
    ("name", "count", "left"),
    [
        ("raissi_allen_cahn.mat", 1, []),
        ("raissi_schroedinger.mat", 1, []),
        ("raissi_kdv.npz", 1, []),
        ("raissi_burgers.npz", 1, ["boundary"]),
        ("scratch_assay.npz", 12, ["boundary"]),
    ],
)
def test_published_files(name, count, left):
    chosen = {"raissi_burgers.npz": "dirichlet", "scratch_assay.npz": "neumann"}
    data, asked = pasted(published(name), **({"boundary": chosen[name]} if left else {}))
    assert (len(data), asked) == (count, left)
