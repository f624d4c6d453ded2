"""A run directory is enough to use both models: the data and the cache may be gone."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SMALL
from test_command import cotwin, refusal
from test_resume import StopAt

import cotwin as public
from cotwin import rollout
from cotwin.cli.errors import explained
from cotwin.data.initial import read_initial
from cotwin.data.read import open_trajectories
from cotwin.experiment.load import dump, load
from cotwin.experiment.resume import reopen
from cotwin.experiment.simulators import build_physical, settled
from cotwin.experiment.train import prepare, train
from cotwin.layout import Field, Layout
from cotwin.run import Run, RunError
from cotwin.training.hybrid import Role

ROLES: tuple[Role, Role] = ("physical", "synthetic")
X, T = np.linspace(0, 2 * np.pi, 32, endpoint=False), 0.05 * np.arange(9)


def waves(count: int = 4) -> np.ndarray:
    return np.stack([np.exp(-0.1 * T)[:, None] * np.sin(X - 0.3 * n) for n in range(count)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Role, torch.Tensor]]:
    """A finished run, its data and cache gone; and what its models predicted in it from the first frames."""
    folder = tmp_path_factory.mktemp("trained")
    np.savez(folder / "mine.npz", x=X, t=T, u=waves(), boundary="periodic", u_unit="m/s")
    kept = [word for word in SMALL if not word.startswith("data.")]
    data = f"data={{kind: file, path: {folder / 'mine.npz'}, test: 1}}"
    # Where the data decide: the substeps that are stable, and the mean and scale of the surrogate.
    experiment = load("burgers", [*kept, data, "physical.substeps=null", f"store.cache_dir={folder / 'cache'}"])
    session = prepare(experiment)
    with Run.create(folder / "run", dump(experiment)) as run:
        train(session, run, StopAt(0))
    (folder / "mine.npz").unlink()
    start = session.data.train.states[:, 0]
    learners = session.trainings["together"].learners
    with torch.no_grad():
        return folder / "run", {role: rollout(learners[role].trainer.best(), start, 20) for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_loaded_models_predict_what_the_runs_own_did(
    trained: tuple[Path, dict[Role, torch.Tensor]], role: Role
) -> None:
    path, expected = trained
    run = public.load_run(path)
    model = run.model(role)
    assert model is getattr(run, role)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert rollout(model, expected[role][:, 0], 20).equal(expected[role])
    assert run.layout == model.layout
    assert run.settings.physical.substeps >= 1  # type: ignore[union-attr]
    assert run.result == json.loads((path / "result.json").read_text())


@pytest.mark.parametrize("role", ROLES)
def test_predict_writes_what_the_model_gives(
    trained: tuple[Path, dict[Role, torch.Tensor]], role: Role, tmp_path: Path
) -> None:
    path, expected = trained
    # One frame of a file with others and another field beside it, and a point that repeats the first.
    u = waves(2)[:, :1]
    around = np.concatenate([u, u[..., :1]], axis=-1)
    np.savez(tmp_path / "start.npz", x=np.append(X, 2 * np.pi), t=[3.0], u=around, v=around)
    words = ["--initial", str(tmp_path / "start.npz"), "--steps", "20", "--out", str(tmp_path / "out.npz")]
    result = cotwin("predict", str(path), *words, *(() if role == "synthetic" else ("--model", role)))
    assert result.exit_code == 0, result.output
    back = open_trajectories(tmp_path / "out.npz")
    assert back.states.equal(expected[role])
    assert back.layout == public.load_run(path).layout
    assert "2 trajectories" in cotwin("data", "inspect", str(tmp_path / "out.npz")).output
    assert "exists" in refusal("predict", str(path), *words)


@pytest.mark.parametrize("ending", [".nc", ".zarr", ".h5"])
def test_predict_starts_from_and_writes_what_other_tools_read(
    trained: tuple[Path, dict[Role, torch.Tensor]], ending: str, tmp_path: Path
) -> None:
    path, expected = trained
    # The last states of one prediction are where the next one starts.
    np.savez(tmp_path / "start.npz", x=X, t=[0.0], u=waves(2)[:, :1], boundary="periodic")
    for start, frame, steps, out in (
        ("start.npz", "0", "8", f"first{ending}"),
        (f"first{ending}", "8", "12", "on.npz"),
    ):
        words = ["--initial", str(tmp_path / start), "--frame", frame, "--steps", steps, "--out", str(tmp_path / out)]
        result = cotwin("predict", str(path), *words)
        assert result.exit_code == 0, result.output
    first, on = open_trajectories(tmp_path / f"first{ending}"), open_trajectories(tmp_path / "on.npz")
    assert first.layout == public.load_run(path).layout
    assert torch.cat([first.states, on.states[:, 1:]], 1).equal(expected["synthetic"])


def test_predictions_in_python_are_given_as_a_dataset(trained: tuple[Path, dict[Role, torch.Tensor]]) -> None:
    xarray = pytest.importorskip("xarray")
    path, expected = trained
    start = xarray.Dataset(
        {"u": (("time", "run", "x"), waves(2)[:, :1].transpose(1, 0, 2))},
        {"time": [0.0], "x": X},
        {"boundary": "periodic"},
    )
    predicted = public.load_run(path).predict(start, 20, model="physical").to_xarray()
    assert predicted.sizes == {"trajectory": 2, "time": 21, "x": 32}
    assert predicted.u.units == "m/s"
    assert np.array_equal(predicted.u.values, expected["physical"][:, :, 0].numpy())


@pytest.mark.parametrize(
    ("unit", "role", "warned"), [(1, "synthetic", 0), (1e3, "synthetic", 1), (1e3, "physical", 0)]
)
def test_a_surrogate_warns_of_states_unlike_any_it_was_trained_on(
    trained: tuple[Path, object],
    unit: float,
    role: str,
    warned: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    np.savez(tmp_path / "start.npz", x=X, t=[0.0], u=unit * waves(1)[:, :1], boundary="periodic")
    words = ["--initial", str(tmp_path / "start.npz"), "--steps", "1", "--out", str(tmp_path / "out.npz")]
    result = cotwin("predict", str(trained[0]), *words, "--model", role)
    assert caplog.text.count("standard deviations from the mean of the training data") == warned, result.output


def test_states_that_do_not_fit_are_refused(trained: tuple[Path, object], tmp_path: Path) -> None:
    def refused(*words: str, **arrays: object) -> str:
        np.savez(
            tmp_path / "start.npz", **({"x": X, "t": [0.0], "u": waves(1)[:, :1], "boundary": "periodic"} | arrays)
        )  # type: ignore[arg-type]
        asked = {"--initial": str(tmp_path / "start.npz"), "--steps": "2", "--out": str(tmp_path / "out.npz")}
        asked |= dict(zip(words[::2], words[1::2], strict=True))
        return refusal("predict", str(trained[0]), *(word for pair in asked.items() for word in pair))

    assert "there is no folder" in refused("--out", str(tmp_path / "nowhere" / "out.npz"))
    half = {"x": X[::2], "u": waves(1)[:, :1, ::2]}
    assert "16 points from 0 to" in refused(**half)
    assert "interpolate the state to these" in refused(**half)
    assert "the model has 32 from 0 to" in refused(x=X + 0.1)
    assert "the boundary is 'dirichlet', the model's is 'periodic'" in refused(boundary="dirichlet")
    assert "no field 'u'; the file has v" in refused(u=0.0, v=waves(1)[:, :1])
    assert "has no frame 1; its frames are 0 to 0" in refused("--frame", "1")
    assert "1 values of 'u' in frame 0 of trajectory 0" in refused(u=np.where(X[3] == X, np.nan, waves(1)[:, :1]))
    assert "let the name end in .npz, .nc" in refused("--out", "out.mat")
    assert "GB are free; take fewer steps" in refused("--steps", str(10**12))
    assert "No such file" in refused("--initial", "nowhere.npz")
    assert not (tmp_path / "out.npz").exists()


def test_a_square_start_in_another_order_is_not_read_as_it_stands(tmp_path: Path) -> None:
    layout = Layout.box([Field("u")], grid=(32,), extent=[(0, 1)], boundary="periodic", dt=0.01)
    x = torch.tensor(layout.points(0), dtype=torch.float64)
    u = torch.exp(-4 * torch.arange(32) * 0.01)[:, None] * torch.sin(2 * torch.pi * x)
    for name, array in (("right", u), ("turned", u.T)):
        np.savez(tmp_path / f"{name}.npz", x=x, t=np.arange(32) * 0.01, u=array, boundary="periodic")
    assert read_initial(tmp_path / "right.npz", layout)[0][0, 0].equal(u[0])
    with pytest.raises(ValueError, match=r"turned\.npz: .* as 'xt' only"):
        read_initial(tmp_path / "turned.npz", layout)
    assert read_initial(tmp_path / "turned.npz", layout, axes="xt")[0][0, 0].equal(u[0])


def test_a_start_may_have_the_names_of_the_data_or_the_models_and_no_coordinates(tmp_path: Path) -> None:
    layout = Layout.box([Field("u")], grid=(32,), extent=[(0, 1)], boundary="periodic", dt=0.01)
    wave = torch.sin(2 * torch.pi * torch.tensor(layout.points(0), dtype=torch.float64))[None]
    np.savez(tmp_path / "theirs.npz", x=layout.points(0), clock=[0.0], usol=wave)
    np.savez(tmp_path / "ours.npz", x=layout.points(0), t=[0.0], u=wave)
    np.save(tmp_path / "u.npy", wave)
    for name in ("theirs.npz", "ours.npz", "u.npy"):
        start, _ = read_initial(tmp_path / name, layout, names={"t": "clock", "u": "usol"})
        assert start.equal(wave[None]), name
    with pytest.raises(ValueError, match=r"theirs\.npz: no field 'u'|the times are not found"):
        read_initial(tmp_path / "theirs.npz", layout)


def test_an_estimate_can_be_used_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["data.train=1", "data.grid=[16]", "data.num_steps=6", "data.test=1", "estimation.points=1"]
    assert cotwin("estimate", "fisher", *few, "estimation.resolution=off").exit_code == 0
    run = public.load_run("runs/fisher-estimate")
    assert set(run.result) >= {"estimates"}
    assert bool(torch.isfinite(rollout(run.physical, torch.full((1, *run.layout.state_shape), 0.5), 2)).all())
    with pytest.raises(RunError, match="has no synthetic model, only physical"):
        _ = run.synthetic


def test_what_is_no_finished_run_is_said(trained: tuple[Path, object], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run in"):
        public.load_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match="there is no run of Cotwin in"):
        public.load_run(tmp_path)
    Run.create(tmp_path / "begun", "name: begun\n").close()
    with pytest.raises(RunError, match=r"is not finished; go on with it: cotwin train … --resume"):
        public.load_run(tmp_path / "begun")


DAMAGED = [
    "config.yaml", "models.json", "physical.safetensors", "synthetic.safetensors", "result.json", "cotwin-run.json",
    "checkpoints/0010.pt", "checkpoints/0010.json",
]  # fmt: skip


def damage(file: Path, chance: random.Random) -> None:
    """A byte changed, cut, nothing left, gone, or a directory in its place."""
    content = bytearray(file.read_bytes())
    how = chance.choice(["changed", "changed", "cut", "cut", "empty", "gone", "directory"])
    if how == "changed":
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del content[chance.randrange(len(content)) :]
    elif how == "empty":
        content.clear()
    file.unlink()
    if how == "directory":
        file.mkdir()
    elif how != "gone":
        file.write_bytes(content)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_run_is_whole_or_explained(
    trained: tuple[Path, dict[Role, torch.Tensor]], name: str, tmp_path: Path
) -> None:
    experiment = load(str(trained[0] / "config.yaml"))
    expected = trained[1]["synthetic"]
    for seed in range(12):
        path = tmp_path / str(seed)
        shutil.copytree(trained[0], path)
        damage(path / name, random.Random(f"{name} {seed}"))
        with suppress(*explained()):
            run = public.load_run(path)
            assert rollout(run.synthetic, expected[:, 0], 20).equal(expected)
            assert run.result["scores"]
        with suppress(*explained()), reopen(path, experiment) as resumed:
            assert resumed.load_checkpoint()["metrics"]


def test_weights_of_another_model_are_explained(trained: tuple[Path, object], tmp_path: Path) -> None:
    shutil.copytree(trained[0], tmp_path / "run")
    models = tmp_path / "run/models.json"
    described = json.loads(models.read_text())["models"]
    described["settings"]["synthetic"]["width"] = 5
    digest = hashlib.sha256(json.dumps(described, indent=1).encode()).hexdigest()
    models.write_text(json.dumps({"sha256": digest, "models": described}))
    with pytest.raises(RunError, match=r"cannot be built .* another version of Cotwin wrote them"):
        public.load_run(tmp_path / "run")


@pytest.mark.parametrize("name", ["substeps", "max_speed", "ceiling"])
def test_settled_settings_build_without_data_what_the_data_build(name: str) -> None:
    preset, change = {
        "substeps": ("korteweg_de_vries", "physical.substeps=null"),
        "max_speed": ("inviscid_burgers", "physical.max_speed=null"),
        "ceiling": ("fisher", "physical.ceiling=null"),
    }[name]
    experiment = load(preset, [change, "data.train=1", "data.test=1", "data.num_steps=10"])
    data = prepare(experiment).data
    model = settled(experiment.physical, data.layout, data.train.states)
    assert getattr(model, name) > 0
    start = data.train.states[:, 0]
    with_data = build_physical(experiment.physical, data.layout, data.train.states)
    assert rollout(build_physical(model, data.layout), start, 3).equal(rollout(with_data, start, 3))
