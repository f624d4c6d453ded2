"""What is refused, and what is said, before an estimation runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from test_command import cotwin, refusal

from cotwin.experiment.calibrate import prepare, run
from cotwin.experiment.load import load

QUICK = ["name=quick", "data.grid=[24]", "data.num_steps=10", "data.refine=1", "data.test=2"]


def notes(preset: str, *overrides: str) -> str:
    return " ".join(prepare(load(preset, list(overrides))).notes)


def test_a_prior_that_excludes_the_start_leaves_the_run_before_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = [*QUICK, "estimation.points=1", "estimation.resolution=off"]
    assert cotwin("estimate", "fisher", *quick).exit_code == 0
    prior = "priors={growth: {kind: gaussian, mean: 10.0, deviation: 0.1}}"
    said = refusal("estimate", "fisher", *QUICK, prior, "--overwrite")
    assert "growth starts at 0.4" in said
    assert (tmp_path / "runs/quick-estimate/estimation.json").stat().st_size > 0


def test_frames_that_no_window_reaches_are_mentioned() -> None:
    assert "not used" not in notes("fisher", *QUICK)
    # 11 frames: two windows of 5 leave one; from exact starts windows share frames, and two of 5 steps leave none.
    assert "The last 1 of 11 frames" in notes("fisher", *QUICK, "estimation.window=4")
    assert "not used" not in notes("fisher", *QUICK, "estimation.window=5", "estimation.starts=exact")
    assert "The last 2 of 11 frames" in notes("fisher", *QUICK, "estimation.window=4", "estimation.starts=exact")


def test_profiles_of_a_field_are_said_not_to_be() -> None:
    small = ["data.points=32", "data.refine=2", "data.num_steps=10", "data.test=3", "estimation.profile=true"]
    assert "There are no profiles" in notes("burgers", *small)
    assert "There are no profiles" not in notes("fisher", *QUICK, "estimation.profile=true")


@pytest.mark.parametrize("settings", [["block=1.0"], ["starts=exact", "start_length=0.1"]])
def test_settings_without_effect_are_refused(settings: list[str]) -> None:
    with pytest.raises(ValueError, match="leave it out"):
        load("fisher", [f"estimation.{one}" for one in settings])


@pytest.mark.slow
def test_sixteen_sensors_are_enough_on_a_finer_grid(tmp_path: Path) -> None:
    """Exact heat between walls with one percent of noise: κ = 0.1. On 16 cells the scheme's own error is 3 %."""
    x, times = (np.arange(16) + 0.5) / 16, np.arange(31) * 0.01
    random = np.random.default_rng(0)
    modes = np.arange(6)[:, None] * np.pi
    decayed = np.exp(-0.1 * modes**2 * times)
    states = np.einsum("nj,jt,jx->ntx", random.normal(size=(4, 6)), decayed, np.cos(modes * x))
    states += 0.01 * random.normal(size=states.shape)
    np.savez(tmp_path / "mine.npz", x=x, t=times, u=states, boundary="neumann")
    own = [
        f"data={{kind: file, path: {tmp_path / 'mine.npz'}}}",
        "physical.diffusivity={initial: 0.05, bounds: null}",
    ]
    own += ["physical.diffusivity.grid=null", f"store.cache_dir={tmp_path / 'cache'}"]

    def interval(refine: int) -> tuple[float, float]:
        settings = [*own, f"physical.refine={refine}", "estimation.resolution=off"]
        found = run(prepare(load("heat", settings))).intervals["diffusivity"]
        return float(found.low), float(found.high)

    assert interval(1)[0] > 0.102
    low, high = interval(4)
    assert low < 0.1 < high < 0.1005


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            [f"physical.{name}.fixed=true" for name in ("diffusivity", "growth", "capacity")],
            "no parameter is unknown",
        ),
        (["estimation.window=11"], "11 steps need 12 frames, the training trajectories have 11; use at most 10"),
        (["estimation.noise=[1, 2]"], "2 levels for 1 channels"),
        (["estimation.noise=1e-320"], "below the rounding of the values"),
        (["estimation.bootstrap=9", "estimation.block=1e-300"], "less than the time between measurements, 0.2"),
        (["estimation.bootstrap=9", "estimation.block=1e9"], "up to that of the measurements"),
        (["estimation.points=100000000"], "estimation.points"),
        (["estimation.discrepancy.deviation=-1"], "estimation.discrepancy.deviation: Input should be greater than 0"),
        (["estimation.discrepancy.deviation=[1, 2]"], "2 deviations for 1 channels"),
        (["estimation.discrepancy=auto", "estimation.bootstrap=9"], "a bootstrap knows of no discrepancy"),
        (["estimation.discrepancy=auto", "estimation.search=ensemble_kalman"], "takes errors as independent"),
        (["estimation.bootstrap=1000000000"], "estimation.bootstrap"),
        (["estimation.level=0.9999999999"], "estimation.level"),
        (
            ["priors={nothing: {kind: gaussian, mean: 1, deviation: 1}}"],
            "unknowns are diffusivity, growth",
        ),
        (["priors={growth: {kind: smooth, change: 1, length: 1}}"], "give a single number a Gaussian"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_settings_that_make_no_sense_against_the_data_are_refused(settings: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        prepare(load("fisher", [*QUICK, *settings]))


def test_a_simulator_without_unknowns_has_nothing_to_estimate(tmp_path: Path) -> None:
    x = (np.arange(16) + 0.5) / 16
    np.savez(tmp_path / "u.npz", x=x, t=0.1 * np.arange(6), u=np.random.default_rng(0).random((4, 6, 16)))
    file = f"data={{kind: file, path: {tmp_path / 'u.npz'}, boundary: neumann, validation: 1, test: 0}}"
    settings = ["physical.diffusivity={initial: 0.1, bounds: null, grid: null, fixed: true}"]
    with pytest.raises(ValueError, match="no unknown, all parameters are fixed; set fixed: false"):
        prepare(load("heat", [file, *settings]))


@pytest.mark.slow
def test_a_velocity_field_is_found(tmp_path: Path) -> None:
    """∂u/∂t + ∂(a u)/∂x = 0.02 ∂²u/∂x² with a = 1 + sin(x)/2; before, a grid of a component was not read."""
    points, steps, interval = 32, 12, 0.1
    x, random = np.arange(points) * 2 * np.pi / points, np.random.default_rng(0)
    velocity, k = 1 + 0.5 * np.sin(x), np.fft.rfftfreq(points, 1 / points)

    def slope(values: np.ndarray) -> np.ndarray:
        return np.fft.irfft(1j * k * np.fft.rfft(values), points)

    matrix = np.stack([slope(0.02 * slope(column) - velocity * column) for column in np.eye(points)], axis=1)
    step = scipy.linalg.expm(interval * matrix)
    waves = [np.sin(j * x + random.uniform(0, 6, (4, 1))) * random.normal(size=(4, 1)) for j in (1, 2, 3)]
    states = [2 + sum(waves)]
    for _ in range(steps):
        states.append(states[-1] @ step.T)
    u = np.stack(states, axis=1) + 0.01 * random.normal(size=(4, steps + 1, points))
    np.savez(tmp_path / "mine.npz", x=x, t=np.arange(steps + 1) * interval, u=u, boundary="periodic")
    (tmp_path / "mine.yaml").write_text(
        "data: {kind: file, path: mine.npz}\n"
        "physical:\n  model: advection_diffusion\n  refine: 3\n"
        "  velocity: [{initial: 0.5, bounds: [-3, 3], grid: [6]}]\n  diffusivity: {initial: 0.05}\n"
    )
    own = [f"data.path={tmp_path / 'mine.npz'}", f"store.cache_dir={tmp_path / 'cache'}"]
    found = run(prepare(load(str(tmp_path / "mine.yaml"), own))).intervals
    assert np.abs(found["velocity"].value.numpy()[0] - velocity).max() < 0.03
    assert float(found["diffusivity"].value) == pytest.approx(0.02, abs=0.001)
