"""Fields on a coarse grid that may not be able to represent the truth."""

from __future__ import annotations

import math

import pytest
import torch
from estimation_cases import F64, line, noise
from torch import Tensor

from cotwin.estimation import Estimation, Grid, Measurements, estimate
from cotwin.estimation.finer_fields import with_finer_fields
from cotwin.parameters import CoarseField, Known, Parameter, Positive
from cotwin.physics.heat import Heat
from cotwin.stepper import rollout

LAYOUT = line(48, "periodic", dt=0.02)
X = torch.tensor(LAYOUT.points(0), dtype=F64) / (LAYOUT.spacing[0] * 48)
STARTS = torch.stack([(2 * math.pi * (k * X + 0.3 * k)).cos() for k in (1, 2, 3, 5)])[:, None]


def coarse(values: Tensor) -> CoarseField:
    return CoarseField(Positive(values), LAYOUT)


def estimated(truth: Parameter, seed: int) -> Estimation:
    """By a field of four coefficients."""
    with torch.no_grad():
        states = rollout(Heat(LAYOUT, truth, substeps=4).double(), STARTS, 6)
    seen = Grid(LAYOUT, len(STARTS), 6)
    values = seen(states) + 0.02 * noise(seen.size, seed=seed)
    model = Heat(LAYOUT, coarse(torch.full((4,), 0.02, dtype=F64)), substeps=4)
    return estimate(model, STARTS, Measurements(seen, values, 0.02), points=1, horizons=())


@pytest.mark.slow
def test_a_field_that_its_grid_represents_is_left_alone() -> None:
    truth = coarse(torch.tensor([0.01, 0.03, 0.02, 0.015], dtype=F64))
    told = 0
    for seed in range(25):
        found = estimated(truth, seed)
        after = with_finer_fields(found)
        told += after is not found
    # By chance once in 500.
    assert told <= 1


def test_one_that_its_grid_cannot_represent_is_told_and_its_interval_holds_the_truth() -> None:
    truth = 0.02 + 0.008 * (2 * math.pi * 3 * X).cos()
    found = estimated(Known(truth), 0)
    after = with_finer_fields(found)
    assert [note.code for note in after.warnings if note not in found.warnings] == ["field_too_coarse"]

    def covered(one: Estimation) -> float:
        (interval,) = one.intervals.values()
        return float(((truth > interval.low) & (truth < interval.high)).double().mean())

    assert covered(found) < 0.5
    assert covered(after) > 0.85
    (interval,) = after.intervals.values()
    assert torch.equal(interval.value, next(iter(found.intervals.values())).value)


def test_without_a_field_nothing_is_looked_at() -> None:
    states = rollout(Heat(LAYOUT, Known(torch.tensor(0.02, dtype=F64)), substeps=4).double(), STARTS, 3)
    seen = Grid(LAYOUT, len(STARTS), 3)
    model = Heat(LAYOUT, Positive(torch.tensor(0.03, dtype=F64)), substeps=4)
    found = estimate(model, STARTS, Measurements(seen, seen(states), 0.1), points=1)
    assert with_finer_fields(found) is found
