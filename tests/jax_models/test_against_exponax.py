"""The spectral simulators against exponax, an independent solver of the same equations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
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
    SpectralGrayScott,
    random_fourier,
)
from cotwin.physics.exponential import etdrk2
from cotwin.stepper import Stepper, rollout

exponax = pytest.importorskip("exponax")
jax = pytest.importorskip("jax")

LENGTH, DT, STEPS = 2 * math.pi, 0.1, 5


def known(value: float | list[float]) -> Known:
    return Known(torch.tensor(value, dtype=torch.float64))


@dataclass(frozen=True)
class Case:
    """Ours with so many substeps; theirs with dims, length, points and dt given. sign: of the state in theirs.

    Both take the same steps in time; what is left is how each removes aliases, and which form of a product it takes.
    """

    dims: int
    fields: tuple[Field, ...]
    ours: Callable[[Layout, int], Stepper]
    theirs: Callable[..., Any]
    mean: float = 0.0
    sign: int = 1
    tolerance: float = 1e-6
    substeps: int = 4
    order_of_theirs: int = 2


U = (Field("u"),)
CASES = {
    "advection-diffusion": Case(
        2,
        U,
        lambda y, n: Advection(y, known([0.7, 0.7]), known(0.05)),
        lambda *a: exponax.stepper.AdvectionDiffusion(*a, velocity=0.7, diffusivity=0.05),
    ),
    "Burgers 1-D": Case(
        1,
        U,
        lambda y, n: SpectralBurgers(y, known(0.05), n),
        lambda *a: exponax.stepper.Burgers(*a, diffusivity=0.05, conservative=True),
    ),
    "Burgers 2-D": Case(
        2,
        (Field("u", 2),),
        lambda y, n: SpectralBurgers(y, known(0.05), n),
        lambda *a: exponax.stepper.Burgers(*a, diffusivity=0.05),
    ),
    "Burgers 3-D": Case(
        3,
        (Field("u", 3),),
        lambda y, n: SpectralBurgers(y, known(0.1), n),
        lambda *a: exponax.stepper.Burgers(*a, diffusivity=0.1),
        tolerance=2e-5,
    ),
    "Korteweg-de Vries": Case(
        1,
        U,
        lambda y, n: KortewegDeVries(y, known(0.9), known(0.05), n, etdrk2),
        lambda *a: exponax.stepper.KortewegDeVries(
            *a, convection_scale=0.9, dispersivity=0.05, hyper_diffusivity=0.0, conservative=True
        ),
        # Their coefficients are real parts, which for an imaginary L loses an order.
        order_of_theirs=1,
    ),
    "Kuramoto-Sivashinsky 1-D": Case(
        1,
        U,
        lambda y, n: KuramotoSivashinsky(y, known(0.9), known(0.2), known(0.1), n, etdrk2),
        lambda *a: exponax.stepper.KuramotoSivashinskyConservative(
            *a, convection_scale=0.9, second_order_scale=0.2, fourth_order_scale=0.1
        ),
    ),
    "Allen-Cahn": Case(
        2,
        U,
        lambda y, n: AllenCahn(y, known(0.05), known(1.0), n, etdrk2),
        lambda *a: exponax.stepper.reaction.AllenCahn(*a, diffusivity=0.05),
    ),
    "Gray-Scott": Case(
        2,
        (Field("U"), Field("V")),
        lambda y, n: SpectralGrayScott(y, known(0.05), known(0.02), known(0.4), known(0.6), n),
        lambda *a: exponax.stepper.reaction.GrayScott(
            *a, diffusivity_1=0.05, diffusivity_2=0.02, feed_rate=0.4, kill_rate=0.6
        ),
        mean=0.5,
        # They take the feed as part of N, so the two differ by errors in time.
        tolerance=2e-5,
        substeps=16,
    ),
    # Their vorticity turns the other way round.
    "Navier-Stokes": Case(
        2,
        (Field("vorticity"),),
        lambda y, n: NavierStokes(y, known(0.02), known(0.1), substeps=n),
        lambda *a: exponax.stepper.NavierStokesVorticity(*a, diffusivity=0.02, drag=-0.1),
        sign=-1,
    ),
}


# Their two-dimensional Kuramoto-Sivashinsky equation has no mixed fourth derivatives, so it is another one.


def theirs(case: Case, start: Tensor, points: int, substeps: int) -> Tensor:
    """The last state by exponax, in double precision."""
    with jax.enable_x64(True):
        stepper = case.theirs(case.dims, LENGTH, points, DT / substeps)
        many = exponax.RepeatedStepper(stepper, STEPS * substeps)
        ends = [np.asarray(many(jax.numpy.asarray(case.sign * state.numpy()))) for state in start]
    assert ends[0].dtype == np.float64
    return case.sign * torch.tensor(np.stack(ends))


@pytest.mark.parametrize("name", CASES)
def test_both_approach_one_solution(name: str) -> None:
    case = CASES[name]
    points = {1: 96, 2: 64, 3: 24}[case.dims]
    layout = Layout.box(
        case.fields, grid=(points,) * case.dims, extent=[(0, LENGTH)] * case.dims, boundary="periodic", dt=DT
    )
    noise = random_fourier(layout, 1, torch.Generator().manual_seed(0), modes=2, amplitude=0.2, dtype=torch.float64)
    start = case.mean + noise

    def difference(substeps: int) -> float:
        ours = rollout(case.ours(layout, substeps), start, STEPS)[:, -1]
        other = theirs(case, start, points, substeps)
        return float((ours - other).norm() / (other - start).norm())

    if case.order_of_theirs == 1:
        coarse, fine = difference(8), difference(16)
        assert coarse / fine == pytest.approx(2, abs=0.1)
        assert fine < 5e-3
    else:
        assert difference(case.substeps) < case.tolerance
