"""From a file of another program to an estimate, with no words but those that `cotwin data inspect` prints."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr
from typer.testing import CliRunner

from cotwin import estimates, load_run
from cotwin.cli import app

KAPPA = 0.1
X, T = (np.arange(32) + 0.5) / 32, np.arange(16) * 0.02
RNG = np.random.default_rng(0)
SIZES = RNG.normal(size=(3, 4))
MODES = np.arange(1, 5) * np.pi
U = np.einsum("nk,tk,kx->ntx", SIZES, np.exp(-KAPPA * np.outer(T, MODES**2)), np.cos(np.outer(MODES, X)))
"""Heat between closed walls, exact, of three rods."""
U += 0.01 * RNG.normal(size=U.shape)


def netcdf(path: Path) -> None:
    unit = {"units": "hours since 2024-05-01 00:00"}
    xr.Dataset(
        {"temp": (("time", "sample", "dist"), U.transpose(1, 0, 2), {"units": "K"})},
        {"time": ("time", T, unit), "dist": ("dist", X, {"units": "m", "axis": "X"})},
    ).to_netcdf(path)


def matlab(path: Path) -> None:
    scipy.io.savemat(path, {"usol": U.transpose(2, 1, 0), "xx": X[:, None], "tt": T[None]}, do_compression=True)


def pdebench(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["tensor"], file["x-coordinate"], file["t-coordinate"] = U, X, np.arange(17) * 0.02


def plain(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["log/clock"], file["mesh/nodes"], file["out/theta"] = T, X, U
        file["mesh/nodes"].attrs["units"] = "m"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write"), [("rods.nc", netcdf), ("rods.mat", matlab), ("rods.hdf5", pdebench), ("mine.h5", plain)]
)
def test_what_inspect_prints_is_all_that_an_estimate_needs(tmp_path, monkeypatch, name, write):
    monkeypatch.chdir(tmp_path)
    write(Path(name))
    said = CliRunner().invoke(app, ["data", "inspect", name])
    assert said.exit_code == 0, said.output
    block = re.search(r"^data:\n(?:  .*\n)+", said.output, flags=re.MULTILINE)
    assert block is not None
    # What is left to choose is commented out, with a proposal.
    chosen = re.sub(r"^  # (boundary: )\S+(.*)$", r"  \1neumann\2", block[0], flags=re.MULTILINE)
    text = f"{chosen}\nphysical: {{model: heat, diffusivity: {{initial: 0.03}}}}\nestimation: {{resolution: 'off'}}\n"
    Path("rods.yaml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["estimate", "rods.yaml", "estimation.points=1"])
    assert result.exit_code == 0, result.output
    found = estimates(load_run("runs/rods-estimate").physical)["diffusivity"]
    assert float(found) == pytest.approx(KAPPA, rel=0.02)
