"""`cotwin estimate`, as a person uses it: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import arviz
import numpy as np
import pytest
from test_command import cotwin, refusal

from cotwin.experiment.calibrate import prepare
from cotwin.experiment.load import load
from cotwin.run import Run

# Data of the model itself, so that the intervals may be held to the truth.
WHOLE = ["name=quick", "data.grid=[24]", "data.num_steps=10", "data.refine=1", "data.test=2"]
QUICK = [*WHOLE, "estimation.points=1"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_writes_estimates_with_intervals_that_hold_the_truth(folder: Path) -> None:
    result = cotwin("estimate", "fisher", *WHOLE, "estimation.level=0.999", "estimation.profile=true")
    assert result.exit_code == 0, result.output
    for words in ("diffusivity", "99.9% interval", "by profile", "Noise", "Condition number", "test data"):
        assert words in result.output
    assert "of 8 points followed\n" in result.output
    assert "all of the time fitted, search 1\n" in result.output
    run = folder / "runs/quick-estimate"
    for name in ("config.yaml", "fit.png", "physical.safetensors"):
        assert (run / name).stat().st_size > 0
    written = json.loads((run / "estimation.json").read_text())
    assert written["converged"]
    assert written["reliable"] == (written["reasons"] == [])
    assert len(written["warning_codes"]) == len(written["warnings"])
    assert set(written["reasons"]) <= {*written["warning_codes"], "worse_than_start"}
    assert {one["name"] for one in written["estimates"]} == {"diffusivity", "growth", "capacity"}
    for one in written["estimates"]:
        for low, high in (one["interval"], one["profile_interval"]):
            assert low < one["value"] < high
            assert low < one["truth"] < high
    assert written["validation_nrmse"] < written["validation_nrmse_at_start"]
    assert "--overwrite" in refusal("estimate", "fisher", *QUICK)


def test_a_prior_moves_the_estimate_and_narrows_its_interval() -> None:
    """One far from the truth, and so sure of itself that data count for nothing."""
    prior = "priors={diffusivity: {kind: log_normal, median: 0.11, factor: 1.0001}}"
    result = cotwin("estimate", "fisher", *QUICK, prior, "physical.diffusivity.initial=0.11")
    assert result.exit_code == 0, result.output
    written = json.loads(Path("runs/quick-estimate/estimation.json").read_text())
    diffusivity = next(one for one in written["estimates"] if one["name"] == "diffusivity")
    assert diffusivity["value"] == pytest.approx(0.11, rel=1e-3)
    assert diffusivity["standard_deviation"] == pytest.approx(0.11e-4, rel=0.05)


def test_a_discrepancy_stands_beside_the_noise() -> None:
    settings = ["estimation.discrepancy.deviation=0.05", "estimation.starts=exact", "estimation.resolution=off"]
    result = cotwin("estimate", "fisher", *QUICK, *settings)
    assert result.exit_code == 0, result.output
    assert "Discrepancy" in result.output
    written = json.loads(Path("runs/quick-estimate/estimation.json").read_text())["discrepancy"]
    assert written["prior_deviation"] == {"density": 0.05}
    assert 0 <= written["deviation"]["density"] < 0.5
    assert 0 <= written["explained"] < 1
    assert "Estimate without the discrepancy" in refusal("next", "runs/quick-estimate")


def test_windows_that_start_within_gaps_are_estimated_over_them(folder: Path) -> None:
    """A file of one trajectory of heat, a fifth of which was not seen but for its first frame."""
    x, t = (np.arange(24) + 0.5) / 2.4, np.arange(40) * 0.1
    rng = np.random.default_rng(0)
    waves = sum(np.exp(-0.3 * (k * np.pi / 10) ** 2 * t)[:, None] * np.cos(k * np.pi * x / 10) for k in (1, 3, 4))
    values = waves + 0.01 * rng.standard_normal((40, 24))
    values[1:][rng.random((39, 24)) < 0.2] = np.nan
    np.savez(folder / "gaps.npz", temperature=values[None].astype(np.float32), x=x, t=t)
    (folder / "gaps.yaml").write_text(
        """
        defaults: [heat]
        name: gaps
        data: {kind: file, path: gaps.npz, boundary: neumann, extent: [[0.0, 10.0]], missing: mask}
        physical: {diffusivity: {initial: 0.1, grid: null}}
        estimation: {window: 7, starts: estimated, points: 1}
        """
    )
    result = cotwin("estimate", "gaps.yaml")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(Path("runs/gaps-estimate/estimation.json").read_text())["estimates"]
    assert found["value"] == pytest.approx(0.3, abs=4 * found["standard_deviation"])
    assert found["standard_deviation"] < 0.03
    exact = prepare(load("gaps.yaml", ["estimation.starts=exact"]))
    assert "% of the training values are missing. They are interpolated in space" in " ".join(exact.notes)
    values[14] = np.nan
    np.savez(folder / "gaps.npz", temperature=values[None].astype(np.float32), x=x, t=t)
    assert "estimation.starts=estimated" in refusal("estimate", "gaps.yaml", "estimation.starts=exact", "name=exact")


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        (["estimation.window=99"], "use at most 10, or full"),
        (["estimation.noise=0"], "greater than 0"),
        (["estimation.points=0"], "greater than or equal to 1"),
        (["priors={nu: {kind: gaussian, mean: 1, deviation: 1}}"], "unknowns are diffusivity"),
        (
            ["priors={growth: {kind: gaussian, mean: 5, deviation: 0.1}}"],
            "start nearer to it, or widen the prior",
        ),
        (
            ["priors={growth: {kind: gaussian, mean: 5, width: 0.1}}"],
            "priors.growth.width: there is no such",
        ),
        (["estimation.bootstrap=10", "estimation.block=99"], "give a length of time"),
        (["estimation.posterior=50"], "of 100 draws or more"),
        (["estimation.chains=1"], "greater than or equal to 2"),
    ],
)
def test_mistakes_are_told_with_the_cure(changes: list[str], cure: str) -> None:
    assert cure in refusal("estimate", "fisher", *QUICK, *changes)


@pytest.mark.slow
def test_a_check_is_written_beside_the_estimate_and_leaves_it_as_it_is(folder: Path) -> None:
    exact = [*QUICK, "estimation.starts=exact", "data.noise=0.001"]
    plain = cotwin("estimate", "fisher", *exact, "--run-dir", "plain")
    checked = cotwin("estimate", "fisher", *exact, "--check", "20", "--run-dir", "checked")
    assert plain.exit_code == checked.exit_code == 0, checked.output
    for name in ("estimation.json", "physical.safetensors", "models.json", "config.yaml"):
        assert (folder / "plain" / name).read_bytes() == (folder / "checked" / name).read_bytes()
    written = json.loads((folder / "checked/check.json").read_text())
    assert written["draws"] == 20
    assert [one["name"] for one in written["unknowns"]] == ["diffusivity", "growth", "capacity"]
    assert (folder / "checked/check.png").read_bytes().startswith(b"\x89PNG")
    flat = " ".join(checked.output.split())
    for words in ("forecast to take", "estimates, each begun at its truth", written["verdict"]):
        assert words in flat
    Run.create(folder / "checked", "", overwrite=True).close()
    assert not {"check.json", "check.png"} & {one.name for one in (folder / "checked").iterdir()}


def test_a_check_that_would_take_too_long_is_left_out_and_says_how_many_fit(folder: Path) -> None:
    exact = [*QUICK, "estimation.starts=exact", "estimation.resolution=off"]
    result = cotwin("estimate", "fisher", *exact, "--check", "200", "--check-minutes", "0.0001")
    assert result.exit_code == 0, result.output
    assert "would take" in result.output
    assert "--check-minutes" in result.output
    assert (folder / "runs/quick-estimate/estimation.json").exists()
    assert not (folder / "runs/quick-estimate/check.json").exists()


def test_a_check_of_too_few_is_refused_before_anything_runs(folder: Path) -> None:
    assert "take 20 or more" in refusal("estimate", "fisher", *QUICK, "--check", "5")
    assert not (folder / "runs").exists()


def test_a_bootstrap_that_finds_nothing_leaves_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: object, **options: object) -> None:
        raise ValueError("only 1 of 10 resamplings led to an estimate")

    monkeypatch.setattr("cotwin.estimation.calibration.bootstrap", fails)
    result = cotwin("estimate", "fisher", *QUICK, "estimation.bootstrap=10", "estimation.resolution=off")
    assert result.exit_code == 0, result.output
    assert "no intervals by bootstrap: only 1 of 10 resamplings" in result.output


@pytest.mark.slow
def test_a_posterior_is_asked_for_and_written(folder: Path) -> None:
    result = cotwin("estimate", "fisher", *QUICK, "estimation.posterior=300")
    assert result.exit_code == 0, result.output
    for words in ("by posterior", "Posterior: 4 chains of 300 draws", "R-hat", "Pareto's k"):
        assert words in " ".join(result.output.split())
    run = folder / "runs/quick-estimate"
    written = json.loads((run / "estimation.json").read_text())
    assert written["posterior"]["mixed"]
    for one in written["estimates"]:
        low, high = one["posterior_interval"]
        assert low < one["value"] < high
        assert one["mixing"]["r_hat"] < 1.01
        # The problem is nearly linear: both say the same.
        assert high - low == pytest.approx(one["interval"][1] - one["interval"][0], rel=0.2)
    data = arviz.from_netcdf(run / "posterior.nc")
    assert set(data.posterior) == {"diffusivity", "growth", "capacity", "noise"}
    assert (run / "posterior.png").stat().st_size > 0
    assert cotwin("estimate", "fisher", *QUICK, "--overwrite").exit_code == 0
    assert not (run / "posterior.nc").exists()
    assert not (run / "posterior.png").exists()


@pytest.mark.slow
def test_chains_that_do_not_mix_have_no_intervals_and_leave_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotwin.estimation.posterior.posterior.LARGEST_R_HAT", 0.5)
    result = cotwin("estimate", "fisher", *QUICK, "estimation.starts=exact", "estimation.posterior=100")
    assert result.exit_code == 0, result.output
    assert "by posterior" not in result.output.split("Note:")[0]
    written = json.loads(Path("runs/quick-estimate/estimation.json").read_text())
    assert "chains_not_mixed" in written["warning_codes"]
    assert not any("posterior_interval" in one for one in written["estimates"])


def test_says_what_to_measure_next(folder: Path) -> None:
    """From the run alone: the intervals are the run's own, and the map and the numbers lie beside it."""
    settings = [*QUICK, "estimation.resolution=off", "estimation.starts=estimated"]
    assert cotwin("estimate", "fisher", *settings).exit_code == 0
    run = folder / "runs/quick-estimate"
    result = cotwin("next", str(run))
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Measure next")
    assert (run / "next.png").read_bytes().startswith(b"\x89PNG")
    written, estimated = (json.loads((run / name).read_text()) for name in ("next.json", "estimation.json"))
    for one, own in zip(written["unknowns"], estimated["estimates"], strict=True):
        assert (one["name"], one["value"]) == (own["name"], pytest.approx(own["value"], rel=1e-9))
        if not own.get("independent_interval"):
            assert one["interval"] == pytest.approx(own["interval"], rel=1e-6)
        else:
            assert one["interval"] == pytest.approx(own["independent_interval"], rel=1e-6)
    assert {one["kind"] for one in written["candidates"]} == {"sensor", "sensors", "longer", "denser", "experiment"}
    assert all(factor >= 1 for one in written["candidates"] for factor in one["narrower_by"].values())


@pytest.mark.slow
def test_what_to_measure_next_needs_an_estimate_and_its_data(folder: Path) -> None:
    def record(seed: int) -> None:
        x, t = (np.arange(24) + 0.5) / 2.4, np.arange(40) * 0.1
        waves = np.exp(-0.3 * (3 * np.pi / 10) ** 2 * t)[:, None] * np.cos(3 * np.pi * x / 10)
        noisy = waves + 0.01 * np.random.default_rng(seed).standard_normal((40, 24))
        np.savez(folder / "data.npz", temperature=noisy[None], x=x, t=t)

    (folder / "own.yaml").write_text(
        """
        defaults: [heat]
        name: own
        data: {kind: file, path: data.npz, boundary: neumann, extent: [[0.0, 10.0]]}
        physical: {diffusivity: {initial: 0.1, grid: null}}
        estimation: {window: 7, starts: exact, points: 1, resolution: "off"}
        """
    )
    record(0)
    assert cotwin("estimate", "own.yaml").exit_code == 0
    run = folder / "runs/own-estimate"
    assert cotwin("next", str(run)).exit_code == 0
    written = json.loads((run / "next.json").read_text())
    # All windows are one experiment, which as a whole is done again.
    (again,) = (one for one in written["candidates"] if one["kind"] == "experiment")
    assert again["narrower_by"]["diffusivity"] == pytest.approx(2**0.5, rel=1e-6)
    record(1)
    assert "data.npz is not what the run was begun with" in refusal("next", str(run))
    (run / "estimate.safetensors").write_bytes(b"nothing")
    assert "estimate.safetensors cannot be read" in refusal("next", str(run))
    (run / "estimate.safetensors").unlink()
    assert "Estimate again" in refusal("next", str(run))
    assert "there is no run" in refusal("next", "nowhere")
