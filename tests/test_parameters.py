"""Parameters keep their bounds and their gradient; coarse fields are partitions of unity."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cotwin.layout import Boundary, Field, Layout
from cotwin.parameters import (
    Bounded,
    CoarseField,
    Elementwise,
    GaussianSum,
    Known,
    Parameter,
    Positive,
    Real,
    Simplex,
    Unknown,
    Vector,
    ZeroMean,
    estimates,
)
from cotwin.parameters.fields import spline_weights
from cotwin.physics.heat import Heat

BOUNDARIES = st.sampled_from(["periodic", "dirichlet", "neumann"])


def layout(*grid: int, boundary: Boundary = "periodic") -> Layout:
    return Layout.box([Field("u")], grid=grid, extent=[(0, 1)] * len(grid), boundary=boundary, dt=0.1)


@given(st.floats(1e-12, 1e12))
def test_positive_returns_its_initial_value(initial: float) -> None:
    assert Positive(initial)().item() == pytest.approx(initial, rel=1e-5)


@given(st.floats(-10, 10), st.floats(0.01, 100), st.floats(0.001, 0.999))
def test_bounded_returns_its_initial_value(lower: float, width: float, share: float) -> None:
    initial = lower + share * width
    assert Bounded(initial, lower, lower + width)().item() == pytest.approx(initial, abs=1e-4 * width + 1e-5)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("slope", [1.0, -1.0])
@pytest.mark.parametrize("bounds", [(0.1, 0.3), (-3.0, -0.8), (-3.0, 0.2)])
def test_bounds_hold_under_huge_steps(
    optimizer: type[torch.optim.Optimizer], slope: float, bounds: tuple[float, float]
) -> None:
    lower, upper = torch.tensor(bounds)
    bounded, positive = Bounded(sum(bounds) / 2, *bounds), Positive(0.5)
    stepping = optimizer([{"params": [bounded.raw], "lr": 100.0}, {"params": [positive.raw], "lr": 2.0}])
    for _ in range(30):
        bounded.raw.grad = positive.raw.grad = torch.tensor(slope)
        stepping.step()
        assert lower <= bounded() <= upper
        assert 0 < positive() < math.inf


@pytest.mark.parametrize("share", [1e-4, 1e-2, 0.99, 0.999])
def test_gradient_reaches_values_near_a_bound(share: float) -> None:
    near = Bounded(2.0 * share, 0.0, 2.0)
    near().backward()
    # dp/draw = (p − lower)(upper − p)/(upper − lower), not zero as with a clip.
    assert float(near.raw.grad) == pytest.approx(2.0 * share * (1 - share), rel=1e-3)


def test_gradient_of_positive_is_its_value() -> None:
    tiny = Positive(1e-9)
    tiny().backward()
    assert float(tiny.raw.grad) == pytest.approx(1e-9, rel=1e-5)


def test_start_outside_the_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="not positive"):
        Positive(0.0)
    with pytest.raises(ValueError, match="not positive"):
        Positive(torch.tensor([1.0, math.nan]))
    for beyond in (lambda: Positive(math.inf), lambda: Real(math.inf), lambda: Real(math.nan)):
        with pytest.raises(ValueError, match="finite"):
            beyond()
    with pytest.raises(ValueError, match="empty"):
        Bounded(0.5, 1.0, 1.0)
    for initial in (0.0, 1.0, -3.0, math.nan):
        with pytest.raises(ValueError, match="strictly inside"):
            Bounded(initial, 0.0, 1.0)
    # Inside, but not to be told from the bound once the bounds are mapped to zero and one.
    with pytest.raises(ValueError, match="to within rounding"):
        Bounded(float(torch.tensor(1.0).nextafter(torch.tensor(0.0))), -1.0, 1.0)


def test_a_known_value_is_not_trained() -> None:
    assert not list(Known(9.81).parameters())
    assert float(Known(9.81)()) == pytest.approx(9.81)


@given(st.integers(2, 12), st.integers(1, 20), st.booleans())
def test_splines_are_a_partition_of_unity(coarse: int, more: int, periodic: bool) -> None:
    weights = spline_weights(coarse, coarse + more, periodic)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(coarse + more, dtype=torch.float64))
    assert weights.min() >= -1e-15


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 6),
    st.integers(2, 6),
    st.integers(0, 9),
    BOUNDARIES,
    st.integers(0, 1000),
)
def test_a_field_keeps_the_bounds_of_its_coefficients(
    rows: int, columns: int, more: int, boundary: Boundary, seed: int
) -> None:
    coefficients = Bounded(torch.full((rows, columns), 0.2), 0.1, 0.3)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        coefficients.raw.copy_(30 * torch.randn(rows, columns, generator=generator))
    field = CoarseField(coefficients, layout(rows + more, columns + more, boundary=boundary))()
    assert field.shape == (rows + more, columns + more)
    assert field.min() >= 0.1 - 1e-6
    assert field.max() <= 0.3 + 1e-6


def test_a_constant_field_is_constant() -> None:
    for boundary in ("periodic", "dirichlet", "neumann"):
        field = CoarseField(Positive(torch.full((4, 3), 0.7)), layout(8, 9, boundary=boundary))
        torch.testing.assert_close(field(), torch.full((8, 9), 0.7))


@pytest.mark.parametrize("shift", [1, 3, 5])
def test_periodic_fields_wrap_around(shift: int) -> None:
    values = torch.rand(6, generator=torch.Generator().manual_seed(0)) + 0.1
    field = CoarseField(Positive(values), layout(24))()
    shifted = CoarseField(Positive(values.roll(shift)), layout(24))()
    torch.testing.assert_close(shifted, field.roll(4 * shift))


def test_a_field_follows_a_smooth_function_between_walls() -> None:
    # Cubic splines reproduce straight lines exactly, away from the walls, with coefficients at cell centres.
    centres = (torch.arange(8.0) + 0.5) / 8
    field = CoarseField(Positive(1 + centres), layout(40, boundary="neumann"))()
    points = torch.tensor(layout(40, boundary="neumann").points(0))
    torch.testing.assert_close(field[8:-8], 1 + points[8:-8])


def test_gradient_of_a_field_agrees_with_finite_differences() -> None:
    field = CoarseField(Positive(torch.rand(3, 4, dtype=torch.float64) + 0.5), layout(6, 8))

    def values(raw: Tensor) -> Tensor:
        return torch.func.functional_call(field, {"coefficients.raw": raw}, ())

    assert torch.autograd.gradcheck(values, (field.coefficients.raw.detach().clone().requires_grad_(),))


def test_coarse_grids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one axis for each"):
        CoarseField(Positive(torch.ones(4)), layout(8, 8))
    for coarse in (1, 9):
        with pytest.raises(ValueError, match="between two points"):
            CoarseField(Positive(torch.ones(coarse)), layout(8))


class Model(nn.Module):
    def __init__(self, **parameters: Parameter) -> None:
        super().__init__()
        for name, parameter in parameters.items():
            setattr(self, name, parameter)


def test_estimates_are_the_unknowns_in_natural_units() -> None:
    field = CoarseField(Positive(torch.full((4,), 0.05)), layout(8))
    fixed = CoarseField(Known(torch.full((4,), 0.05)), layout(8))
    model = Model(viscosity=field, known=fixed, gravity=Known(9.81), speed=Bounded(1.5, 1.0, 2.0))
    found = estimates(model)
    assert list(found) == ["viscosity", "speed"]
    torch.testing.assert_close(found["viscosity"], torch.full((8,), 0.05))
    assert float(found["speed"]) == pytest.approx(1.5)
    # Frozen, as a model is that is only looked at, it still estimated what it did.
    assert list(estimates(model.requires_grad_(False))) == ["viscosity", "speed"]


def test_bumps_are_where_they_are_said_to_be() -> None:
    layout = Layout.box([Field("u")], grid=(60, 40), extent=[(-3, 3), (0, 4)], boundary="dirichlet", dt=0.1)
    centres = torch.tensor([[1.0, 1.0], [-2.05, 3.05]])
    field = GaussianSum(Known(torch.tensor([3.0, 2.5])), Known(centres), Known(0.8), layout, base=0.1)()
    x, y = (torch.tensor(layout.points(axis)) for axis in range(2))
    expected = 0.1 + sum(
        height * torch.exp(-((x[:, None] - cx) ** 2 + (y[None, :] - cy) ** 2) / 0.64)
        for height, (cx, cy) in zip((3.0, 2.5), centres.tolist(), strict=True)
    )
    torch.testing.assert_close(field, expected)


def test_bumps_are_reported_by_what_places_them() -> None:
    layout = Layout.box([Field("u")], grid=(8,), extent=[(0, 1)], boundary="neumann", dt=0.1)
    model = Heat(layout, GaussianSum(Positive(torch.ones(2)), Real(torch.zeros(2, 1)), Known(0.3), layout, base=0.1))
    found = estimates(model)
    assert set(found) == {"diffusivity.amplitudes", "diffusivity.centres"}
    assert torch.equal(found["diffusivity.amplitudes"], torch.ones(2))


def test_bumps_that_do_not_fit_are_refused() -> None:
    layout = Layout.box([Field("u")], grid=(8, 8), extent=[(0, 1)] * 2, boundary="neumann", dt=0.1)
    with pytest.raises(ValueError, match=r"need \(n,\), \(n, 2\) and \(\)"):
        GaussianSum(Known(torch.ones(3)), Known(torch.zeros(2, 2)), Known(1.0), layout)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9))
def test_a_potential_has_no_constant(values: list[float]) -> None:
    field = ZeroMean(Real(torch.tensor(values, dtype=torch.float64), scale=10.0))()
    assert abs(float(field.mean())) < 1e-10
    torch.testing.assert_close(field, torch.tensor(values, dtype=torch.float64) - sum(values) / len(values))


def test_a_scale_is_positive() -> None:
    with pytest.raises(ValueError, match="typical size"):
        Real(1.0, scale=0.0)


DOUBLE = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
UNKNOWNS = {
    "Positive": Positive(DOUBLE),
    "Bounded": Bounded(DOUBLE, 0.1, 0.7),
    "Real": Real(DOUBLE, scale=10.0),
    "Simplex": Simplex(DOUBLE),
}
every_unknown = pytest.mark.parametrize("unknown", UNKNOWNS.values(), ids=UNKNOWNS)


@every_unknown
def test_raw_numbers_and_natural_units_are_inverses(unknown: Unknown) -> None:
    torch.testing.assert_close(unknown(), DOUBLE)
    raw = torch.randn(5, *unknown.raw.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(unknown.to_raw(unknown.to_natural(raw)), raw)
    torch.testing.assert_close(torch.func.vmap(unknown.to_natural)(raw), unknown.to_natural(raw))


@every_unknown
def test_gradient_in_raw_numbers_agrees_with_finite_differences(unknown: Unknown) -> None:
    raw = unknown.raw.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(unknown.to_natural, (raw,), check_forward_ad=True)


@every_unknown
@pytest.mark.parametrize("corner", [0.0, 1.0])
def test_a_search_finds_raw_numbers_all_over_the_unit_cube(unknown: Unknown, corner: float) -> None:
    q = torch.rand(100, *unknown.raw.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q[0] = corner
    assert bool(unknown.to_raw(unknown.quantile(q)).isfinite().all())


def test_a_search_looks_where_it_says() -> None:
    q = torch.tensor([[0.0] * 3, [0.25] * 3, [0.5] * 3, [1.0] * 3], dtype=torch.float64)
    factors = torch.tensor([[0.1], [0.1**0.5], [1.0], [10.0]], dtype=torch.float64)
    torch.testing.assert_close(Positive(DOUBLE).quantile(q), factors * DOUBLE)
    steps = torch.tensor([[-20.0], [-10.0], [0.0], [20.0]], dtype=torch.float64)
    torch.testing.assert_close(Real(DOUBLE, scale=10.0).quantile(q), DOUBLE + steps)
    places = torch.tensor([[1.01], [1.255], [1.5], [1.99]], dtype=torch.float64).expand(4, 3)
    torch.testing.assert_close(Bounded(DOUBLE + 1, 1.0, 2.0).quantile(q), places)


def test_a_search_prefers_no_fraction() -> None:
    q = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = Simplex(torch.full((4,), 0.25)).quantile(q)
    # Evenly over all fractions, each of four has the mean 1/4 and the variance 3/80.
    torch.testing.assert_close(found.mean(dim=0), torch.full((4,), 0.25, dtype=torch.float64), rtol=0, atol=0.01)
    torch.testing.assert_close(found.var(dim=0), torch.full((4,), 3 / 80, dtype=torch.float64), rtol=0.04, atol=0)


@pytest.mark.parametrize("unknown", [u for u in UNKNOWNS.values() if isinstance(u, Elementwise)])
def test_intervals_of_raw_numbers_are_intervals_in_natural_units(unknown: Elementwise) -> None:
    raw = torch.linspace(-20, 20, 99, dtype=torch.float64)
    values = unknown.to_natural(raw)
    assert bool((values.diff() > 0).all())
    assert bool(((values > unknown.lower) & (values < unknown.upper)).all())


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6))
def test_fractions_return_their_initial_value(parts: list[float]) -> None:
    initial = torch.tensor(parts, dtype=torch.float64) / sum(parts)
    torch.testing.assert_close(Simplex(initial)(), initial)


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_fractions_stay_fractions_under_huge_steps(slope: float) -> None:
    fractions = Simplex(torch.full((3,), 1 / 3))
    stepping = torch.optim.SGD([fractions.raw], lr=10.0)
    for _ in range(10):
        fractions.raw.grad = torch.tensor([slope, 2 * slope])
        stepping.step()
        assert bool((fractions() >= 0).all())
        assert float(fractions().sum().detach()) == pytest.approx(1.0)


@settings(deadline=None)
@given(st.integers(2, 7))
def test_fractions_have_no_redundant_direction_and_no_favourite(count: int) -> None:
    fractions = Simplex(torch.full((count,), 1 / count, dtype=torch.float64))
    slopes = torch.func.jacfwd(fractions.to_natural)(fractions.raw.detach())
    assert slopes.shape == (count, count - 1)
    # At equal fractions, equally long steps of raw change them equally much, whatever the direction.
    torch.testing.assert_close(slopes.T @ slopes, torch.eye(count - 1, dtype=torch.float64) / count**2)


def test_what_is_no_fraction_is_refused() -> None:
    with pytest.raises(ValueError, match="leave out those that are zero"):
        Simplex(torch.tensor([0.5, 0.5, 0.0]))
    with pytest.raises(ValueError, match="divide them by their sum"):
        Simplex(torch.tensor([0.5, 0.6]))
    with pytest.raises(ValueError, match="two or more"):
        Simplex(torch.tensor([1.0]))


def test_intervals_of_a_vector_keep_the_bounds_of_each_component() -> None:
    field = CoarseField(Positive(torch.full((4,), 0.05)), layout(8))
    vector = Vector(Positive(0.7), Bounded(1.5, 1.0, 2.0), field, Known(-3.0))
    value = vector().detach()
    centre = vector.unbounded(value)
    torch.testing.assert_close(vector.bounded(centre), value)
    low, high = vector.bounded(centre - 5), vector.bounded(centre + 5)
    assert bool((low[:3] > torch.tensor([[0.0], [1.0], [0.0]])).all())
    assert bool((high[1] < 2.0).all())


def test_one_parameter_may_be_several_components() -> None:
    shared = Positive(0.3)
    torch.testing.assert_close(Vector(shared, shared)(), torch.tensor([0.3, 0.3]))


def test_names_that_two_parameters_share_give_way_to_their_places() -> None:
    first, second, third = Positive(1.0), Positive(2.0), Positive(3.0)
    first.called = second.called = "rate"
    model = nn.ModuleDict({"one": first, "two": second, "three": third})
    assert list(estimates(model)) == ["one", "two", "three"]
    second.called = "three"
    assert list(estimates(model)) == ["rate", "two", "three"]
