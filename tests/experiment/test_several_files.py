"""Trajectories as they come: of several files, each with its length and step, frames missing. The data are exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cotwin.experiment import calibrate
from cotwin.experiment.load import validate
from cotwin.experiment.train import prepare

X = (np.arange(24) + 0.5) / 24


def rods(folder: Path) -> None:
    """κ = 0.1, no flux; 0.1 a state and 0.2, 8 to 21 states, some of them dropped."""
    rng = np.random.default_rng(0)
    for name, times in {
        "a": np.arange(8) * 0.05,
        "b": np.arange(21) * 0.05,
        "c": np.delete(np.arange(15) * 0.05, [3, 4, 9]),
        "d": np.arange(9) * 0.1,
    }.items():
        waves = [
            a * np.exp(-0.1 * (j * np.pi) ** 2 * times)[:, None] * np.cos(j * np.pi * X)
            for j, a in ((1, 1), (2, 0.5))
        ]
        states = rng.uniform(0.5, 1.5) * sum(waves)
        states[1:] += 0.002 * rng.normal(size=states[1:].shape)
        np.savez(folder / f"{name}.npz", x=X, t=times, u=states, boundary="neumann")


def settings(folder: Path, **changes: Any) -> Any:
    return validate(
        {
            "name": "rods",
            "data": {"kind": "file", "path": str(folder / "*.npz"), "validation": 1},
            "physical": {
                "model": "heat",
                "diffusivity": {"initial": 0.05},
                "window": 4,
                "warmup_steps": 3,
                "steps": 2,
            },
            "synthetic": {"network": "resnet", "width": 4, "depth": 1, "window": 2, "warmup_steps": 4, "steps": 3},
            "hybrid": {"cycles": 1},
            "estimation": {"resolution": "off", "points": 1},
            "store": {"cache_dir": str(folder / "cache")},
            **changes,
        }
    )


def test_estimates_use_every_state_that_is_there(tmp_path: Path) -> None:
    rods(tmp_path)
    task = calibrate.prepare(settings(tmp_path))
    assert task.measurements.observation.size == 24 * (8 + 21 + 12)
    found = calibrate.run(task)
    assert abs(float(found.intervals["diffusivity"].value) - 0.1) < 0.001
    assert found.after.nrmse < 0.02


def test_windows_are_of_one_trajectory_and_show_something_after_their_start(tmp_path: Path) -> None:
    rods(tmp_path)
    session = prepare(settings(tmp_path))
    hybrid = session.trainings["together"]
    for learner in hybrid.learners.values():
        batch = learner.real.__getitems__(range(len(learner.real)))
        assert batch.mask is not None
        assert bool(batch.mask[:, 0].all())
        assert bool(batch.mask[:, 1:].flatten(1).any(dim=1).all())
    # Of 8 states all but the last; of 21 all but two; of 12 all but the last and the one before a gap of two.
    assert len(hybrid.learners["synthetic"].real) == 7 + 19 + 10
    assert bool(torch.isfinite(torch.tensor([one.train_loss for one in hybrid.run(1)])).all())
