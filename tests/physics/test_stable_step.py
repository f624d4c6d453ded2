"""The largest stable step that spectral steppers estimate, against trials."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from physics_cases import F64, scalar
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.parameters import Known
from cotwin.physics import (
    Advection,
    AllenCahn,
    KortewegDeVries,
    KuramotoSivashinsky,
    NavierStokes,
    SpectralBurgers,
    SpectralStepper,
    random_fourier,
)
from cotwin.physics.exponential import SpectralMap, etdrk4
from cotwin.rollouts import Refined
from cotwin.stepper import DivergenceError, rollout


class SwiftHohenberg(SpectralStepper):
    """∂u/∂t = r u − (1 + ∇²)² u − g u³, as a user writes it."""

    degree = 3

    def symbol(self) -> Tensor:
        return 0.3 - (1 + self.laplacian()) ** 2

    def nonlinearity(self, like: Tensor) -> SpectralMap:
        return lambda spectrum: -2 * self.to_spectrum(self.to_grid(spectrum) ** 3)


@dataclass(frozen=True)
class Case:
    """A stepper with so many substeps, and states large enough to set its limit."""

    grid: tuple[int, ...]
    length: float
    dt: float
    amplitude: float
    make: Callable[[Layout, int], SpectralStepper]

    @property
    def layout(self) -> Layout:
        extent = [(0.0, self.length)] * len(self.grid)
        return Layout.box([Field("u")], grid=self.grid, extent=extent, boundary="periodic", dt=self.dt)

    def start(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return random_fourier(self.layout, 3, generator, amplitude=self.amplitude, dtype=F64)


TURN = 2 * math.pi
CASES = {
    "Burgers": Case((128,), TURN, 4.0, 1.0, lambda y, n: SpectralBurgers(y, scalar(0.02), n)),
    "Korteweg-de Vries": Case((128,), 20.0, 2.0, 1.0, lambda y, n: KortewegDeVries(y, scalar(6.0), scalar(1.0), n)),
    "Navier-Stokes": Case((48, 48), TURN, 1.0, 3.0, lambda y, n: NavierStokes(y, scalar(0.005), substeps=n)),
    "Navier-Stokes, fourth order": Case(
        (48, 48), TURN, 4.0, 3.0, lambda y, n: NavierStokes(y, scalar(0.005), substeps=n, scheme=etdrk4)
    ),
    "Kuramoto-Sivashinsky": Case(
        (96,), 22.0, 20.0, 1.5, lambda y, n: KuramotoSivashinsky(y, scalar(1.0), scalar(1.0), scalar(1.0), n)
    ),
    "Allen-Cahn": Case((96,), 60.0, 8.0, 1.0, lambda y, n: AllenCahn(y, scalar(0.1), scalar(5.0), n)),
    "of one's own": Case((32, 32), 40.0, 4.0, 2.0, lambda y, n: SwiftHohenberg(y, n, etdrk4)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_half_of_the_estimate_is_stable_and_four_times_it_is_not(case: Case) -> None:
    start = case.start()
    step = case.make(case.layout, 1).largest_stable_step(start)
    assert 0 < step < case.layout.dt / 4
    states = rollout(case.make(case.layout, math.ceil(2 * case.layout.dt / step)), start, 3).detach()
    assert float(states.abs().max()) < 5 * float(start.abs().max())
    far = rollout_or_infinity(case.make(case.layout, math.floor(case.layout.dt / (4 * step))), start, 10)
    assert float(far.abs().max()) > 50 * float(start.abs().max())


def rollout_or_infinity(stepper: SpectralStepper, start: Tensor, num_steps: int) -> Tensor:
    try:
        return rollout(stepper, start, num_steps).detach()
    except DivergenceError:
        return torch.full_like(start, torch.inf)


@pytest.mark.parametrize("name", ["Burgers", "Korteweg-de Vries", "Navier-Stokes"])
def test_the_message_says_how_many_substeps_would_do(name: str) -> None:
    case = CASES[name]
    start = case.start()
    step = case.make(case.layout, 1).largest_stable_step(start)
    stepper = case.make(case.layout, max(1, math.floor(case.layout.dt / (8 * step))))
    with pytest.raises(
        DivergenceError, match=r"about 0\.\d+ were stable.* use at least \d+ substeps per dt"
    ) as caught:
        rollout(stepper, start, 40)
    needed = int(str(caught.value).split("use at least ")[1].split()[0])
    assert rollout(case.make(case.layout, 2 * needed), start, 3).isfinite().all()


def test_twice_the_speed_halves_the_step_and_no_sample_hides_another() -> None:
    case = CASES["Navier-Stokes"]
    stepper, start = case.make(case.layout, 1), case.start()
    step = stepper.largest_stable_step(start)
    assert stepper.largest_stable_step(2 * start) == pytest.approx(step / 2, rel=0.15)
    slow = torch.cat([start, 0.01 * start])
    assert stepper.largest_stable_step(slow) == pytest.approx(step, rel=0.15)
    assert stepper.largest_stable_step(start.float()) == pytest.approx(step, rel=0.01)


def test_a_network_in_the_equation_and_a_sample_at_rest_are_no_obstacle() -> None:
    """In single precision, without forward derivatives."""

    class Thresholded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, u: Tensor) -> Tensor:
            return -200 * u.clamp(-1, 1)

    class Learned(SwiftHohenberg):
        def nonlinearity(self, like: Tensor) -> SpectralMap:
            return lambda spectrum: self.to_spectrum(Thresholded.apply(self.to_grid(spectrum)))

    case = CASES["of one's own"]
    start = 0.3 * case.start().float()
    stepper = Learned(case.layout, scheme=etdrk4)
    step = stepper.largest_stable_step(start)
    assert step == pytest.approx(2.89 / 200, rel=0.3)
    with torch.inference_mode():
        assert stepper.largest_stable_step(torch.cat([start, 0 * start])) == pytest.approx(step, rel=0.1)


def test_what_is_exact_bears_any_step() -> None:
    layout = CASES["Burgers"].layout
    velocity = Known(torch.tensor([3.0], dtype=F64))
    assert Advection(layout, velocity).largest_stable_step(CASES["Burgers"].start()) == layout.dt
    assert SpectralBurgers(layout, scalar(1.0)).largest_stable_step(torch.zeros(1, 1, 128)) == layout.dt


def test_on_a_finer_grid_the_message_is_that_grids() -> None:
    case = CASES["Burgers"]
    inner = SpectralBurgers(case.layout.refined(2), scalar(0.02), substeps=1)
    with pytest.raises(DivergenceError, match=r"use at least \d+ substeps") as caught:
        rollout(Refined(inner, case.layout, 2), case.start(), 10)
    coarse = math.ceil(case.layout.dt / case.make(case.layout, 1).largest_stable_step(case.start()))
    assert int(str(caught.value).split("use at least ")[1].split()[0]) > coarse
