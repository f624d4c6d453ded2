"""`cotwin new`: what it writes runs, and finds what the data were made with."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from cotwin import Known, estimates, load_run, rollout
from cotwin.cli import app
from cotwin.experiment.load import load
from cotwin.experiment.new import new
from cotwin.experiment.simulators import build_physical
from cotwin.experiment.train import prepare
from cotwin.physics import Heat

T = 0.1 * np.arange(16)
RNG = np.random.default_rng(0)


def cotwin(*words):
    result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def fading(diffusivity, points, dims):
    """Solutions of the heat equation between insulated ends, [N, T, *grid]: sums of products of cosines."""
    modes = np.cos(np.pi * np.arange(3)[:, None] * (np.arange(points) + 0.5) / points)
    waves = sum(np.meshgrid(*[np.arange(3) ** 2] * dims, indexing="ij")).ravel()
    shapes = modes if dims == 1 else np.einsum("kx,ly->klxy", modes, modes).reshape(9, points, points)
    heights = RNG.normal(size=(3, len(waves)))
    states = np.einsum("nk,tk,k...->nt...", heights, np.exp(-diffusivity * np.pi**2 * waves * T[:, None]), shapes)
    return states + 0.01 * states.std() * RNG.normal(size=states.shape)


def rod(path):
    with h5py.File(path, "w") as file:
        file["run/place"], file["run/clock"], file["run/heat"] = (np.arange(32) + 0.5) / 32, T, fading(0.03, 32, 1)
    return {"heat": 0.03}


def plate(path):
    x = (np.arange(16) + 0.5) / 16
    np.savez(path, x=x, y=x, t=T, u=fading(0.02, 16, 2), v=fading(0.05, 16, 2), level=np.ones(7))
    return {"u": 0.02, "v": 0.05}


@pytest.fixture(params=[("rod_of_mine", rod, "a.h5"), ("plate_of_mine", plate, "a.npz")], ids=lambda one: one[0])
def begun(request, tmp_path, monkeypatch):
    """In a folder that was written from a file, and the true unknowns."""
    name, make, file = request.param
    truth = make(tmp_path / file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    said = cotwin("new", name, "--from", file)
    assert "To choose" not in said
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.syspath_prepend(tmp_path / name)
    return name, truth


@pytest.mark.slow
def test_what_is_written_is_estimated_without_an_edit(begun):
    name, truth = begun
    assert cotwin("data", "check", f"{name}.yaml").endswith("nothing found\n")
    cotwin("estimate", f"{name}.yaml")
    found = estimates(load_run(f"runs/{name}-estimate").physical)
    assert {one: float(value) for one, value in found.items()} == {
        f"diffusivity_{field}": pytest.approx(value, rel=0.03) for field, value in truth.items()
    }


def test_what_is_written_is_diffusion_until_it_is_changed(begun):
    name, truth = begun
    assert "is valid" in cotwin("config", "validate", f"{name}.yaml")
    known = [f"physical.diffusivity_{field}={one}" for field, one in truth.items()]
    session = prepare(load(f"{name}.yaml", [*known, "physical.substeps=16"]))
    states, physical = session.data.train.states, session.experiment.physical
    layout = session.data.train.layout
    rolled = rollout(build_physical(physical, layout, states), states[:, 0], 5)
    for channel, (field, value) in enumerate(truth.items()):
        alone = replace(layout, fields=(layout.fields[channel],))
        assert alone.fields[0].name == field
        exact = rollout(Heat(alone, Known(value), substeps=16), states[:, 0, channel : channel + 1], 5)
        torch.testing.assert_close(rolled[:, :, channel : channel + 1], exact, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_what_is_written_trains_without_an_edit(begun):
    name, _ = begun
    small = ["synthetic.warmup_steps=4", "synthetic.steps=4", "hybrid.cycles=1", "physical.steps=2"]
    cotwin("train", f"{name}.yaml", *small)
    assert Path("runs", name, "result.json").is_file()


def test_the_example_is_read(tmp_path, monkeypatch):
    new(tmp_path / "first")
    monkeypatch.chdir(tmp_path / "first")
    assert "is valid" in cotwin("config", "validate", "first.yaml")


def test_what_the_file_does_not_say_is_left_to_choose(tmp_path, monkeypatch):
    np.save(tmp_path / "u.npy", fading(0.03, 32, 1))
    monkeypatch.chdir(tmp_path)
    said = cotwin("new", "guessed", "--from", "u.npy")
    assert "To choose in guessed.yaml: extent, dt" in said
    text = (tmp_path / "guessed/guessed.yaml").read_text()
    assert "# Before it runs, choose extent, dt below" in text
    monkeypatch.chdir(tmp_path / "guessed")
    result = CliRunner().invoke(app, ["config", "validate", "guessed.yaml"])
    assert result.exit_code == 1
    assert "data.extent" in " ".join(result.output.split())
    (tmp_path / "guessed/guessed.yaml").write_text(re.sub(r"^  # (extent|dt): ", r"  \1: ", text, flags=re.MULTILINE))
    assert "is valid" in cotwin("config", "validate", "guessed.yaml")


def test_a_table_of_readings(tmp_path, monkeypatch):
    x = (np.arange(32) + 0.5) / 32
    places, times = np.meshgrid(x[[3, 11, 20, 29]], T)
    rows = np.stack([times, places, fading(0.03, 32, 1)[0][:, [3, 11, 20, 29]]], axis=-1).reshape(-1, 3)
    np.savetxt(tmp_path / "a.csv", rows, delimiter=",", header="time,x,heat", comments="")
    made = new(tmp_path / "sensed", tmp_path / "a.csv")
    assert made.left == ("boundary",)
    made.config.write_text(made.config.read_text().replace("# boundary: ", "boundary: "))
    monkeypatch.chdir(tmp_path / "sensed")
    assert "is valid" in cotwin("config", "validate", "sensed.yaml")


def test_nothing_that_is_there_is_touched(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match=r"mine is there already"):
        new(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_file_without_a_field_leaves_nothing_behind(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(4.0))
    with pytest.raises(ValueError, match=r"no field that changes in time is found .*cotwin data inspect"):
        new(tmp_path / "mine", tmp_path / "a.npz")
    assert not (tmp_path / "mine").exists()


def test_names_that_are_no_python(tmp_path, monkeypatch):
    x = np.arange(8) / 8
    fields = {"2 m wind": RNG.normal(size=(2, 6, 8, 8, 2)), "class": RNG.normal(size=(2, 6, 8, 8))}
    np.savez(tmp_path / "a.npz", x=x, y=x, t=np.arange(6), boundary="periodic", **fields)
    made = new(tmp_path / "json", tmp_path / "a.npz")  # json is a module of Python's own
    assert (made.config.name, made.stub.name) == ("json_model.yaml", "json_model.py")
    settings = yaml.safe_load(made.config.read_text())["physical"]
    assert list(settings) == ["model", "diffusivity_2_m_wind", "diffusivity_class_", "window"]
    monkeypatch.chdir(tmp_path / "json")
    assert "is valid" in cotwin("config", "validate", "json_model.yaml")
