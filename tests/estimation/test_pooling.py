"""Groups with a prior in common: the density of the spread, and intervals that hold the truth."""

from __future__ import annotations

import math
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor

from cotwin import Field, Layout, Positive, Real
from cotwin.estimation import Estimation, Grid, LeastSquares, Measurements, estimate
from cotwin.estimation.pooled import pools, with_unsure_spreads
from cotwin.estimation.pooling import SPREADS, log_evidence, quadratic
from cotwin.estimation.prediction import Prediction
from cotwin.estimation.priors import Pooled
from cotwin.given import Given
from cotwin.parameters import Grouped, Unknown
from cotwin.physics import FunctionStepper

POINTS = Layout.box([Field("u")], grid=(2,), extent=[(0, 1)], boundary="periodic", dt=0.2)
STEPS = 8


def step(u: Tensor, dt: float, parameters: dict[str, Tensor]) -> Tensor:
    """u grows by a rate, or decays at one."""
    return u + parameters["slope"] * dt if "slope" in parameters else u * torch.exp(-parameters["rate"] * dt)


def found(name: str, each: Unknown, states: Tensor, noise: float | None, pooled: bool = True) -> Estimation:
    count = len(states)
    each.called = name
    stepper = FunctionStepper(POINTS, step, {name: Grouped(each, torch.arange(count))})
    grid = Grid(POINTS, count, STEPS, None, first=1)
    measured = Measurements(grid, grid(states).double(), noise)
    priors = {name: Pooled(each)} if pooled else None
    return estimate(stepper, states[:, 0], measured, priors=priors, points=1, given=Given.of(count))


def noisy(exact: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """(G, T) at both points, with noise but in the start."""
    states = exact[:, :, None, None].expand(-1, -1, 1, 2).clone()
    states[:, 1:] += noise * torch.randn(states[:, 1:].shape, generator=generator, dtype=torch.float64)
    return states


def test_the_density_of_the_spread_is_that_of_the_linear_problem() -> None:
    """u_g = s_g t + noise, so estimates ŝ_g are normal about s_g: the restricted likelihood of N(μ, τ² + v)."""
    generator, groups, noise = torch.Generator().manual_seed(1), 6, 0.3
    slopes = 1 + 0.4 * torch.randn(groups, generator=generator, dtype=torch.float64)
    t = POINTS.dt * torch.arange(STEPS + 1, dtype=torch.float64)
    states = noisy(slopes[:, None] * t, noise, generator)
    best = found("slope", Real(torch.ones(groups)), states, noise)
    prior = best.problem.priors["slope"]
    assert isinstance(prior, Pooled)
    log = log_evidence(best.problem, "slope", prior, *quadratic(best.problem, best.z, best.linear))
    variance = noise**2 / float(2 * t.square().sum())
    fitted = (states * t.view(1, -1, 1, 1)).sum(dim=(1, 2, 3)) / (2 * t.square().sum())
    apart = float((fitted - fitted.mean()).square().sum())
    exact = [
        -apart / (2 * (variance + s**2)) - (groups - 1) / 2 * math.log(variance + s**2) + math.log(s)
        for s in SPREADS.tolist()
    ]
    assert torch.allclose(log - log[100], torch.tensor(exact).double() - exact[100], atol=1e-6)
    assert float(prior.spread) == pytest.approx(float(SPREADS[log.argmax()]), rel=0.1)
    # With that spread each estimate is drawn towards the mean by the share that its noise has.
    share = variance / (variance + float(prior.spread) ** 2)
    drawn = share * fitted.mean() + (1 - share) * fitted
    assert torch.allclose(best.intervals["slope"].value, drawn, atol=1e-5)
    (pool,) = pools(best)
    assert (pool.groups, pool.scale) == (6, None)
    assert pool.centre == pytest.approx(float(fitted.mean()), abs=1e-6)
    # Noise is known, so the quantile is normal: of the mean of six values with the variance of both.
    reach = 1.6449 * math.sqrt((variance + float(prior.spread) ** 2) / 6)
    assert (pool.high - pool.low) / 2 == pytest.approx(reach, rel=1e-3)


def test_with_few_groups_the_spread_has_a_prior_of_its_own() -> None:
    generator = torch.Generator().manual_seed(2)
    t = POINTS.dt * torch.arange(STEPS + 1, dtype=torch.float64)
    rates = torch.tensor([0.2, 1.0, 5.0], dtype=torch.float64)
    states = noisy(torch.exp(-rates[:, None] * t), 0.01, generator)
    best = found("rate", Positive(torch.ones(3)), states, None)
    (pool,) = pools(best)
    assert pool.scale == 0.5
    assert 0.5 < pool.spread < 1.6 < float(rates.log().std())
    assert torch.allclose(best.intervals["rate"].value, rates, rtol=0.1)


def test_derivatives_to_the_values_of_all_groups_take_the_rollouts_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """And are those that each group's own value has."""
    generator, groups = torch.Generator().manual_seed(3), torch.tensor([0, 1, 2, 1, 0])
    t = POINTS.dt * torch.arange(STEPS + 1, dtype=torch.float64)
    rates = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    states = noisy(torch.exp(-rates[groups][:, None] * t), 0.01, generator)
    each, common = Positive(torch.ones(3)), Positive(0.3)

    def both(u: Tensor, dt: float, parameters: dict[str, Tensor]) -> Tensor:
        return u * torch.exp(-parameters["rate"] * dt) - parameters["loss"] * dt

    stepper = FunctionStepper(POINTS, both, {"rate": Grouped(each, groups), "loss": common})
    grid = Grid(POINTS, 5, STEPS, None, first=1)
    problem = LeastSquares(stepper, states[:, 0], Measurements(grid, grid(states).double()), given=Given.of(5))
    z = problem.present()
    taken = list[int]()
    original = Prediction.of

    def counted(self: Prediction, raw: Tensor, *rest: Any) -> Tensor:
        taken.append(len(raw))
        return original(self, raw, *rest)

    monkeypatch.setattr(Prediction, "of", counted)
    jacobian = problem.linearise(z).by_raw[0]
    assert taken[0] == 1 + 2 * 2
    for number in range(4):
        away = 1e-5 * torch.eye(4, dtype=torch.float64)[number]
        slope = (problem.misfit(z + away) - problem.misfit(z - away))[0] / 2e-5
        assert torch.allclose(jacobian[:, number], slope, rtol=1e-5, atol=1e-6 * float(slope.abs().max()))


def test_what_cannot_be_pooled_is_refused() -> None:
    with pytest.raises(ValueError, match="what two groups or more have in common"):
        Pooled(Positive(1.0)).check_start("rate", torch.tensor(1.0))
    with pytest.raises(ValueError, match="scale is 0"):
        Pooled(Positive(torch.ones(2)), scale=0)


@pytest.mark.slow
@pytest.mark.parametrize("groups", [3, 12])
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_intervals_of_groups_hold_their_values(groups: int, spread: float) -> None:
    """Nine in ten, also where the groups do not differ at all; they are then narrower than alone."""
    draws, held, widths = 20, 0, torch.zeros(2)
    t = POINTS.dt * torch.arange(STEPS + 1, dtype=torch.float64)
    for seed in range(draws):
        generator = torch.Generator().manual_seed(seed)
        rates = torch.exp(spread * torch.randn(groups, generator=generator, dtype=torch.float64))
        states = noisy(torch.exp(-rates[:, None] * t), 0.1, generator)
        for place, pooled in enumerate((True, False) if spread == 0 else (True,)):
            best = with_unsure_spreads(found("rate", Positive(torch.ones(groups)), states, None, pooled))
            own = best.intervals["rate"]
            widths[place] += float((own.high / own.low).log().mean())
            held += int(((own.low < rates) & (rates < own.high)).sum()) if pooled else 0
    # Values of one draw share a spread, so they are not as many as they seem: at least one a draw.
    assert held / (draws * groups) > scipy.stats.binom.ppf(0.01, draws, 0.9) / draws
    assert spread or widths[0] < 0.9 * widths[1]
