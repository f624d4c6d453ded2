"""Data that exceed the memory train and are estimated from as any others: the same numbers, from a file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from test_resume import PowerCutError, StopAt, assert_same

from cotwin.experiment import calibrate
from cotwin.experiment.build import build_store
from cotwin.experiment.load import dump, load
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.plan import plan_session
from cotwin.experiment.resume import reopen
from cotwin.experiment.settings import Experiment
from cotwin.experiment.train import Session, prepare, train
from cotwin.layout import Field, Layout
from cotwin.parameters import Known
from cotwin.physics.heat import Heat
from cotwin.run import Run
from cotwin.stepper import rollout
from cotwin.store.store import Store

POINTS, BUDGET = 32, 4e-5


def measured(count: int = 8, frames: int = 25) -> np.ndarray:
    """Of the heat equation between insulating walls, with noise, (N, T, x)."""
    layout = Layout.box([Field("u")], grid=(POINTS,), extent=[(0, 1)], boundary="neumann", dt=0.02)
    generator = torch.Generator().manual_seed(1)
    waves = torch.cos(math.pi * torch.arange(4)[:, None] * torch.tensor(layout.points(0)).double())
    start = torch.randn(count, 4, generator=generator, dtype=torch.float64) @ waves
    states = rollout(Heat(layout, Known(0.1)).double(), start[:, None], frames - 1)[:, :, 0]
    return (states + 0.003 * torch.randn(states.shape, generator=generator)).numpy()


def tailed() -> np.ndarray:
    u = measured()
    u[2, 18:] = np.nan
    return u


def holed() -> np.ndarray:
    u = tailed()
    u[:, :, 5] = np.nan  # a dead sensor
    u[7, 0, 9] = np.nan
    return u


DATA = {"whole": measured, "ends early": tailed, "holes": holed, "one trajectory": lambda: measured(1, 200)}


def experiment(folder: Path, u: np.ndarray, *overrides: str) -> Experiment:
    """Heat with an unknown diffusivity, from files with these values, under a budget that they exceed."""
    parts = np.array_split(u, 2) if "several" in overrides else [u]
    for number, part in enumerate(parts):
        x, t = (np.arange(POINTS) + 0.5) / POINTS, 0.02 * np.arange(u.shape[1])
        np.savez(folder / f"u{number}.npz", u=part, x=x, t=t)
    (folder / "u.yaml").write_text(
        f"""defaults: [heat]
name: beyond
data: {{kind: file, path: {folder / "u*.npz"}, missing: mask, boundary: neumann}}
physical: {{diffusivity: {{initial: 0.05, bounds: null, grid: null}}, window: 3, warmup_steps: 3, steps: 2}}
synthetic: {{window: 2, warmup_steps: 2, steps: 2, network: resnet, width: 4, depth: 1, starts: real}}
hybrid: {{cycles: 2, alpha: {{kind: fixed, value: 0.5}}}}
store: {{cache_dir: {folder / "cache"}, memory_budget_gb: {BUDGET}}}
"""
    )
    return load(str(folder / "u.yaml"), [one for one in overrides if one != "several"])


def run(settings: Experiment, path: Path, stop: int = 0, checkpoint: bool = False) -> Session:
    session = prepare(settings)
    with reopen(path, settings) if checkpoint else Run.create(path, dump(settings)) as opened:
        train(session, opened, StopAt(stop), opened.load_checkpoint() if checkpoint else None)
    return session


def in_memory(patch: pytest.MonkeyPatch) -> None:
    """As if there were room, under a budget that is otherwise the same."""
    patch.setattr(Store, "most_real", property(lambda store: 10**9))


def test_what_is_trained_on_from_a_file_is_what_memory_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = experiment(tmp_path, holed())
    found = prepare(settings)
    in_memory(monkeypatch)
    usual = prepare(settings)
    assert (found.data.train.in_file, usual.data.train.in_file) == (True, False)
    assert torch.equal(found.data.train.states, usual.data.train.states)
    assert (found.data.notes, found.origin) == (usual.data.notes, usual.origin)
    for role, one in found.trainings["together"].learners.items():
        other = usual.trainings["together"].learners[role]
        rows = torch.randperm(len(other.real), generator=torch.Generator().manual_seed(0)).tolist()
        batches = one.real.__getitems__(rows), other.real.__getitems__(rows)
        assert all(torch.equal(a, b) for a, b in zip(*(batch[:4] for batch in batches), strict=True))
        assert torch.equal(one.trainer.loss.inverse_scale, other.trainer.loss.inverse_scale)
        assert one.trainer.validate() == other.trainer.validate()


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [None, 700])
@pytest.mark.parametrize("name", [*DATA, "several"])
def test_training_from_a_file_ends_with_the_numbers_of_memory(
    tmp_path: Path, name: str, pieces: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pieces is not None and name not in ("whole", "holes"):
        pytest.skip("nothing else")
    u = DATA.get(name, measured)()
    settings = experiment(tmp_path, u, *(["several"] if name == "several" else []))
    with monkeypatch.context() as patch:
        in_memory(patch)
        usual = run(settings, tmp_path / "usual")
    assert not usual.data.train.in_file
    if pieces is not None:
        monkeypatch.setattr("cotwin.pieces.AT_ONCE", pieces)
    found = run(settings, tmp_path / "found")
    assert found.data.train.in_file
    assert torch.equal(found.data.train.states, usual.data.train.states)
    assert found.data.notes == usual.data.notes
    assert found.origin == usual.origin
    if pieces is None:
        assert_same(tmp_path / "found", tmp_path / "usual")
    else:
        results = [json.loads((tmp_path / one / "result.json").read_text()) for one in ("found", "usual")]
        for one, other in zip(*(result["scores"] for result in results), strict=True):
            assert one["validation_nrmse"] == pytest.approx(other["validation_nrmse"], rel=1e-5)


@pytest.mark.slow
def test_a_run_begun_in_memory_is_gone_on_with_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = experiment(tmp_path, holed())
    with monkeypatch.context() as patch:
        in_memory(patch)
        run(settings, tmp_path / "usual")
        with pytest.raises(PowerCutError):
            run(settings, tmp_path / "found", stop=7)
    run(settings, tmp_path / "found", checkpoint=True)
    assert_same(tmp_path / "found", tmp_path / "usual")


def test_an_estimate_takes_a_part_and_says_so(tmp_path: Path) -> None:
    budget = "store.memory_budget_gb=7.8e-4"
    settings = experiment(tmp_path, measured(128), "estimation.window=4", "estimation.starts=exact", budget)
    task = calibrate.prepare(settings)
    assert not task.data.train.in_file
    (note,) = [note for note in task.notes if "exceed the memory" in note]
    assert f"The estimate is of {len(task.data.train)} of 635 windows of 4 steps" in note
    assert 5 < len(task.data.train) < 20
    found = calibrate.searched(task)
    assert float(found.intervals["diffusivity"].value) == pytest.approx(0.1, rel=0.05)
    whole = experiment(tmp_path, measured(), "estimation.window=full")
    with pytest.raises(ValueError, match=r"an estimate along 24 steps takes .* GB .*estimation\.window"):
        calibrate.prepare(whole)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.hidden={v: {mean: 0.5, deviation: 0.5}}", "a field that nothing measures is estimated"),
        ("data.filling=estimated", "states that nobody has seen are estimated"),
    ],
)
def test_what_takes_all_states_in_memory_is_refused(tmp_path: Path, override: str, message: str) -> None:
    settings = experiment(tmp_path, holed(), override)
    with pytest.raises(ValueError, match=rf"{message}.*store\.memory_budget_gb"):
        load_dataset(settings.data, settings.physical, 0, build_store(settings.store))


def test_a_plan_says_where_the_data_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = experiment(tmp_path, measured())
    plan = plan_session(prepare(settings))
    assert [part.where for part in plan.real] == ["file", "file"]
    assert plan.real_bytes == 0
    in_memory(monkeypatch)
    plan = plan_session(prepare(settings))
    assert [part.where for part in plan.real] == ["memory", "memory"]
    assert plan.real_bytes == sum(part.num_bytes for part in plan.real)
