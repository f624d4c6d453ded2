"""What `cotwin estimate` says where the error of grid or time step matters beside the interval."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_command import cotwin

from cotwin.estimation import resolution
from cotwin.estimation.calibration import Calibration
from cotwin.estimation.resolution import Shift
from cotwin.experiment import resolution as resolution_of_experiment
from cotwin.experiment.calibrate import Task, prepare, run
from cotwin.experiment.load import load
from cotwin.experiment.resolution import Solving
from cotwin.experiment.trained import load_run
from cotwin.layout import Field, Layout
from cotwin.parameters import Positive
from cotwin.physics.heat import Heat
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.rollouts import Refined
from cotwin.stepper import rollout

TRUE = 0.1
KINDS: tuple[resolution.Kind, ...] = ("grid", "steps")


@pytest.fixture
def sparse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Heat as it is, seen at 16 points, with noise."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, t, waves = (np.arange(16) + 0.5) / 16, np.arange(12)[:, None, None] * 0.02, np.arange(6) * np.pi
    modes = np.cos(waves * x[:, None]) * np.exp(-TRUE * waves**2 * t)
    u = rng.normal(size=(3, 1, 1, 6)) * modes
    np.savez("sparse.npz", x=x, t=t.ravel(), u=u.sum(-1) + 0.01 * rng.normal(size=(3, 12, 16)), boundary="neumann")
    Path("sparse.yaml").write_text(
        "defaults: [heat]\n"
        "data: {kind: file, path: sparse.npz, validation: 1, test: 0}\n"
        "physical: {diffusivity: {initial: 0.08, bounds: null, grid: null}}\n"
    )
    return "sparse.yaml"


def estimated(config: str, *changes: str, resolution: str = "check") -> Calibration:
    """From one point: these problems have one minimum."""
    return run(prepare(load(config, ["estimation.points=1", *changes, f"estimation.resolution={resolution}"])))


@pytest.fixture
def rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Burgers with a viscosity of 0.05, solved finely, seen at 64 points every 0.2, with noise."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    fine = Layout.box([Field("u")], grid=(256,), extent=[(0.0, 2 * np.pi)], boundary="periodic", dt=0.2)
    x, waves = np.array(fine.points(0)), np.arange(1, 4)[:, None]
    phases, sizes = rng.uniform(0, 2 * np.pi, size=(3, 3, 1)), rng.normal(size=(3, 3, 1)) / waves
    starts = torch.tensor((sizes * np.cos(waves * x + phases)).sum(1))[:, None]
    with torch.no_grad():
        u = rollout(SpectralBurgers(fine, Positive(0.05), substeps=200).double(), starts, 15)[:, :, 0, ::4].numpy()
    u = u + 0.01 * u.std() * rng.normal(size=u.shape)
    np.savez("burgers.npz", x=x[::4], t=0.2 * np.arange(16), u=u, boundary="periodic")
    Path("rare.yaml").write_text(
        "defaults: [burgers]\n"
        "data: {kind: file, path: burgers.npz, validation: 1, test: 0}\n"
        "physical: {viscosity: {initial: 0.1, bounds: null, grid: null}}\n"
    )
    return "rare.yaml"


def solving(task: Task, found: Calibration) -> Solving:
    return Solving(task.experiment.physical, task.data, task.experiment.data, found.estimation)


def seen(found: Calibration, kind: resolution.Kind) -> Shift:
    one = found.numerics[kind]
    assert isinstance(one, Shift)
    return one


def about_the_grid(found: Calibration) -> list[str]:
    return [one for one in found.estimation.warnings if "grid" in one]


def about_the_steps(found: Calibration) -> list[str]:
    return [one for one in found.estimation.warnings if "time steps" in one]


def test_a_value_that_the_grid_falsifies_is_told_with_what_a_finer_one_gives(sparse: str) -> None:
    found, finer = estimated(sparse), estimated(sparse, "physical.refine=8")
    (words,) = about_the_grid(found)
    match = re.search(r"without that error diffusivity would come out at about (\S+) \(here (\S+) ± ", words)
    assert match is not None
    assert words.endswith("Set physical.refine=8.")
    told, here = map(float, match.groups())
    assert here - TRUE > 0.002
    assert told == pytest.approx(TRUE, abs=3 * float(found.intervals["diffusivity"].deviation))
    # One step from the coarse grid's estimate comes to where the finest grid's own is.
    assert told == pytest.approx(float(finer.intervals["diffusivity"].value), abs=1e-4)
    written = found.as_json()
    assert words in written["warnings"]
    grid = written["numerics"]["grid"]
    assert here + grid["shift"]["diffusivity"] == pytest.approx(told, abs=1e-4)
    # The scheme is of second order in space.
    assert grid["order_seen"]
    assert grid["order"] == pytest.approx(2, abs=0.1)
    assert seen(finer, "grid").largest < 0.25


def test_an_estimate_that_the_numerics_falsify_is_repeated_more_finely(sparse: str) -> None:
    result = cotwin("estimate", sparse, "estimation.points=1")
    assert result.exit_code == 0, result.output
    for words in ("Estimated again with physical.refine=4 physical.substeps=2", "moved by the error of the numerics"):
        assert words in " ".join(result.output.split())
    assert "too coarse" not in result.output
    run = load_run("runs/heat-estimate")
    (one,) = run.result["estimates"]
    low, high = one["interval"]
    assert low < TRUE < high
    assert one["value"] == pytest.approx(TRUE, abs=3 * one["standard_deviation"])
    assert one["in_simulator"] == pytest.approx(float(run.physical.inner.diffusivity()), rel=1e-6)
    assert run.result["repeated_with"] == {"refine": 4, "substeps": 2}
    # What is kept of the model is the finer one.
    assert run.physical.solver_layout.grid == (64,)


def test_an_estimate_is_moved_by_a_shift_that_is_smaller(sparse: str) -> None:
    told, moved = (estimated(sparse, "physical.refine=4", resolution=kind) for kind in ("check", "auto"))
    assert moved.changes == {}
    assert 0.1 < seen(moved, "grid").largest < 1
    before, after = told.intervals["diffusivity"], moved.intervals["diffusivity"]
    shift, size = (
        moved.shift("diffusivity"),
        sum(float(seen(moved, kind).by_name["diffusivity"].abs()) for kind in KINDS),
    )
    assert float(shift) < 0
    assert float(after.value) == pytest.approx(float(before.value + shift), abs=0.01 * float(-shift))
    # As wide as it was, and by half of what each error moves it.
    assert float(after.low) == pytest.approx(float(before.low + shift) - size / 2, abs=0.03 * size)
    assert float(after.high) == pytest.approx(float(before.high + shift) + size / 2, abs=0.03 * size)
    # The simulator keeps what fits on its own grid.
    written = moved.as_json()["estimates"][0]
    assert written["value"] == float(after.value)
    assert written["in_simulator"] == pytest.approx(float(before.value), rel=1e-6)


def test_beside_an_error_that_is_large_nothing_is_moved(sparse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolution_of_experiment, "REPETITIONS", 0)
    told, found = (estimated(sparse, "physical.substeps=4", resolution=kind) for kind in ("check", "auto"))
    assert seen(found, "grid").largest > 1 > seen(found, "steps").largest
    assert not found.moved
    assert torch.equal(found.intervals["diffusivity"].high, told.intervals["diffusivity"].high)
    assert "grid" in found.reasons


def test_what_would_cost_too_much_is_told_and_not_repeated(sparse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolution_of_experiment, "MOST_COST", 1.0)
    found = estimated(sparse, resolution="auto")
    (words,) = about_the_grid(found)
    assert words.endswith("Set physical.refine=8.")
    assert found.changes == {}
    assert not seen(found, "grid").within


def test_where_it_is_off_no_other_model_is_rolled_out(sparse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Solving, "finer")
    found = estimated(sparse, resolution="off")
    assert found.estimation.warnings == []
    assert found.shift("diffusivity") is None
    off = {"not_checked": "estimation.resolution is off."}
    assert found.as_json()["numerics"] == {"grid": off, "steps": off}


@pytest.mark.slow
def test_substeps_that_a_finer_grid_needs_are_taken_though_fewer_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standing waves with the speed 0.8, exactly: two substeps are stable on the grid of the data, not on a finer."""
    monkeypatch.chdir(tmp_path)
    x, t, rng = np.arange(32) / 32, np.arange(11)[:, None] * 0.05, np.random.default_rng(0)
    k = 2 * np.pi * np.arange(1, 4)[:, None, None]
    sizes = rng.normal(size=(3, 3, 1, 1))
    u = (sizes * np.cos(k * x) * np.cos(0.8 * k * t)).sum(axis=1) + 0.01 * rng.normal(size=(3, 11, 32))
    v = (-sizes * 0.8 * k * np.cos(k * x) * np.sin(0.8 * k * t)).sum(axis=1) + 0.1 * rng.normal(size=(3, 11, 32))
    np.savez("waves.npz", x=x, t=t.ravel(), u=u, v=v, boundary="periodic")
    Path("waves.yaml").write_text(
        "data: {kind: file, path: waves.npz}\nphysical: {model: wave, speed: {initial: 0.75}, substeps: 2}\n"
    )
    assert seen(estimated("waves.yaml"), "grid").seen


@pytest.mark.slow
def test_data_of_another_interval_have_substeps_of_their_own(rare: str) -> None:
    """The preset has four, for its own data; these need more, and begin with as many."""
    assert load("burgers").physical.model_dump()["substeps"] == 4
    assert load(rare).physical.model_dump()["substeps"] is None
    assert load(rare, ["physical.substeps=9"]).physical.model_dump()["substeps"] == 9
    begun = prepare(load(rare)).stepper
    assert isinstance(begun, SpectralBurgers)
    assert begun.substeps > 4
    found = estimated(rare, resolution="auto")
    interval = found.intervals["viscosity"]
    assert found.changes["refine"] > 1
    assert float(interval.low) < 0.05 < float(interval.high)
    assert float(interval.high - interval.low) < 0.002
    assert found.after.nrmse < found.before.nrmse
    assert [one for kind in ("grid", "steps") if (one := seen(found, kind)).largest > 1] == []


def test_the_shift_of_a_field_is_told_point_by_point(sparse: str) -> None:
    found = estimated(sparse, "physical.diffusivity.grid=[2]")
    assert found.shift("diffusivity").shape == (16,)
    assert seen(found, "grid").by_name["diffusivity"].shape == (16,)
    assert bool((found.shift("diffusivity") < 0).all())


def test_a_grid_that_is_fine_enough_is_not_spoken_of(sparse: str) -> None:
    found = estimated(sparse, "physical.refine=4")
    (one,) = found.intervals.values()
    assert float(one.value) == pytest.approx(TRUE, abs=3 * float(one.deviation))
    assert about_the_grid(found) == []


def test_steps_that_are_too_long_are_told_with_what_shorter_ones_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mode that decays by a third in an interval, on a grid that makes one step of RKL2 stiff."""
    monkeypatch.chdir(tmp_path)
    x, t = (np.arange(16) + 0.5) / 16, np.arange(6)[:, None] * 0.1
    u = np.cos(2 * np.pi * x) * np.exp(-TRUE * (2 * np.pi) ** 2 * t)
    u = u + 1e-3 * np.random.default_rng(0).normal(size=(2, 6, 16))
    np.savez("rare.npz", x=x, t=t.ravel(), u=u, boundary="neumann")
    Path("rare.yaml").write_text(
        "data: {kind: file, path: rare.npz, validation: 1, test: 0}\n"
        "physical: {model: heat, refine: 4, diffusivity: {initial: 0.08}}\n"
    )
    found, finer = estimated("rare.yaml"), estimated("rare.yaml", "physical.substeps=6")
    (words,) = about_the_steps(found)
    match = re.search(r"without that error diffusivity would come out at about (\S+) \(here (\S+) ± ", words)
    assert match is not None
    assert words.endswith("Set physical.substeps=8.")
    assert seen(found, "steps").order == pytest.approx(2, abs=0.2)
    told, here = map(float, match.groups())
    assert abs(told - TRUE) < abs(here - TRUE) / 2
    (one,) = finer.intervals.values()
    assert float(one.value) == pytest.approx(TRUE, abs=3 * float(one.deviation))
    assert about_the_steps(finer) == []


def test_a_staggered_model_is_held_against_a_grid_three_times_as_fine() -> None:
    """An even factor has no cells of a staggered grid along periodic axes."""
    quick = ["data.grid=[8, 8]", "data.num_steps=3", "data.train=1", "data.test=1", "data.noise=0"]
    quick += ["estimation.noise=1e-3", "estimation.starts=exact"]
    found = estimated("incompressible_flow", *quick)
    (words,) = about_the_grid(found)
    match = re.search(r"without that error viscosity would come out at about (\S+) \(here (\S+) ± ", words)
    assert match is not None
    assert not seen(found, "grid").seen
    assert words.endswith("Set physical.refine=3.")
    told, here = map(float, match.groups())
    # The data are from that grid, so there the estimate is the truth.
    assert abs(told - 0.02) < abs(here - 0.02) / 4


@pytest.mark.parametrize(("refine", "matters"), [(1, False), (2, True)])
def test_data_of_the_same_grid_have_its_error_too(refine: int, matters: bool) -> None:
    quick = ["data.grid=[12]", "data.num_steps=10", "data.test=1", "data.noise=0", "estimation.noise=1e-3"]
    assert bool(about_the_grid(estimated("fisher", *quick, f"data.refine={refine}"))) is matters


def test_a_shift_is_as_far_as_the_grid_of_generated_data() -> None:
    """They have the error of that grid, which an estimate on it would share."""
    quick = ["data.grid=[12]", "data.num_steps=10", "data.test=1", "data.noise=0", "estimation.noise=1e-3"]
    found = estimated("fisher", *quick, "data.refine=2")
    for name, interval in found.intervals.items():
        here, by = float(interval.value), float(found.shift(name))
        assert abs(here + by - float(found.truth[name])) < abs(here - float(found.truth[name])) / 3


def test_a_spectral_model_of_smooth_data_is_fine_enough() -> None:
    quick = ["data.grid=[48]", "data.num_steps=3", "data.train=1", "data.test=1", "estimation.starts=exact"]
    found = estimated("korteweg_de_vries", *quick, "data.refine=2")
    assert about_the_grid(found) == []
    assert seen(found, "grid").largest < 0.1
    # The steps are those of the data. That the finer grid needs more of them is not the grid's error.
    assert found.as_json()["numerics"]["steps"] == {"not_checked": found.numerics["steps"]}


def test_what_a_model_raises_on_a_finer_grid_leaves_the_estimate(
    sparse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object) -> None:
        raise KeyError("no table for 32 points")

    monkeypatch.setattr(Solving, "_on_grid", fails)
    found = estimated(sparse)
    (words,) = about_the_grid(found)
    assert "was not looked at" in words
    assert "no table for 32 points" in words
    assert "no table" in found.as_json()["numerics"]["grid"]["not_checked"]
    assert found.intervals["diffusivity"].value > 0


def test_a_finer_model_that_diverges_or_is_too_large_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ["data.grid=[12]", "data.num_steps=6", "data.test=1"]
    quick += ["estimation.resolution=check", "estimation.points=1"]
    task = prepare(load("fisher", quick))
    found = run(task)
    at, layout = solving(task, found), task.data.layout
    finer = at.finer("grid")
    assert resolution.shift(found.estimation, at.linear, finer).largest > 1
    other = Refined(Heat(layout.refined(2), Positive(0.1)), layout, 2)
    with pytest.raises(ValueError, match="or of other shapes"):
        resolution.shift(
            found.estimation, at.linear, replace(finer, pair=lambda factor: (other, found.estimation.stepper))
        )
    with monkeypatch.context() as changed:
        changed.setattr(resolution, "MOST_BYTES", 1)
        with pytest.raises(resolution.UncheckedError, match="would take"):
            resolution.shift(found.estimation, at.linear, finer)
    monkeypatch.setattr(
        Refined, "rollout", lambda self, state, steps: state[:, None].expand(-1, steps + 1, -1, -1) / 0
    )
    with pytest.raises(resolution.UncheckedError, match="diverges"):
        resolution.shift(found.estimation, at.linear, finer)
