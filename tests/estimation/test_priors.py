"""Priors are the densities that their docstrings say, in natural units, and are smooth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from cotwin.estimation.priors import (
    Gaussian,
    GaussianField,
    Independent,
    LogGaussianField,
    LogNormal,
    Prior,
    Smooth,
    TotalVariation,
)
from cotwin.layout import Boundary, Field, Layout

BOUNDARIES: list[Boundary] = ["periodic", "dirichlet", "neumann"]
SHARES = torch.tensor([0.01, 0.2, 0.5, 0.9, 0.999], dtype=torch.float64)


def layout(*grid: int, boundary: Boundary | tuple[Boundary, ...] = "periodic", length: float = 1.0) -> Layout:
    return Layout.box([Field("u")], grid=grid, extent=[(0, length)] * len(grid), boundary=boundary, dt=0.1)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def energy(prior: Prior, value: Tensor) -> Tensor:
    return prior.residuals(value).square().sum() / 2


GRID = layout(6, 5, boundary=("neumann", "periodic"))
EVERY_PRIOR: dict[str, Prior] = {
    "Gaussian": Gaussian(1.0, 0.5),
    "LogNormal": LogNormal(1.0, 2.0),
    "Smooth": Smooth(GRID, 0.3, 0.5),
    "TotalVariation": TotalVariation(GRID, 0.3, 0.5),
    "GaussianField": GaussianField(GRID, 1.0, 0.5, 0.3),
    "LogGaussianField": LogGaussianField(GRID, 1.0, 2.0, 0.3),
}


@pytest.mark.parametrize("prior", EVERY_PRIOR.values(), ids=EVERY_PRIOR)
class TestEveryPrior:
    def test_takes_batches_under_vmap(self, prior: Prior) -> None:
        values = noise(3, *GRID.grid).exp()
        together = torch.func.vmap(prior.residuals)(values)
        torch.testing.assert_close(together, torch.stack([prior.residuals(value) for value in values]))

    def test_keeps_the_dtype_of_the_value(self, prior: Prior) -> None:
        assert prior.residuals(torch.ones(GRID.grid)).dtype == torch.float32
        assert prior.residuals(torch.ones(GRID.grid, dtype=torch.float64)).dtype == torch.float64

    def test_derivatives_agree_with_finite_differences(self, prior: Prior) -> None:
        value = noise(*GRID.grid).exp().requires_grad_()
        assert torch.autograd.gradcheck(prior.residuals, (value,), check_forward_ad=True, check_batched_grad=True)
        assert torch.autograd.gradgradcheck(lambda given: energy(prior, given), (value,))

    def test_derivatives_are_finite_on_a_flat_field(self, prior: Prior) -> None:
        flat = torch.ones(GRID.grid, dtype=torch.float64)
        for jacobian in (torch.func.jacfwd(prior.residuals)(flat), torch.func.jacrev(prior.residuals)(flat)):
            assert bool(jacobian.isfinite().all())
        assert bool(torch.func.hessian(lambda given: energy(prior, given))(flat).isfinite().all())

    @pytest.mark.filterwarnings("error")
    def test_accepts_a_start_at_its_centre(self, prior: Prior) -> None:
        # As a parameter gives it, with a gradient.
        prior.check_start("viscosity", torch.ones(GRID.grid, requires_grad=True))


@settings(deadline=None)
@given(st.floats(-100, 100), st.floats(0.01, 100), st.floats(-5, 5), st.floats(-5, 5))
def test_gaussian_is_the_normal_density(mean: float, deviation: float, one: float, other: float) -> None:
    values = torch.tensor([mean + deviation * one, mean + deviation * other], dtype=torch.float64)
    ours = energy(Gaussian(mean, deviation), values[0]) - energy(Gaussian(mean, deviation), values[1])
    theirs = stats.norm(mean, deviation).logpdf(values[1]) - stats.norm(mean, deviation).logpdf(values[0])
    assert float(ours) == pytest.approx(theirs, abs=1e-8)


@settings(deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(1.01, 100), st.floats(-5, 5), st.floats(-5, 5))
def test_lognormal_is_the_log_normal_density_per_unit_of_the_logarithm(
    median: float, factor: float, one: float, other: float
) -> None:
    values = median * factor ** torch.tensor([one, other], dtype=torch.float64)
    ours = energy(LogNormal(median, factor), values[0]) - energy(LogNormal(median, factor), values[1])
    # A density per unit of log v is v times the density per unit of v.
    logs = stats.lognorm(math.log(factor), scale=median).logpdf(values) + values.log().numpy()
    assert float(ours) == pytest.approx(logs[1] - logs[0], abs=1e-6)


def test_quantiles_are_those_of_the_distribution() -> None:
    np.testing.assert_allclose(Gaussian(3.0, 0.5).quantile(SHARES), stats.norm(3.0, 0.5).ppf(SHARES))
    np.testing.assert_allclose(
        LogNormal(3.0, 2.0).quantile(SHARES), stats.lognorm(math.log(2.0), scale=3.0).ppf(SHARES)
    )


def test_quantiles_between_bounds_are_those_of_the_truncated_distribution() -> None:
    expected = stats.truncnorm(-0.5, 2.0, 3.0, 2.0).ppf(SHARES)
    np.testing.assert_allclose(Gaussian(3.0, 2.0).quantile(SHARES, lower=2.0, upper=7.0), expected)
    logs = stats.truncnorm(-1.0, 2.0, 0.0, math.log(2.0)).ppf(SHARES)
    np.testing.assert_allclose(LogNormal(1.0, 2.0).quantile(SHARES, lower=0.5, upper=4.0), np.exp(logs))
    # The bounds of a Positive parameter take nothing away.
    assert torch.equal(LogNormal(1.0, 2.0).quantile(SHARES, 0.0, math.inf), LogNormal(1.0, 2.0).quantile(SHARES))


@pytest.mark.parametrize("kind", [Gaussian, LogNormal])
def test_quantiles_of_arrays_take_the_last_axes(kind: type[Gaussian] | type[LogNormal]) -> None:
    centres, q = torch.tensor([1.0, 5.0, 9.0]), torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    together = kind(centres, 2.0).quantile(q)
    assert together.dtype == torch.float32
    for column, centre in enumerate(centres.tolist()):
        torch.testing.assert_close(together[:, column], kind(centre, 2.0).quantile(q[:, column]))


@pytest.mark.parametrize("prior", [Gaussian(1.0, 0.5), LogNormal(1.0, 2.0)])
def test_quantiles_that_do_not_exist_are_refused(prior: Independent) -> None:
    for q in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"keep q inside \(0, 1\)"):
            prior.quantile(torch.tensor([0.5, q]))
    with pytest.raises(ValueError, match="nothing between"):
        prior.quantile(torch.tensor(0.5), lower=-2e9, upper=-1e9)


def explicit_covariance(layout: Layout, deviation: float, length: float) -> np.ndarray:
    """Straight from the definition, point by point, with forty images either way around periodic axes."""
    covariance = np.full((1, 1), deviation**2)
    for axis in range(layout.dims):
        points = np.array(layout.points(axis))
        around = layout.upper[axis] - layout.lower[axis]
        images = range(-40, 41) if layout.boundary[axis] == "periodic" else [0]
        scaled = [math.sqrt(3) / length * np.abs(points[:, None] - points[None, :] + n * around) for n in images]
        matern = sum((1 + r) * np.exp(-r) for r in scaled)
        covariance = np.kron(covariance, matern / matern[0, 0])
    return covariance


@pytest.mark.parametrize("length", [0.05, 0.3, 1.0])
@pytest.mark.parametrize(
    "layout",
    [
        *(layout(7, boundary=kind) for kind in BOUNDARIES),
        layout(4, 5, boundary=("dirichlet", "periodic"), length=2.0),
    ],
    ids=lambda layout: "-".join(layout.boundary),
)
def test_gaussian_field_is_the_multivariate_normal_density(layout: Layout, length: float) -> None:
    prior = GaussianField(layout, 0.4, 0.7, length)
    fields = 0.4 + 0.7 * noise(2, *layout.grid)
    normal = stats.multivariate_normal(
        np.full(math.prod(layout.grid), 0.4), explicit_covariance(layout, 0.7, length), allow_singular=False
    )
    logs = normal.logpdf(fields.flatten(1).numpy())
    assert float(energy(prior, fields[0]) - energy(prior, fields[1])) == pytest.approx(logs[1] - logs[0], rel=1e-7)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(2, 9), st.sampled_from(BOUNDARIES)), min_size=1, max_size=3),
    st.floats(0.0, 1.5),
    st.integers(0, 1000),
)
def test_residuals_give_the_white_noise_back(axes: list[tuple[int, Boundary]], length: float, seed: int) -> None:
    grid, kinds = zip(*axes, strict=True)
    white = noise(math.prod(grid), seed=seed)
    on = layout(*grid, boundary=kinds)
    for prior in (GaussianField(on, 3.0, 0.2, length), LogGaussianField(on, 3.0, 1.5, length)):
        field = prior.colour(white)
        assert field.shape == grid
        torch.testing.assert_close(prior.residuals(field), white, rtol=1e-4, atol=1e-4)


def test_without_length_the_noise_is_only_scaled() -> None:
    white = noise(30)
    field = GaussianField(GRID, 2.0, 0.1, 0.0).colour(white)
    torch.testing.assert_close(field, 2.0 + 0.1 * white.view(GRID.grid), rtol=1e-14, atol=1e-14)


def test_shifted_noise_gives_the_shifted_field() -> None:
    prior, white = GaussianField(layout(12, 8), 0.0, 1.0, 0.3), noise(12, 8)
    shifted = prior.colour(white.roll((5, 3), (0, 1)).flatten())
    torch.testing.assert_close(shifted, prior.colour(white.flatten()).roll((5, 3), (0, 1)))


def test_draws_have_the_mean_and_the_covariance() -> None:
    mean = torch.linspace(1, 2, 30).view(GRID.grid)
    draws = GaussianField(GRID, mean, 0.5, 0.3).sample(20_000, torch.Generator().manual_seed(0)).flatten(1)
    # Standard errors are 0.5 / √20000 and at most √2 · 0.25 / √20000.
    torch.testing.assert_close(draws.mean(dim=0), mean.flatten(), rtol=0, atol=5 * 0.0036)
    np.testing.assert_allclose(np.cov(draws.T), explicit_covariance(GRID, 0.5, 0.3), rtol=0, atol=5 * 0.0025)
    logs = LogGaussianField(GRID, 3.0, 2.0, 0.3).sample(20_000, torch.Generator().manual_seed(0)).log()
    assert float((logs - math.log(3.0)).std()) == pytest.approx(math.log(2.0), rel=0.02)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_smoothness_of_a_slope_is_the_integral(boundary: Boundary) -> None:
    # −log p = ½ ∫ (length |∇v| / change)² dx / length², here of v = sin 2πx on a square of two by two.
    fine = layout(400, 400, boundary=boundary, length=2.0)
    field = torch.sin(2 * math.pi * torch.tensor(fine.points(0), dtype=torch.float64))[:, None].expand(400, 400)
    expected = 0.5 * (2 * math.pi / 0.3) ** 2 * 0.5 * 4
    assert float(energy(Smooth(fine, 0.3, 0.1), field.contiguous())) == pytest.approx(expected, rel=0.01)


def test_in_one_dimension_smoothness_is_brownian_motion() -> None:
    # Of Brownian motion, increments over Δx are independent, with the deviation change · √(Δx / length).
    line = layout(9, boundary="neumann")
    steps = noise(8)
    field = torch.cat([torch.zeros(1, dtype=torch.float64), 0.2 * math.sqrt(1 / 9 / 0.5) * steps.cumsum(0)])
    torch.testing.assert_close(Smooth(line, 0.2, 0.5).residuals(field)[:-1], steps)


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-3, 10), st.floats(0.01, 10), st.sampled_from(BOUNDARIES), st.integers(0, 1000))
def test_total_variation_is_the_smoothed_norm_of_the_slope(
    change: float, length: float, boundary: Boundary, seed: int
) -> None:
    on, field = layout(5, 7, boundary=boundary), noise(5, 7, seed=seed)
    squares = torch.zeros(5, 7, dtype=torch.float64)
    for axis in range(2):
        ahead = (field.roll(-1, axis) - field) / on.spacing[axis]
        if boundary != "periodic":
            ahead.select(axis, -1).zero_()
        squares += ahead**2
    slope, weight = change / length, math.prod(on.spacing) / (length * change)
    expected = weight * ((squares + slope**2).sqrt() - slope).sum()
    torch.testing.assert_close(energy(TotalVariation(on, change, length), field), expected)


def test_total_variation_is_smoothness_where_changes_are_small() -> None:
    field = 1e-4 * noise(*GRID.grid)
    torch.testing.assert_close(
        TotalVariation(GRID, 3.0, 0.5).residuals(field),
        Smooth(GRID, 3.0, 0.5).residuals(field),
        rtol=1e-5,
        atol=1e-12,
    )


@pytest.mark.parametrize("kind", [Smooth, TotalVariation])
def test_the_level_of_a_field_is_left_free(kind: type[Smooth] | type[TotalVariation]) -> None:
    prior, field = kind(GRID, 0.3, 0.5), noise(*GRID.grid)
    torch.testing.assert_close(prior.residuals(field + 7.0), prior.residuals(field))


@pytest.mark.parametrize("prior", list(EVERY_PRIOR.values())[2:], ids=list(EVERY_PRIOR)[2:])
def test_priors_of_fields_refuse_other_shapes(prior: Prior) -> None:
    for shape in ((), (30,), (5, 6), (1, 6, 5)):
        with pytest.raises(
            ValueError, match=r"viscosity has shape .* grid \(6, 5\); build both from the same Layout"
        ):
            prior.check_start("viscosity", torch.ones(shape))


@pytest.mark.parametrize("prior", [Gaussian(torch.ones(3), 0.5), LogNormal(1.0, torch.full((3,), 2.0))])
def test_priors_of_arrays_refuse_other_shapes(prior: Prior) -> None:
    prior.check_start("amplitudes", torch.ones(3))
    with pytest.raises(ValueError, match=r"amplitudes has shape \(\), its prior has \(3,\)"):
        prior.check_start("amplitudes", torch.tensor(1.0))


def test_starts_far_from_the_centre_are_refused() -> None:
    Gaussian(1.0, 0.5).check_start("gravity", torch.tensor(3.9))
    with pytest.raises(ValueError, match=r"gravity starts at 4.1, 6.2 standard deviations .* widen the prior"):
        Gaussian(1.0, 0.5).check_start("gravity", torch.tensor(4.1))
    with pytest.raises(ValueError, match=r"viscosity starts at 128, 7.0 standard deviations"):
        LogNormal(1.0, 2.0).check_start("viscosity", torch.tensor(128.0))
    field = torch.ones(GRID.grid)
    field[2, 3] = 128.0
    with pytest.raises(ValueError, match=r"viscosity starts at 128, 254.0 standard deviations"):
        GaussianField(GRID, 1.0, 0.5, 0.3).check_start("viscosity", field)
    with pytest.raises(ValueError, match=r"viscosity starts at 128, 7.0 standard deviations"):
        LogGaussianField(GRID, 1.0, 2.0, 0.3).check_start("viscosity", field)
    field[2, 3] = math.nan
    with pytest.raises(ValueError, match="starts at nan"):
        GaussianField(GRID, 1.0, 0.5, 0.3).check_start("viscosity", field)


def test_starts_that_are_not_positive_have_no_logarithm() -> None:
    with pytest.raises(ValueError, match="gravity starts at 0, its prior is for positive values"):
        LogNormal(1.0, 2.0).check_start("gravity", torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="gravity starts at -1, its prior is for positive values"):
        LogGaussianField(GRID, 1.0, 2.0, 0.3).check_start("gravity", -torch.ones(GRID.grid))


def test_a_precision_that_hides_the_prior_is_refused() -> None:
    for prior in (GaussianField(layout(64, 64), 1.0, 0.5, 4.0), LogGaussianField(layout(64, 64), 1.0, 2.0, 4.0)):
        with pytest.raises(ValueError, match=r"rounding of viscosity in torch.float32"):
            prior.check_start("viscosity", torch.ones(64, 64))
        prior.check_start("viscosity", torch.ones(64, 64, dtype=torch.float64))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_fine_grids_keep_their_precision(boundary: Boundary) -> None:
    white = noise(256 * 256)
    prior = GaussianField(layout(256, 256, boundary=boundary), 0.0, 1.0, 0.2)
    torch.testing.assert_close(prior.residuals(prior.colour(white)), white, rtol=0, atol=1e-8)


def test_what_makes_no_density_is_refused() -> None:
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="deviation is"):
            Gaussian(0.0, wrong)
        with pytest.raises(ValueError, match="deviation is"):
            GaussianField(GRID, 0.0, wrong, 0.3)
        with pytest.raises(ValueError, match="median is"):
            LogNormal(wrong, 2.0)
        with pytest.raises(ValueError, match="median is"):
            LogGaussianField(GRID, wrong, 2.0, 0.3)
        for kind in (Smooth, TotalVariation):
            with pytest.raises(ValueError, match="change is"):
                kind(GRID, wrong, 0.5)
            with pytest.raises(ValueError, match="length is"):
                kind(GRID, 0.3, wrong)
    for wrong in (1.0, 0.5, math.nan):
        with pytest.raises(ValueError, match=r"factor is .* above one"):
            LogNormal(1.0, wrong)
        with pytest.raises(ValueError, match=r"factor is .* above one"):
            LogGaussianField(GRID, 1.0, wrong, 0.3)
    with pytest.raises(ValueError, match="mean is"):
        Gaussian(math.nan, 1.0)
    with pytest.raises(ValueError, match=r"shape \(3,\) and the spread \(4,\)"):
        LogNormal(torch.ones(3), torch.full((4,), 2.0))
    with pytest.raises(ValueError, match="length is"):
        GaussianField(GRID, 0.0, 1.0, -0.1)
    with pytest.raises(ValueError, match=r"mean has shape \(5, 6\)"):
        GaussianField(GRID, torch.zeros(5, 6), 1.0, 0.3)
    with pytest.raises(ValueError, match=r"length 1000000.0 is too long .* estimate one number"):
        GaussianField(GRID, 0.0, 1.0, 1e6)
