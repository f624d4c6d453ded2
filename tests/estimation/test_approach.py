"""From starting points to nearly the best fit."""

from __future__ import annotations

import pytest
import torch

from cotwin.estimation import Grid, Measurements, NoisyStarts, estimate
from cotwin.estimation.approach import growing, together
from cotwin.estimation.levenberg_marquardt import Solution
from cotwin.estimation.problem import LeastSquares
from cotwin.layout import Field, Layout
from cotwin.parameters import Positive
from cotwin.physics import Heat, KortewegDeVries
from cotwin.stepper import rollout

F64 = torch.float64


def two_solitons(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Of u_t + 6 u u_x + u_xxx = 0, of speeds 4 and 16, that pass each other at t = 0."""
    above = 3 + 4 * torch.cosh(2 * x - 8 * t) + torch.cosh(4 * x - 64 * t)
    return 12 * above / (3 * torch.cosh(x - 28 * t) + torch.cosh(3 * x - 36 * t)) ** 2


def solitons(frames: int, dt: float) -> tuple[Layout, torch.Tensor]:
    layout = Layout.box([Field("u")], grid=(128,), extent=[(-12.0, 12.0)], boundary="periodic", dt=dt)
    x = torch.tensor(layout.points(0), dtype=F64)
    times = dt * (torch.arange(frames, dtype=F64) - frames // 2)[:, None]
    return layout, two_solitons(x, times)[None, :, None]


def model(layout: Layout, steepening: float, dispersion: float) -> KortewegDeVries:
    values = (Positive(torch.tensor(value, dtype=F64)) for value in (steepening, dispersion))
    return KortewegDeVries(layout, *values, substeps=20)


def test_the_parts_double_from_one_step() -> None:
    layout, _ = solitons(21, 0.05)
    parts = growing(Grid(layout, 1, 20, None, first=0))
    assert parts == pytest.approx([1 / 20, 2 / 20, 4 / 20, 8 / 20])


def test_points_of_one_place_go_on_as_one_and_those_that_diverge_do_not() -> None:
    layout, states = solitons(3, 0.02)
    problem = LeastSquares(
        model(layout, 6.0, 1.0), states[:, 0], Measurements(Grid(layout, 1, 2), states[0, 1:].flatten())
    )
    z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [1.01, 0.01], [0.0, 0.0]], dtype=F64)
    cost = torch.tensor([3.0, 2.0, 1.0, torch.inf], dtype=F64)
    followed, solution = together(problem, Solution(z, cost, cost < 2, 5), torch.tensor([1, 2, 4, 8]))
    assert followed.counts.tolist() == [5, 2]
    assert torch.equal(followed.z, z[[2, 1]])
    assert solution.cost.tolist() == [1.0, 2.0]


@pytest.mark.slow
def test_of_two_solitons_the_right_minimum_is_found_from_half_of_the_values() -> None:
    layout, states = solitons(15, 0.05)
    noise = 0.01 * states.std() * torch.randn(states.shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    seen = Grid(layout, 1, 14)
    measured = Measurements(seen, (states + noise)[0, 1:].flatten())
    found = estimate(model(layout, 3.0, 0.5), states[:, 0], measured)
    for name, truth in (("steepening", 6.0), ("dispersion", 1.0)):
        # The intervals know nothing of the error of the time steps, which is about as large here.
        assert float(found.intervals[name].value) == pytest.approx(truth, rel=2e-3)
    assert found.converged


def test_starts_are_settled_in_single_precision_too() -> None:
    class Single(Heat):
        @property
        def dtype(self) -> torch.dtype:
            return torch.float32

    layout = Layout.box([Field("u")], grid=(24,), extent=[(0.0, 1.0)], boundary="periodic", dt=0.1)
    x = torch.tensor(layout.points(0), dtype=F64)
    states = (2 * torch.pi * x).cos().view(1, 1, -1)
    with torch.no_grad():
        truth = rollout(Heat(layout, Positive(torch.tensor(0.02, dtype=F64))).double(), states, 5)
    seen = Grid(layout, 1, 5, first=0)
    noise = torch.randn(seen.size, generator=torch.Generator().manual_seed(0), dtype=F64)
    given = NoisyStarts(torch.zeros_like(states), torch.tensor([1.0], dtype=F64), 0.2)
    found = estimate(
        Single(layout, Positive(torch.tensor(0.05))), given, Measurements(seen, seen(truth) + 0.02 * noise)
    )
    assert found.problem.dtype == torch.float32
    assert found.converged
    assert float(found.intervals["diffusivity"].low) < 0.02 < float(found.intervals["diffusivity"].high)
