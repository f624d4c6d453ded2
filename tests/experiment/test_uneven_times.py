"""Times that are uneven, runs with gaps, trajectories that end early: κ = 0.1 of waves that decay, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cotwin.estimation.observation import Instants
from cotwin.experiment import calibrate
from cotwin.experiment.load import validate
from cotwin.experiment.train import prepare

X = (np.arange(24) + 0.5) / 24
NOISE = 0.002
GAPS = np.concatenate([np.arange(12) * 0.04, 0.9 + np.arange(9) * 0.04, 30 + np.arange(4) * 0.04])


def waves(times: Any, amplitude: float, rng: np.random.Generator) -> Any:
    parts = [
        a * np.exp(-0.1 * (j * np.pi) ** 2 * times)[:, None] * np.cos(j * np.pi * X) for j, a in ((1, 1), (2, 0.5))
    ]
    return amplitude * sum(parts) + NOISE * rng.normal(size=(len(times), 24))


def settings(path: Path, times: Any, amplitudes: Any, ends: Any = (), **changes: Any) -> Any:
    rng = np.random.default_rng(0)
    u = np.array([waves(times, amplitude, rng) for amplitude in amplitudes])
    for trajectory, end in ends:
        u[trajectory, end:] = np.nan
    np.savez(path / "rods.npz", x=X, t=times, u=u, boundary="neumann")
    return validate(
        {
            "name": "rods",
            "data": {"kind": "file", "path": str(path / "rods.npz"), **changes.pop("data", {})},
            "physical": {
                "model": "heat",
                "diffusivity": {"initial": 0.05, **changes.pop("diffusivity", {})},
                "substeps": 2,
                "refine": 2,
                "window": 3,
                "warmup_steps": 3,
                "steps": 2,
            },
            "synthetic": {"network": "resnet", "width": 4, "depth": 1, "window": 2, "warmup_steps": 3, "steps": 2},
            "hybrid": {"cycles": 1},
            "estimation": {"resolution": "check", "points": 1, **changes.pop("estimation", {})},
            "store": {"cache_dir": str(path / "cache")},
        }
    )


def near(found: Any) -> None:
    """Within two and a half half widths of 90 %: four standard deviations."""
    own = found.intervals["diffusivity"]
    half = float(own.high.max() - own.low.min()) / 2
    assert float((own.value - 0.1).abs().max()) < 2.5 * half
    assert half < 0.002


def uneven(count: int) -> Any:
    return np.sort(np.random.default_rng(1).uniform(0, 1, count))


def test_estimates_use_all_states_at_their_times(tmp_path: Path) -> None:
    task = calibrate.prepare(settings(tmp_path, uneven(25), (0.6, 1.0, 1.4)))
    assert isinstance(task.measurements.observation, Instants)
    assert task.measurements.observation.size == 2 * 25 * 24
    assert any("estimates and errors on held-out data use all 75" in note for note in task.notes)
    found = calibrate.run(task)
    near(found)
    # Of a measured deviation of about 0.5 the noise is 0.004: all 24 later states are scored.
    assert int(found.after.counts.sum()) == 24 * 24
    assert found.after.nrmse < 0.01
    assert "no estimate by more than 0.0" in " ".join(found.estimation.warnings)


@pytest.mark.slow
def test_steps_that_are_too_long_to_interpolate_are_said(tmp_path: Path) -> None:
    times = np.concatenate([[0], np.sort(np.random.default_rng(3).uniform(0, 4, 29))])

    def found_at(dt: float) -> Any:
        values = settings(tmp_path, times, (30.0, 60.0, 50.0), data={"dt": dt})
        fine = values.physical.model_copy(update={"substeps": round(256 * dt)})
        return calibrate.run(calibrate.prepare(values.model_copy(update={"physical": fine})))

    coarse, fine = found_at(0.25), found_at(0.125)
    (note,) = (one for one in coarse.estimation.warnings if one.code == "time_between")
    assert note.startswith("states are interpolated in time over steps that are too long")
    assert "Set data.dt=0.125." in note
    moved = fine.intervals["diffusivity"].value - coarse.intervals["diffusivity"].value
    foreseen = coarse.numerics["times"].by_name["diffusivity"]
    # Of the fourth power of the step a sixteenth is left.
    assert float(moved) == pytest.approx(15 / 16 * float(foreseen), rel=0.2)


@pytest.mark.parametrize("starts", ["estimated", "exact"])
def test_windows_see_what_lies_in_them(tmp_path: Path, starts: str) -> None:
    times = np.delete(np.arange(31) * 0.04, [4, 11, 12])
    times[7] += 0.01  # frame 8, a quarter of a step late
    values = settings(tmp_path, times, (0.6, 1.0), estimation={"window": 5, "starts": starts})
    seen = calibrate.prepare(values).measurements.observation
    assert isinstance(seen, Instants)
    stride = 6 if starts == "estimated" else 5
    late = (seen.steps - seen.steps.round()).abs() > 0.1
    assert seen.rollout[late].tolist() == [8 // stride]
    assert seen.steps[late].tolist() == pytest.approx([8.25 % stride])


def test_a_run_with_gaps_is_held_out_at_its_end(tmp_path: Path) -> None:
    task = calibrate.prepare(settings(tmp_path, GAPS, (0.6,), data={"held_out_fraction": 0.28}))
    # 18 states train: 12, and the first 6 of the 9; 3 of those and all of the last 4 validate.
    assert task.data.train.mask is not None
    assert task.data.train.mask[:, :, 0, 0].sum(dim=1).tolist() == [12, 6]
    validation = task.data.validation
    assert validation.mask is not None
    assert validation.mask[:, 1:, 0, 0].sum(dim=1).tolist() == [3, 3]  # what a rollout starts from is not scored
    assert validation.given is not None
    assert validation.given.frame.tolist() == [22, 750]
    near(calibrate.run(task))


@pytest.mark.slow
def test_each_trajectory_that_ends_early_is_divided_by_its_own_length(tmp_path: Path) -> None:
    ends = ((1, 18), (2, 10))
    values = settings(tmp_path, np.arange(30) * 0.04, (0.6, 1.0, 1.4), ends, diffusivity={"per": "trajectory"})
    task = calibrate.prepare(values)
    assert task.data.train.mask is not None
    assert task.data.train.mask[:, :, 0, 0].sum(dim=1).tolist() == [24, 14, 8]
    assert task.data.validation.mask is not None
    assert task.data.validation.mask[:, 1:, 0, 0].sum(dim=1).tolist() == [6, 4, 2]
    near(calibrate.run(task))


@pytest.mark.parametrize(
    ("times", "ends", "windows"),
    [
        # Of 12 states, the longest, all but the last two, of 6 all but the last start a window of two steps.
        (GAPS, (), 10 + 5),
        (np.arange(30) * 0.04, ((0, 18),), 17),
    ],
    ids=["gaps", "ends"],
)
def test_training_windows_cross_no_gap_and_no_end(tmp_path: Path, times: Any, ends: Any, windows: int) -> None:
    amplitudes, data = ((0.6,), {"held_out_fraction": 0.28}) if not ends else ((0.6, 1.0), {})
    session = prepare(settings(tmp_path, times, amplitudes, ends, data=data))
    hybrid = session.trainings["together"]
    assert len(hybrid.learners["synthetic"].real) == windows
    assert bool(torch.isfinite(torch.tensor([one.train_loss for one in hybrid.run(1)])).all())


def test_training_takes_the_states_that_meet_a_step_to_a_tolerance(tmp_path: Path) -> None:
    times = np.arange(30) * 0.04 + np.concatenate([[0], 0.002 * np.sin(np.arange(29) ** 2)])
    few = prepare(settings(tmp_path, times, (0.6, 1.0))).data.train
    assert few.mask is not None
    assert int(few.mask[0, :, 0, 0].sum()) < 15
    many = prepare(settings(tmp_path, times, (0.6, 1.0), data={"dt": 0.04, "dt_tolerance": 0.1})).data.train
    assert many.mask is None
    with pytest.raises(ValueError, match=r"no two states lie at successive steps .*data\.dt_tolerance"):
        prepare(settings(tmp_path, uneven(12) ** 2, (0.6, 1.0), data={"dt_tolerance": 0.001}))
