"""Estimates from data that nobody here made, by the scripts that measure the table of docs/estimation.md."""

from __future__ import annotations

import burgers_points
import kdv_snapshots
import pytest
import scratch_assay
import torch
from rows import covers, percent, rms


def needs(module: object) -> pytest.MarkDecorator:
    """Skip where the file is absent."""
    file = vars(module)["FILE"]
    return pytest.mark.skipif(not file.exists(), reason=f"third-party data are not there: {file.name}")


@pytest.mark.slow
@needs(burgers_points)
def test_clean_points_of_burgers_give_both_coefficients() -> None:
    found = burgers_points.identify(seed=0, noise=0.0)
    assert found.converged
    assert abs(percent(found.intervals["steepening"], burgers_points.STEEPENING)) < 0.005
    assert abs(percent(found.intervals["viscosity"], burgers_points.VISCOSITY)) < 0.02


@needs(burgers_points)
@pytest.mark.slow
def test_noisy_points_of_burgers_give_errors_near_the_cramer_rao_bound_and_intervals_that_cover() -> None:
    found = [burgers_points.identify(seed, noise=0.01).intervals for seed in range(20)]
    truths = {"steepening": burgers_points.STEEPENING, "viscosity": burgers_points.VISCOSITY}
    for name, truth in truths.items():
        assert rms([percent(one[name], truth) for one in found]) <= 1.15 * burgers_points.BOUNDS[name]
        # Of twenty intervals at 90 %, 15 or more cover with a probability of 0.99.
        assert sum(covers(one[name], truth) for one in found) >= 15


@pytest.mark.slow
@needs(kdv_snapshots)
def test_two_clean_snapshots_of_korteweg_de_vries_give_both_coefficients() -> None:
    found = kdv_snapshots.identify_clean().intervals
    assert abs(percent(found["steepening"], kdv_snapshots.TRUTH["steepening"])) < 0.05
    assert abs(percent(found["dispersion"], kdv_snapshots.TRUTH["dispersion"])) < 0.008


@pytest.mark.slow
@needs(scratch_assay)
def test_a_scratch_assay_has_a_plausible_diffusivity_and_capacity() -> None:
    layout, density = scratch_assay.densities()
    found = scratch_assay.fit(scratch_assay.fisher_kpp, layout, density.flatten(0, 1))
    diffusivity, capacity = found.intervals["diffusivity.value"], found.intervals["growth.capacity"]
    # Of the order that the literature names, with intervals that say more than that.
    assert 100 < float(diffusivity.low) < float(diffusivity.high) < 5000
    assert 1e-3 < float(capacity.low) < float(capacity.high) < 3e-3
    assert bool(torch.isfinite(found.starts).all())
