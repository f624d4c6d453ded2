"""Tables of readings reach estimate and train. The data are exact: waves that decay, κ = 0.1."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_command import cotwin

from cotwin.estimation.observation import Boxes, Points, Weighted
from cotwin.experiment import calibrate, train
from cotwin.experiment.filled import fill
from cotwin.experiment.load import dump, validate
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.settings import Experiment
from cotwin.run import Run
from cotwin.store.store import Store
from tests.test_problems_page import sensors

DRIVEN = {"network": "resnet", "width": 4, "depth": 1, "window": 2, "warmup_steps": 3, "steps": 2}
AMPLITUDES = ((1.0, 0.5, 0.3), (0.6, -0.4, 0.5), (1.2, 0.2, -0.4), (0.8, 0.6, 0.1))
NOISE = 0.002


def exact(number: Any, t: Any, x: Any, rate: Any = 0.1) -> Any:
    """Between insulating walls."""
    waves = [
        np.array(AMPLITUDES)[number, j] * np.exp(-rate * ((j + 1) * np.pi) ** 2 * t) * np.cos((j + 1) * np.pi * x)
        for j in range(3)
    ]
    return 1.0 + sum(waves)


def anywhere(seed: int = 0, count: int = 120, trajectories: int = 4, noise: float = NOISE) -> pd.DataFrame:
    """At random places and times."""
    rng = np.random.default_rng(seed)
    number = np.arange(trajectories).repeat(count)
    t, x = rng.uniform(0, 0.6, len(number)), rng.uniform(0, 1, len(number))
    frame = pd.DataFrame({"trajectory": number, "time": t, "x": x, "u": exact(number, t, x)})
    return frame.assign(u=frame.u + noise * rng.normal(size=len(frame)))


def settings(folder: Path, frame: pd.DataFrame, **changes: Any) -> Experiment:
    frame.to_csv(folder / "table.csv", index=False)
    data = {
        "kind": "file",
        "path": str(folder / "table.csv"),
        "grid": [24],
        "extent": [[0, 1]],
        "boundary": "neumann",
    }
    model = {"model": "heat", "diffusivity": {"initial": 0.07}} | changes.pop("heat", {})
    return validate(
        {
            "name": "read",
            "data": {**data, "dt": 0.02, "begin": 0.0, **changes.pop("data", {})},
            "physical": {"window": 3, "warmup_steps": 3, "steps": 2, "refine": 2, **changes.pop("physical", model)},
            "synthetic": DRIVEN,
            "hybrid": {"cycles": 1},
            "estimation": {"points": 1, "resolution": "off", **changes.pop("estimation", {})},
            "store": {"cache_dir": str(folder / "cache")},
        }
    )


def near(found: Any, truth: Any = 0.1, half: float = 0.004) -> None:
    """Within two and a half half widths of 90 %: four standard deviations."""
    own = found.intervals["diffusivity"]
    wide = (own.high - own.low) / 2
    assert bool(((own.value - torch.as_tensor(truth)).abs() < 2.5 * wide).all()), own
    assert float(wide.max()) < half


def on_grid(folder: Path) -> tuple[Experiment, Experiment]:
    """The same values as a grid file with holes, and as a table."""
    arrays = sensors()
    np.savez(folder / "grid.npz", **arrays)
    n, t, x = np.isfinite(arrays["u"]).nonzero()
    frame = pd.DataFrame({"n": n, "t": arrays["t"][t], "x": arrays["x"][x], "u": arrays["u"][n, t, x]})
    common: dict[str, Any] = {"grid": [48], "dt": None, "begin": None, "precision": "double"}
    table = settings(folder, frame, data=common)
    holes = {"path": str(folder / "grid.npz"), "grid": None, "missing": "mask"}
    return settings(folder, frame, data={**common, **holes}), table


@pytest.mark.slow
def test_readings_on_points_and_steps_are_what_a_grid_with_holes_shows(tmp_path: Path) -> None:
    masked, table = (calibrate.prepare(one) for one in on_grid(tmp_path))
    one, other = (calibrate.run(task) for task in (masked, table))
    for name, own in one.intervals.items():
        there = other.intervals[name]
        for ends in ("value", "low", "high"):
            torch.testing.assert_close(getattr(own, ends), getattr(there, ends), rtol=1e-6, atol=0)
    assert one.after.nrmse == pytest.approx(other.after.nrmse, rel=1e-5)
    assert int(one.after.counts.sum()) == int(other.after.counts.sum())
    filled, read = (fill(task.data, task.places, f.estimation) for task, f in ((masked, one), (table, other)))
    # Where the sensors are the one has what was measured, the other what the simulator gives.
    assert masked.data.train.mask is not None
    off = ~masked.data.train.mask
    torch.testing.assert_close(filled.states[off], read.states[off], rtol=0, atol=1e-4)
    torch.testing.assert_close(filled.validation, read.validation, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_simulator_trains_at_the_sensors_as_on_a_grid_with_holes(tmp_path: Path) -> None:
    found = []
    for experiment in on_grid(tmp_path):
        task = calibrate.prepare(experiment)
        data = fill(task.data, task.places, calibrate.searched(task)).of(task.data)
        learner = train._session(experiment, data, Store(None, 10**8, 0), {}).trainings["alone"].learners["physical"]
        learner.trainer.fit(learner.real, 3)
        found.append(float(next(iter(learner.trainer.best().parameters())).exp()))
    assert found[0] == pytest.approx(0.1, rel=0.02)
    # Windows start from what was measured in the one, and in the other from what the simulator gives.
    assert found[1] == pytest.approx(found[0], rel=0.01)


def test_an_estimate_is_of_readings_anywhere(tmp_path: Path) -> None:
    task = calibrate.prepare(settings(tmp_path, anywhere(), estimation={"resolution": "check"}))
    assert isinstance(task.measurements.observation, Points)
    assert any("360" in note or "480 readings" in note for note in task.notes)
    found = calibrate.run(task)
    near(found)
    assert found.after.nrmse < 0.02
    assert {"grid", "steps", "times", "places"} <= set(found.numerics)
    assert not found.reasons


@pytest.mark.slow
def test_means_over_boxes_from_parquet(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    number = np.arange(3).repeat(150)
    t, low = rng.uniform(0, 0.6, 450), rng.uniform(0, 0.6, 450)
    high = low + rng.uniform(0.1, 0.4, 450)
    ends = [
        np.array(AMPLITUDES)[number, j] * np.exp(-0.1 * ((j + 1) * np.pi) ** 2 * t)
        * (np.sin((j + 1) * np.pi * high) - np.sin((j + 1) * np.pi * low)) / ((j + 1) * np.pi * (high - low))
        for j in range(3)
    ]  # fmt: skip
    frame = pd.DataFrame({"run": number, "t": t, "x_lower": low, "x_upper": high, "u": 1 + sum(ends)})
    frame["u"] += NOISE * rng.normal(size=450)
    experiment = settings(tmp_path, frame, data={"path": str(tmp_path / "boxes.parquet"), "grid": [64]})
    frame.to_parquet(tmp_path / "boxes.parquet")
    task = calibrate.prepare(experiment)
    assert isinstance(task.measurements.observation, Boxes)
    near(calibrate.run(task), half=0.01)


@pytest.mark.slow
def test_noise_of_each_value_is_known(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    clean = anywhere(noise=0.0)
    sigma = rng.choice([0.002, 0.05], len(clean))
    frame = clean.assign(u=clean.u + sigma * rng.normal(size=len(clean)), u_sigma=sigma)
    task = calibrate.prepare(settings(tmp_path, frame))
    assert isinstance(task.measurements.observation, Weighted)
    found = calibrate.run(task)
    near(found, half=0.01)
    # Of the surer half alone it would be about as wide; taken for alike, several times as wide.
    plain = calibrate.run(calibrate.prepare(settings(tmp_path, frame.drop(columns="u_sigma"))))
    narrow, wide = (one.intervals["diffusivity"] for one in (found, plain))
    assert float(wide.high - wide.low) > 2 * float(narrow.high - narrow.low)
    assert 0.8 < found.estimation.fit < 1.2
    with pytest.raises(ValueError, match="the file says the noise of each value, in its column sigma"):
        calibrate.prepare(settings(tmp_path, frame, estimation={"noise": 0.01}))


def test_the_end_of_a_single_trajectory_is_held_out(tmp_path: Path) -> None:
    frame = anywhere(count=240, trajectories=1)
    task = calibrate.prepare(settings(tmp_path, frame))
    assert task.data.validation.sensors is not None
    # From the step on in which the last fifth begins.
    assert task.measurements.observation.size + len(task.data.validation.sensors) == 240
    assert 48 <= len(task.data.validation.sensors) < 58
    found = calibrate.run(task)
    near(found, half=0.01)
    assert int(found.after.counts.sum()) == len(task.data.validation.sensors)


@pytest.mark.slow
def test_an_unknown_of_each_trajectory_and_one_that_is_given(tmp_path: Path) -> None:
    rates = np.array([0.05, 0.1, 0.15])
    rng = np.random.default_rng(5)
    number = np.arange(3).repeat(200)
    t, x = rng.uniform(0, 0.6, 600), rng.uniform(0, 1, 600)
    u = exact(number, t, x, rates[number]) + NOISE * rng.normal(size=600)
    frame = pd.DataFrame({"trajectory": number, "time": t, "x": x, "u": u, "kappa": rates[number]})
    each = settings(
        tmp_path, frame.drop(columns="kappa"), heat={"diffusivity": {"initial": 0.07, "per": "trajectory"}}
    )
    near(calibrate.run(calibrate.prepare(each)), rates[:, None].squeeze(), half=0.02)
    known = settings(tmp_path, frame, heat={"diffusivity": {"given": "kappa"}, "source": {"initial": 0.1}})
    data = load_dataset(known.data, known.physical, 0, Store(None, 10**8, 0))
    assert data.train.given.conditions["kappa"].tolist() == pytest.approx([0.05, 0.1])
    assert data.layout.channel_names == ("u",)


def test_a_hidden_field_stands_beside_readings(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": [0.0, 0.1, 0.2, 0.3, 0.4] * 3, "x": [0.1] * 5 + [0.5] * 5 + [0.8] * 5, "u": 0.5})
    hidden = {"v": {"mean": 0.2, "deviation": 0.1}}
    said = {"hidden": hidden, "fields": ["v", "u"], "boundary": "periodic", "dt": None, "begin": None}
    experiment = settings(
        tmp_path,
        frame,
        data=said,
        physical={"model": "gray_scott", "diffusivity_u": 2e-4, "diffusivity_v": 1e-4,
                  "feed": {"initial": 0.03}, "kill": {"initial": 0.06}},
    )  # fmt: skip
    data = load_dataset(experiment.data, experiment.physical, 0, Store(None, 10**8, 0))
    assert data.train.sensors is not None
    assert data.train.sensors.channel.unique().tolist() == [1]
    one = settings(tmp_path, frame, data={**said, "hidden": {"u": {"mean": 0, "deviation": 1}}, "fields": None})
    with pytest.raises(ValueError, match=r"data.hidden: u is measured"):
        load_dataset(one.data, one.physical, 0, Store(None, 10**8, 0))


def test_several_tables_are_one_set(tmp_path: Path) -> None:
    frame = anywhere(trajectories=2)
    for number, own in frame.groupby("trajectory"):
        own.drop(columns="trajectory").to_csv(tmp_path / f"run{number}.csv", index=False)
    both = load_dataset(settings(tmp_path, frame).data, settings(tmp_path, frame).physical, 0, Store(None, 10**8, 0))
    one = settings(tmp_path, frame, data={"path": str(tmp_path / "run*.csv")})
    apart = load_dataset(one.data, one.physical, 0, Store(None, 10**8, 0))
    assert both.train.sensors is not None
    assert apart.train.sensors is not None
    assert torch.equal(both.train.sensors.values, apart.train.sensors.values)


@pytest.mark.parametrize("deviation", [0, 1e-4])
def test_what_is_known_of_the_start_is_taken(tmp_path: Path, deviation: float) -> None:
    """Uniform, and heated uniformly, so that nothing depends on places: with a wrong start the source is wrong."""
    rng = np.random.default_rng(6)
    number, t, x = np.arange(3).repeat(40), rng.uniform(0.1, 0.6, 120), rng.uniform(0, 1, 120)
    u = 2.0 + 0.5 * t + NOISE * rng.normal(size=120)
    frame = pd.DataFrame({"trajectory": number, "time": t, "x": x, "u": u})
    said = {"initial": {"u": {"mean": 2.0, "deviation": deviation}}, "assimilated": 10}
    heat = {"diffusivity": 0.1, "source": {"initial": 0.1}}
    task = calibrate.prepare(settings(tmp_path, frame, data=said, heat=heat))
    assert isinstance(task.starts, torch.Tensor) == (deviation == 0)
    found = calibrate.run(task)
    source = found.intervals["source"]
    # From readings after the start alone its half width would be three times as large.
    assert abs(float(source.value) - 0.5) < 2.5 * float(source.high - source.low) / 2 < 2.5 * 0.002
    assert found.after.nrmse < 0.1
    assert float(task.data.validation.states[0, 0, 0, 0]) == 2.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"initial": {"v": {"mean": 0, "deviation": 1}}}, "data.initial: v is no field that is measured and changes"),
        ({"filling": "interpolated"}, "data.filling is of no effect: states at sensors are estimated"),
        ({"grid": None}, "the readings have no grid"),
        ({"missing": "mask"}, "of no effect on a table of readings"),
    ],
)
def test_settings_that_say_nothing_of_readings_are_refused(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate.prepare(settings(tmp_path, anywhere(), data=data))


def test_the_simulator_trains_at_readings_and_the_surrogate_on_what_is_filled(tmp_path: Path) -> None:
    session = train.prepare(settings(tmp_path, anywhere()))
    assert session.filling is not None
    learners = session.trainings["together"].learners
    physical, synthetic = (learners[role].real.__getitems__([0, 1]) for role in ("physical", "synthetic"))
    assert physical.readings is not None
    assert len(physical.readings) > 0
    assert not physical.mask.any()  # type: ignore[union-attr]
    assert synthetic.readings is None
    assert synthetic.mask.all()  # type: ignore[union-attr]
    changed = anywhere().assign(u=lambda frame: frame.u + 1e-9)
    assert train.prepare(settings(tmp_path, changed)).origin["data"] != session.origin["data"]


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_numbers(tmp_path: Path) -> None:
    class Killer:
        def __init__(self, at: str) -> None:
            self.at = at

        def begin(self, description: str, steps: int) -> None:
            if self.at in description:
                raise KeyboardInterrupt

        def step(self, loss: float) -> None: ...

        def restart(self) -> None: ...

    def run(name: str, kills: list[str]) -> dict[str, Any]:
        experiment = settings(tmp_path, anywhere(), data={"test": 1})
        directory = Run.create(tmp_path / name, dump(experiment))
        state = None
        for at in [*kills, "nowhere"]:
            try:
                found = train.train(train.prepare(experiment), directory, Killer(at), state)
            except KeyboardInterrupt:
                state = directory.load_checkpoint()
        directory.close()
        return found.as_json()

    through = run("through", [])
    # Of readings there is no VRMSE, and what is not a number is not equal to itself.
    assert repr(through) == repr(run("killed", ["nobody has seen", "warm-up", "together, cycle 1"]))
    assert all(score["test_nrmse"] < 1 for score in through["scores"] if score["role"] == "physical")


def test_readings_of_what_lies_on_faces_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    x, y, u, v = rng.uniform(0.1, 0.9, (4, 40))
    frame = pd.DataFrame({"t": np.arange(40) // 8 * 0.1, "x": x, "y": y, "velocity_x": u, "velocity_y": v})
    data = {"grid": [8, 8], "extent": [[0, 1], [0, 1]], "boundary": "dirichlet", "dt": None, "begin": None}
    flow = {"model": "incompressible_flow", "viscosity": {"initial": 0.1}, "refine": 1}
    with pytest.raises(ValueError, match="has velocity on the faces of its cells, and readings are interpolated"):
        calibrate.prepare(settings(tmp_path, frame, data=data, physical=flow))


def test_windows_do_not_begin_where_trajectories_do(tmp_path: Path) -> None:
    said = {"initial": {"u": {"mean": 2.0, "deviation": 0.1}}}
    with pytest.raises(ValueError, match=r"estimation.window: data.initial says how trajectories start"):
        calibrate.prepare(settings(tmp_path, anywhere(), data=said, estimation={"window": 5}))


def test_starts_that_are_measured_are_not_said(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "u.npz",
        x=(np.arange(24) + 0.5) / 24,
        t=np.arange(6) * 0.1,
        u=np.random.default_rng(0).uniform(size=(3, 6, 24)),
    )
    said = {"path": str(tmp_path / "u.npz"), "grid": None, "dt": None, "begin": None, "walls": "trusted"}
    one = settings(tmp_path, anywhere(), data={**said, "initial": {"u": {"mean": 2.0, "deviation": 0.1}}})
    with pytest.raises(ValueError, match=r"data.initial is of no effect: starts are measured"):
        load_dataset(one.data, one.physical, 0, Store(None, 10**8, 0))


@pytest.mark.slow
def test_commands_from_what_inspect_printed_to_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a square, at random places and times."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(7)
    well, t, x, y = np.arange(3).repeat(90), rng.uniform(0, 0.5, 270), *rng.uniform(0, 1, (2, 270))
    waves = [
        np.exp(-0.1 * np.pi**2 * (j + k) * t) * np.cos(j * np.pi * x) * np.cos(k * np.pi * y)
        for j, k in ((1, 0), (1, 1))
    ]
    u = np.array([[1, 0.5], [-0.5, 1], [0.7, -0.7]])[well].T * np.array(waves)
    frame = pd.DataFrame({"run": well, "hours": t, "x": x, "y": y, "u": u.sum(axis=0) + NOISE * rng.normal(size=270)})
    frame.to_csv("square.csv", index=False)
    printed = cotwin("data", "inspect", "square.csv").output
    block = printed[printed.index("data:") :].replace("# boundary", "boundary").replace("[32, 32]", "[8, 8]")
    block = re.sub(r"dt: \S+", "dt: 0.05", block)
    Path("square.yaml").write_text(
        f"{block}\nphysical: {{model: heat, diffusivity: {{initial: 0.05}}, refine: 2, warmup_steps: 2, steps: 1}}\n"
        f"synthetic: {DRIVEN}\nhybrid: {{cycles: 1}}\nestimation: {{points: 1, resolution: 'off'}}\n"
    )
    assert "could not be drawn" not in cotwin("estimate", "square.yaml").output
    assert "could not be drawn" not in (said := cotwin("train", "square.yaml").output)
    assert "NRMSE" in said
    assert "VRMSE" not in said
    assert Path("runs/square-estimate/fit.png").is_file()
    assert Path("runs/square/rollout.png").is_file()
    (own,) = json.loads(Path("runs/square-estimate/estimation.json").read_text())["estimates"]
    assert own["value"] == pytest.approx(0.1, rel=0.05)
