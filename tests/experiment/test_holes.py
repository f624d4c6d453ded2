"""Data with holes: where rollouts start, what is scored, and that the right diffusivity comes out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cotwin.experiment import calibrate, train
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.holes import fill_holes, shows_all
from cotwin.experiment.load import load
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.settings import Experiment
from cotwin.layout import Boundary, Field, Layout
from cotwin.parameters import Known
from cotwin.physics.heat import Heat
from cotwin.stepper import rollout
from cotwin.store.store import Store

POINTS, DIFFUSIVITY, NOISE = 32, 0.1, 0.003


def measured(count: int) -> np.ndarray:
    """Of the heat equation between insulating walls, with noise, (N, T, x)."""
    layout = Layout.box([Field("u")], grid=(POINTS,), extent=[(0, 1)], boundary="neumann", dt=0.02)
    generator = torch.Generator().manual_seed(1)
    waves = torch.cos(math.pi * torch.arange(4)[:, None] * torch.tensor(layout.points(0)).double())
    start = torch.randn(count, 4, generator=generator, dtype=torch.float64) @ waves
    states = rollout(Heat(layout, Known(DIFFUSIVITY)).double(), start[:, None], 12)[:, :, 0]
    return (states + NOISE * torch.randn(states.shape, generator=generator)).numpy()


def experiment(folder: Path, u: np.ndarray, *overrides: str) -> Experiment:
    """Heat with an unknown diffusivity, from a file with these values."""
    np.savez(folder / "u.npz", u=u, x=(np.arange(POINTS) + 0.5) / POINTS, t=0.02 * np.arange(u.shape[-2]))
    (folder / "u.yaml").write_text(
        f"""defaults: [heat]
name: holes
data: {{kind: file, path: {folder / "u.npz"}, missing: mask, boundary: neumann, validation: 1, test: 0}}
physical: {{diffusivity: {{initial: 0.05, bounds: null, grid: null}}, warmup_steps: 6}}
synthetic: {{warmup_steps: 2, steps: 2, network: resnet, width: 4, depth: 1}}
hybrid: {{cycles: 1}}
store: {{cache_dir: {folder / "cache"}}}
"""
    )
    return load(str(folder / "u.yaml"), list(overrides))


def loaded(folder: Path, u: np.ndarray, *overrides: str) -> Dataset:
    settings = experiment(folder, u, *overrides)
    return load_dataset(settings.data, settings.physical, 0, Store(None, 10**7, 0))


def holed(kind: str) -> np.ndarray:
    u = measured(4)
    if kind == "a dead sensor":
        u[:, :, 20:22] = np.nan
    else:
        u[np.random.default_rng(2).random(u.shape) < 0.05] = np.nan
        u[:, 0, 5] = np.nan
    return u[0] if kind == "one trajectory" else u


@pytest.mark.parametrize("kind", ["at random", "a dead sensor", "one trajectory"])
def test_the_diffusivity_is_found_by_estimate_and_by_train(tmp_path: Path, kind: str) -> None:
    # The data have the error of the model's own grid, so no finer one would be righter.
    settings = experiment(tmp_path, holed(kind), "estimation.resolution=check")
    task = calibrate.prepare(settings)
    calibration = calibrate.run(task)
    interval = calibration.intervals["diffusivity"]
    assert float(interval.low) < DIFFUSIVITY < float(interval.high)
    assert calibration.after.nrmse < 0.03
    session = train.prepare(settings)
    learner = session.trainings["alone"].learners["physical"]
    learner.trainer.fit(learner.real, learner.warmup_steps)
    found = dict(learner.trainer.best().named_parameters())
    assert len(found) == 1
    assert float(next(iter(found.values())).exp()) == pytest.approx(DIFFUSIVITY, rel=0.005)
    assert learner.trainer.best_error < 0.03
    assert "% of the training values are missing" in " ".join(task.notes)
    assert "from that frame alone, and that 1 frame is not scored" in session.data.validation.about


def test_no_scored_frame_changes_a_start(tmp_path: Path) -> None:
    u = holed("at random")
    before = loaded(tmp_path, u).validation
    u[3, 1:] = np.random.default_rng(5).normal(size=u[3, 1:].shape)
    after = loaded(tmp_path, u).validation
    assert torch.equal(before.states[:, 0], after.states[:, 0])
    assert not torch.equal(before.states[:, 1:], after.states[:, 1:])


def test_of_one_trajectory_no_held_out_frame_changes_start_or_training(tmp_path: Path) -> None:
    u = holed("one trajectory")
    u[0, 3] = np.nan
    before = loaded(tmp_path, u)
    u[10:] = np.random.default_rng(5).normal(size=u[10:].shape)
    after = loaded(tmp_path, u)
    assert before.train.num_frames == 10
    assert torch.equal(before.train.states, after.train.states)
    assert torch.equal(before.validation.states[:, 0], after.validation.states[:, 0])


def test_every_model_and_both_trainings_begin_from_the_same_starts_and_a_resumed_run_too(tmp_path: Path) -> None:
    settings = experiment(tmp_path, holed("a dead sensor"))
    session = train.prepare(settings)
    judges = {id(x.trainer.held_out) for h in session.trainings.values() for x in h.learners.values()}
    assert judges == {id(session.data.validation)}
    state = train._state(session, [])
    again = train.prepare(settings)
    again.data.validation.states[:, 0] += 1  # as if another release interpolated otherwise
    train._restore(again, state)
    assert torch.equal(again.data.validation.states, session.data.validation.states)


def test_a_rollout_starts_from_the_first_frame_that_shows_something(tmp_path: Path) -> None:
    u = measured(4)
    u[3, :2] = np.nan
    data = loaded(tmp_path, u).validation
    assert "Held-out trajectory 3 starts from frame 2," in data.about
    assert "the 2 before it are not scored" in data.about
    torch.testing.assert_close(data.states[0, :11, 0], torch.tensor(u[3, 2:]).float())
    assert data.mask is not None
    assert data.mask[0, :11].all()
    assert not data.mask[0, 11:].any()
    single = measured(1)[0]
    single[0] = np.nan
    data = loaded(tmp_path, single).validation
    # A fifth of the 12 states that are there.
    assert data.scored_from == 10
    torch.testing.assert_close(data.states[0, 10:12, 0], torch.tensor(single[11:]).float())
    u[3, :12] = np.nan
    with pytest.raises(ValueError, match=r"no rollout can start in held-out trajectories \[3\]"):
        loaded(tmp_path, u, "data.validation=2")


def test_training_windows_start_where_a_frame_shows_something(tmp_path: Path) -> None:
    u = holed("a dead sensor")
    u[1, 4] = np.nan
    settings = experiment(tmp_path, u)
    real = train.prepare(settings).trainings["alone"].learners["physical"].real
    assert len(real) == 3 * 5 - 1
    batch = real.__getitems__(range(len(real)))
    assert batch.mask is not None
    assert not batch.mask[..., 20:22].any()
    # Between its neighbours, not zero.
    assert (batch.states[:, 0, 0, 20] - batch.states[:, 0, 0, 19]).abs().max() < 0.5


def boxed(grid: tuple[int, ...], boundary: Boundary) -> Layout:
    return Layout.box([Field("u"), Field("v")], grid=grid, extent=[(0, 1)] * len(grid), boundary=boundary, dt=0.1)


def smooth(layout: Layout, wave: int) -> Tensor:
    """Two channels over two frames, of one wave along each axis."""
    axes = [torch.cos(wave * math.pi * torch.tensor(layout.points(axis))) for axis in range(layout.dims)]
    field = axes[0] if layout.dims == 1 else axes[0][:, None] + axes[1]
    return torch.stack([field, 2 - 3 * field]).expand(1, 2, 2, *layout.grid).float().contiguous()


@pytest.mark.parametrize("grid", [(48,), (24, 20)])
@pytest.mark.parametrize(("boundary", "wave"), [("periodic", 2), ("neumann", 1)])
def test_smooth_fields_are_interpolated_across_gaps_and_ends(
    grid: tuple[int, ...], boundary: Boundary, wave: int
) -> None:
    layout = boxed(grid, boundary)
    states = smooth(layout, wave)
    mask = torch.rand(states.shape, generator=torch.Generator().manual_seed(0)) < 0.8
    mask[..., [0, -1]] = False
    filled = fill_holes(torch.where(mask, states, torch.nan), mask, layout, 0.25)
    assert torch.equal(filled[mask], states[mask])
    deviation = states.flatten(3).std(dim=3).view(1, 2, 2, *[1] * len(grid))
    assert ((filled - states) / deviation).abs().max() < 0.06


def test_a_hole_hangs_on_its_own_frame_and_channel_alone() -> None:
    layout = boxed((16,), "neumann")
    states, mask = torch.randn(2, 3, 2, 16), torch.rand(2, 3, 2, 16) < 0.7
    mask[1, 2, 1] = False
    filled = fill_holes(states, mask, layout, 0.2)
    alone = fill_holes(states[:1, 1:2, :1], mask[:1, 1:2, :1], layout, 0.2)
    torch.testing.assert_close(filled[:1, 1:2, :1], alone)
    assert torch.equal(filled[1, 2, 1], states[1, 2, 1]), "nothing is made up where nothing is seen"
    assert shows_all(mask, layout).tolist() == [[True, True, True], [True, True, False]]
    means = fill_holes(states, mask, layout, 0.0)
    seen = mask[0, 0, 0]
    torch.testing.assert_close(means[0, 0, 0, ~seen], states[0, 0, 0, seen].mean().expand(int((~seen).sum())))
