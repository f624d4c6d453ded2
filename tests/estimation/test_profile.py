"""Profiles of a problem that is not linear, against a scan."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from estimation_cases import F64, colony, fisher, line, measured, positive, starts
from torch import Tensor

from cotwin.estimation import Estimation, LeastSquares, Solution, estimate, levenberg_marquardt, profile
from cotwin.parameters import CoarseField, Positive
from cotwin.physics.function import FunctionStepper
from cotwin.physics.heat import Heat


def uncertain() -> Estimation:
    """Of Fisher's equation before the capacity shows, so that its interval is far from symmetric."""
    return replace(_uncertain(), warnings=[])


@functools.cache
def _uncertain() -> Estimation:
    model = fisher()
    states = 0.3 * colony(model.layout)
    return estimate(fisher(), states, measured(model, states, 4, 0.03))


def scanned(estimation: Estimation, place: int, grid: Tensor) -> Tensor:
    """√(2 rise of the cost), minimised over the other numbers, at each value of one raw number."""
    points = estimation.z.repeat(len(grid), 1)
    points[:, place] = grid
    free = torch.ones(len(grid), len(estimation.problem.unknowns), dtype=torch.bool)
    free[:, place] = False
    cost = levenberg_marquardt(estimation.problem, points, free=free).cost
    return (2 * (cost - estimation.cost)).clamp(min=0).sqrt()


@pytest.mark.slow
def test_ends_are_where_a_scan_crosses_the_quantile() -> None:
    found = uncertain()
    ends = profile(found)
    for place, (name, (low, high)) in enumerate(ends.items()):
        deviation = float(found.intervals[name].deviation) / float(found.intervals[name].value)
        for end, sign in ((low, -1), (high, 1)):
            raw = float(end.log())
            around = raw + sign * deviation * torch.tensor([-0.02, 0.02], dtype=F64)
            inside, outside = scanned(found, place, around)
            assert float(inside) < found.quantile < float(outside), (name, sign)
    capacity = found.intervals["growth.capacity"]
    low, high = ends["growth.capacity"]
    assert float(high - capacity.value) > 1.2 * float(capacity.value - low)  # it was worth the trouble


def impatient(iterations: int) -> Callable[..., Solution]:
    def search(problem: LeastSquares, points: Tensor, **others: Any) -> Solution:
        return levenberg_marquardt(problem, points, **(others | {"iterations": iterations}))

    return search


def test_searches_that_have_not_come_to_rest_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cost above the profile's would be taken for the end of the interval, which is then too narrow."""
    found = uncertain()
    expected = profile(found, ["growth.capacity"])["growth.capacity"]
    monkeypatch.setattr(sys.modules["cotwin.estimation.profile"], "levenberg_marquardt", impatient(8))
    low, high = profile(found, ["growth.capacity"])["growth.capacity"]
    assert float(low) == pytest.approx(float(expected[0]), rel=1e-3)
    assert float(high) == pytest.approx(float(expected[1]), rel=1e-3)
    assert not any("did not come to rest" in warning for warning in found.warnings)


def test_ends_on_searches_that_never_come_to_rest_are_open_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = uncertain()
    monkeypatch.setattr(sys.modules["cotwin.estimation.profile"], "levenberg_marquardt", impatient(0))
    low, high = profile(found, ["growth.rate"])["growth.rate"]
    assert float(low) == 0.0
    assert float(high) == math.inf
    (warning,) = [one for one in found.warnings if "did not come to rest" in one]
    assert "growth.rate has an open end" in warning


@pytest.mark.slow
def test_a_better_fit_that_a_profile_meets_is_told() -> None:
    found = uncertain()
    profile(replace(found, cost=found.cost + 2.0), ["growth.rate"])
    (warning,) = [one for one in found.warnings if "better fit than the estimate" in one]
    assert 0 < float(warning.partition("lower by ")[2].split(":")[0]) <= 2


def test_names_choose_and_fields_and_strangers_are_refused() -> None:
    found = uncertain()
    assert list(profile(found, ["growth.rate"])) == ["growth.rate"]
    with pytest.raises(
        ValueError, match=r"'rate' has no profile, .* diffusivity.value, growth.rate, growth.capacity"
    ):
        profile(found, ["rate"])


def test_ends_that_the_data_never_reach_are_open() -> None:
    """Of two that only occur as a product each may be anything; of a third that does nothing as well."""

    def step(u: Tensor, dt: float, values: dict[str, Tensor]) -> Tensor:
        return u * torch.exp(-dt * values["rate"] * values["share"]) + 0 * values["idle"]

    layout = line(12)
    model = FunctionStepper(layout, step, {name: positive(0.5) for name in ("rate", "share", "idle")})
    found = estimate(model, starts(layout), measured(model, starts(layout), 4, 0.01))
    for low, high in profile(found).values():
        assert float(low) == 0.0
        assert float(high) == math.inf


def test_a_coarse_field_has_no_profile() -> None:
    layout = line(24, "neumann")
    model = Heat(layout, CoarseField(Positive(torch.full((3,), 0.02, dtype=F64)), layout))
    found = estimate(model, starts(layout), measured(model, starts(layout), 4, 0.01))
    assert profile(found) == {}
    with pytest.raises(ValueError, match="has no profile"):
        profile(found, ["diffusivity"])
