"""The suite of benchmarks/suite: its configurations can be used, and its truths are what they promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import truth
from truth.scratch_assay import FILE
from truth.solved import Truth

from cotwin.experiment.load import load

SUITE = Path(__file__).parents[1] / "benchmarks/suite"
SOLVED = [name for name in truth.MODULES if not name.startswith("scratch_assay")]


@pytest.mark.parametrize("path", sorted(SUITE.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_configuration_can_be_used_and_names_data_that_can_be_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(SUITE.parents[1])
    experiment = load(str(path))
    assert experiment.name == path.stem
    assert Path(experiment.data.path).stem in truth.MODULES
    assert experiment.data.test == getattr(truth.source(Path(experiment.data.path).stem), "test", 3)


@pytest.mark.parametrize("name", SOLVED)
def test_what_tests_is_clean_and_whole_and_comes_last(name: str) -> None:
    made: Truth = truth.source(name)
    few = replace(made, steps=1, pool=1, test=1)
    data, clean = few.trajectories(), replace(few, noise=0.0).trajectories()
    assert data.states.shape == (2, 2, data.layout.channels, *data.layout.grid)
    assert torch.equal(data.states[1], clean.states[1])
    assert torch.equal(data.states[0], clean.states[0]) == (made.noise == 0)
    assert (data.mask is None) == (made.seen is None)
    if data.mask is not None:
        # Few enough that rollouts start from the first state alone.
        assert data.mask[1].all()
        assert data.mask[0, 0].all()
        assert 0 < data.mask[0, 1].float().mean() < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SOLVED if name != "burgers_semi_lagrangian"])
def test_finer_grids_and_steps_move_the_truth_by_a_fifth_of_a_percent_at_most(name: str) -> None:
    made: Truth = truth.source(name)
    assert made.unresolved(count=2) < 2e-3


@pytest.mark.skipif(not FILE.exists(), reason=f"third-party data are not there: {FILE.name}")
def test_the_wells_of_one_initial_number_come_last() -> None:
    held_out = [truth.source(f"scratch_assay_{number}").trajectories().states for number in range(4)]
    assert torch.equal(torch.cat([wells[9:] for wells in held_out[1:]]), held_out[0][:9])
