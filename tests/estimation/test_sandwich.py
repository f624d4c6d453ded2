"""Intervals where the noise is not independent."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from estimation_cases import F64, clean, colony, fisher, heat, line, noise, starts
from torch import Tensor

from cotwin.estimation import Estimation, Grid, Measurements, NoisyStarts, estimate
from cotwin.estimation.information import FullInformation
from cotwin.estimation.sandwich import Widened, levels
from cotwin.stepper import Stepper

Errors = Callable[[Tensor], Tensor]


def lasting(white: Tensor) -> Tensor:
    """0.8 of an error is still there a step later; (B, T, C, *S)."""
    errors = [white[:, 0]]
    for fresh in white.unbind(1)[1:]:
        errors.append(0.8 * errors[-1] + 0.6 * fresh)
    return torch.stack(errors, dim=1)


def smooth(white: Tensor) -> Tensor:
    """Fields over three points, exp(−d²/18)."""
    place = torch.arange(white.shape[-1], dtype=F64)
    covariance = torch.exp(-0.5 * ((place[:, None] - place) / 3) ** 2) + 1e-9 * torch.eye(len(place), dtype=F64)
    fields: Tensor = white @ torch.linalg.cholesky(covariance).mT
    return fields


def drawn(
    model: Stepper, begin: Stepper, states: Tensor, steps: int, level: float, errors: Errors, seed: int
) -> Estimation:
    seen = Grid(model.layout, len(states), steps)
    values = seen(clean(model, states, steps)) + level * seen(errors(noise(*seen.states_shape, seed=seed)))
    return estimate(begin, states, Measurements(seen, values))


def of_heat(errors: Errors, seed: int) -> Estimation:
    model = heat()
    return drawn(model, heat(0.03), starts(model.layout), 20, 0.2, errors, seed)


def of_fisher(errors: Errors, seed: int) -> Estimation:
    model = fisher()
    return drawn(model, fisher(0.7, 0.8, 1.4), colony(model.layout), 12, 0.05, errors, seed)


TRUTHS = {of_heat: heat(), of_fisher: fisher()}
DRAWS = 100


def coverage(study: Callable[[Errors, int], Estimation], errors: Errors) -> tuple[float, float, float]:
    """How often the printed and the plain intervals hold the truth, over all numbers, and how often they differ."""
    truth = [float(raw.detach().exp()) for raw in TRUTHS[study].parameters()]
    printed, plain, widened = 0, 0, 0
    for seed in range(DRAWS):
        found = study(errors, seed)
        widened += bool(found.independent)
        for value, (name, one) in zip(truth, found.intervals.items(), strict=True):
            other = found.independent.get(name, one)
            printed += bool(one.low < value < one.high)
            plain += bool(other.low < value < other.high)
            assert one.low <= other.low
            assert one.high >= other.high
    count = DRAWS * len(truth)
    return printed / count, plain / count, widened / DRAWS


@pytest.mark.slow
@pytest.mark.parametrize(
    "errors", [lasting, smooth, lambda white: smooth(lasting(white))], ids=["time", "space", "both"]
)
@pytest.mark.parametrize("study", TRUTHS)
def test_widened_intervals_cover_where_errors_are_correlated(
    study: Callable[[Errors, int], Estimation], errors: Errors
) -> None:
    printed, plain, widened = coverage(study, errors)
    print(f"\n{study.__name__}: {plain:.0%} without, {printed:.0%} with, widened {widened:.0%}")
    assert widened > 0.95
    assert plain < 0.8
    assert printed > max(0.75, plain + 0.1)


@pytest.mark.slow
def test_nothing_changes_where_errors_are_independent() -> None:
    printed, plain, widened = coverage(of_heat, lambda white: white)
    assert widened <= 0.02
    assert printed == pytest.approx(plain, abs=0.02)


def test_an_estimate_with_correlated_errors_says_what_its_intervals_hold() -> None:
    found = of_heat(lasting, 0)
    (note,) = [note for note in found.warnings if note.code == "residuals_correlated"]
    assert "in time" in note
    assert "widened for it" in note
    assert not found.reliable
    assert isinstance(found.spread, Widened)
    assert found.information is found.spread.plain
    wide, plain = found.intervals["diffusivity"], found.independent["diffusivity"]
    # Waves of a correlation of 0.8 hold up to (1 + 0.8)/(1 − 0.8) = 9 times as much.
    assert 1.5 < float(wide.deviation / plain.deviation) < 3.5
    assert of_heat(lambda white: white, 0).independent == {}


@pytest.mark.slow
@pytest.mark.parametrize("noisy", [False, True], ids=["exact starts", "noisy starts"])
def test_where_errors_are_independent_the_deviation_is_laplaces_in_the_mean(noisy: bool) -> None:
    """Whatever starts take of the values."""
    model = heat(points=12)
    seen, one = Grid(model.layout, 2, 8, first=0), torch.ones(1, 1, dtype=F64)
    ratios = []
    for seed in range(30):
        states = 2 * noise(2, 1, 12, seed=1000 + seed)
        values = seen(clean(model, states, 8)) + 0.1 * noise(seen.size, seed=seed)
        given = NoisyStarts(0 * states, torch.tensor([2.0], dtype=F64)) if noisy else states
        found = estimate(model, given, Measurements(seen, values, 0.1), horizons=())
        assert isinstance(found.information, FullInformation)
        wide = Widened.of(found.information, found.problem.linearise(found.z[None]), seen)
        ratios.append(float((one @ wide.covariance @ one.mT).sqrt() / found.information.deviations(one)))
    assert sum(ratios) / len(ratios) == pytest.approx(1.0, abs=0.1)


def test_levels_are_those_of_the_errors() -> None:
    """A correlation of 0.8 in time: (1 − 0.64)/(1.64 − 1.6 cos ω) of white noise."""
    seen = Grid(line(24), 40, 63, first=0)
    ((_, lattice),) = seen.lattices()
    errors = seen(lasting(noise(*seen.states_shape)))
    level = levels(lattice, errors, torch.zeros(seen.size, 1, dtype=F64)).mean(dim=1)
    wave = math.pi * torch.arange(1, 64, dtype=F64) / 64
    torch.testing.assert_close(level[1:], 0.36 / (1.64 - 1.6 * wave.cos()), rtol=0.2, atol=0.0)
