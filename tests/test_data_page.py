"""Each line of the table of formats in docs/data.md reads a file that another program wrote."""

import ast
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

from cotwin import open_trajectories

X, Y, T = (np.arange(16) + 0.5) / 16, (np.arange(12) + 0.5) / 12, np.arange(6) * 0.1
RNG = np.random.default_rng(0)
U, V = RNG.normal(size=(2, 6, 16)), RNG.normal(size=(2, 6, 16, 12))
W = RNG.normal(size=(2, 6, 16, 12, 2))


def hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


def well(path):
    from the_well.utils.dummy_data import write_dummy_data

    write_dummy_data(str(path))
    with h5py.File(path) as file:
        return np.moveaxis(file["t1_fields/field"][()], -1, 2)


def groups(path):
    grid = {"x": X, "y": Y, "t": T}
    hdf5(
        path,
        {f"{i:04d}/grid/{name}": row for i in range(2) for name, row in grid.items()}
        | {f"{i:04d}/data": W[i] for i in range(2)},
    )
    return np.moveaxis(W, -1, 2)


def compressible(path):
    fields = dict(zip(("density", "pressure", "Vx", "Vy"), (V, 2 * V, 3 * V, 4 * V), strict=True))
    hdf5(path, fields | {"x-coordinate": X, "y-coordinate": Y, "t-coordinate": np.arange(7) * 0.1})
    return np.stack(list(fields.values()), axis=2)


def incompressible(path):
    hdf5(path, {"t": np.tile(T, (2, 1)), "velocity": W, "particles": V[..., None], "force": W[:, 0]})
    return np.concatenate([np.moveaxis(W, -1, 2), V[:, :, None]], axis=2)


def labelled(path):
    import xarray as xr

    dataset = xr.Dataset({"u": (("member", "time", "x"), U)}, {"time": T, "x": X})
    dataset.to_netcdf(path) if path.suffix == ".nc" else dataset.to_zarr(path)
    return U[:, :, None]


def matlab_73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["u"], file["x"], file["t"] = U, X[:, None], T[None]
    content = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + content[512:])
    return U[:, :, None]


def scenes(path):
    from phi.flow import Box, CenteredGrid, Scene, extrapolation
    from phi.math import spatial, tensor

    for trajectory in range(2):
        scene = Scene.create(str(path))
        for frame in range(6):
            values = tensor(V[trajectory, frame], spatial("x,y"))
            scene.write({"smoke": CenteredGrid(values, extrapolation.BOUNDARY, bounds=Box(x=4, y=3))}, frame=frame)
        scene.put_property("dt", 0.1)
    return V[:, :, None]


def runs(path):
    path.parent.mkdir()
    for number in range(2):
        np.savez(path.with_name(f"{number}.npz"), x=X, t=T, u=U[number])
    return U[:, :, None]


def logger(path):
    """A reading in each cell of the model's grid, which then holds them all."""
    states = RNG.normal(size=(2, 6, 48))
    rod, time, cell = (one.ravel() for one in np.indices(states.shape))
    table = {"rod": rod, "time": 0.02 * time, "x": (cell + 0.5) / 48, "u": states.ravel()}
    pd.DataFrame(table).to_csv(path, index=False)
    return states[:, :, None]


def written(write, values):
    """A writer that has its states."""

    def with_states(path):
        write(path)
        return values

    return with_states


MADE = {
    "burgers.npz": written(lambda path: np.savez(path, x=X, t=T, u=U), U[:, :, None]),
    "heat.npy": written(lambda path: np.save(path, U), U[:, :, None]),
    "well.hdf5": well,
    "2D_CFD.hdf5": compressible,
    "2D_diff-react.h5": groups,
    "ns_incom.h5": incompressible,
    "mine.h5": written(lambda path: hdf5(path, {"run/clock": T, "run/place": X, "u": U}), U[:, :, None]),
    "rod.nc": labelled,
    "rod.zarr": labelled,
    "allen_cahn.mat": written(
        lambda path: scipy.io.savemat(path, {"x": X, "tt": T[:, None], "uu": U[0].T}), U[:1, :, None]
    ),
    "wave.mat": matlab_73,
    "scenes": scenes,
    "logger.csv": logger,
    "runs/*.npz": runs,
}
PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
LINES = re.findall(r"\| `(open_trajectories\(.*\))` \|$", PAGE, flags=re.MULTILINE)


def test_every_line_of_the_table_is_tried():
    assert {ast.literal_eval(called(line).args[0]) for line in LINES} == set(MADE)


@pytest.mark.parametrize("line", LINES)
def test_a_line_reads_its_file(tmp_path, line):
    call = called(line)
    name = ast.literal_eval(call.args[0])
    options = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
    expected = MADE[name](tmp_path / name)
    data = open_trajectories(str(tmp_path / name), **options, walls="trusted")
    moving = [not static for static in data.layout.static_channels]
    assert np.array_equal(data.states.numpy()[:, :, moving].astype(np.float32), expected.astype(np.float32))


def called(line):
    (statement,) = ast.parse(line).body
    return statement.value
