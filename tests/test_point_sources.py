"""Sources at points: all that enters is on the grid, wherever the points lie."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call

from cotwin.given import Course, Given
from cotwin.layout import Field, Layout
from cotwin.parameters import Input, Known, PointSources, Real, SpreadSources, Vector, estimates
from cotwin.physics.heat import Heat
from cotwin.stepper import rollout

F64 = torch.float64
BOX = Layout.box(
    [Field("u")], grid=(8, 11), extent=[(-1.0, 1.0), (0.0, 3.3)], boundary=("periodic", "neumann"), dt=0.1
)
PLACES = torch.tensor([[0.13, 0.7], [0.99, 3.3], [-1.0, 0.02]], dtype=F64)
RATES = torch.tensor([1.5, -0.4, 2.0], dtype=F64)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1, 1), st.floats(0, 3.3))
def test_what_enters_is_all_on_the_grid_and_lies_where_it_enters(x: float, y: float) -> None:
    value = PointSources(Known(RATES[:1]), [[x, y]], BOX)()
    cell = BOX.spacing[0] * BOX.spacing[1]
    assert float(value.sum()) * cell == pytest.approx(1.5, rel=1e-12)
    assert int((value != 0).sum()) <= 4
    along = torch.tensor(BOX.points(1), dtype=F64)
    if along[0] <= y <= along[-1]:
        assert float((value * along).sum()) * cell == pytest.approx(1.5 * y, abs=1e-12)


def test_mass_grows_by_the_sum_of_the_rates() -> None:
    model = Heat(BOX, Known(torch.tensor(0.2, dtype=F64)), source=PointSources(Real(RATES), PLACES, BOX))
    mass = rollout(model, torch.zeros(1, 1, 8, 11, dtype=F64), 6).sum(dim=(-1, -2)) * (
        BOX.spacing[0] * BOX.spacing[1]
    )
    assert torch.allclose(mass[0, :, 0], RATES.sum() * 0.1 * torch.arange(7), rtol=0, atol=1e-12)
    assert list(estimates(model)) == ["source.rates"]


def test_a_pump_that_follows_its_course_takes_all_of_it() -> None:
    """One that is switched on within a step, beside one that runs always; each trajectory has its own course."""
    course = torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.5], [2.0, 2.0, 2.0, 0.0, 0.0]], dtype=F64)
    pumps = Vector(Input("pump", 2.0), Known(torch.tensor(-0.3, dtype=F64)))
    model = Heat(BOX, Known(torch.tensor(0.2, dtype=F64)), source=PointSources(pumps, PLACES[:2], BOX))
    given = Given.of(2, inputs={"pump": Course(course)})
    states = rollout(model, torch.zeros(2, 1, 8, 11, dtype=F64), 4, given)
    mass = states.sum(dim=(-1, -2, 2)) * (BOX.spacing[0] * BOX.spacing[1])
    entered = torch.cat(
        [torch.zeros(2, 1, dtype=F64), ((course[:, 1:] + course[:, :-1]) / 2 - 0.3).cumsum(dim=1)], dim=1
    )
    assert torch.allclose(mass, 0.1 * entered, rtol=0, atol=1e-12)


def test_a_source_with_a_width_is_whole_too_and_smooth_in_its_place() -> None:
    sources = SpreadSources(Known(RATES), Real(PLACES), 0.7, BOX)
    apart = torch.func.vmap(lambda one: functional_call(sources, {"rates.value": one}, ()))(torch.eye(3, dtype=F64))
    whole = apart.sum(dim=(1, 2)) * BOX.spacing[0] * BOX.spacing[1]
    assert torch.allclose(whole, torch.ones(3, dtype=F64), rtol=0, atol=1e-13)

    def field(places: Tensor) -> Tensor:
        return functional_call(sources, {"places.raw": places}, ())

    assert torch.autograd.gradcheck(field, (PLACES.clone().requires_grad_(),))


def test_sources_that_cannot_be_are_refused_with_the_cure() -> None:
    rates = Known(RATES)
    with pytest.raises(ValueError, match=r"need \(n,\) and \(n, 2\)"):
        PointSources(rates, PLACES[:2], BOX)
    with pytest.raises(ValueError, match=r"along axis 1 are not all within the domain \[0.0, 3.3\]"):
        PointSources(rates, PLACES + 0.01, BOX)
    with pytest.raises(ValueError, match="two of them or more"):
        SpreadSources(rates, Real(PLACES), 0.3, BOX)
