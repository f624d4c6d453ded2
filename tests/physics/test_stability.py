"""No parameter blows a stepper up: over many decades a rollout stays bounded, or is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from physics_cases import CASES, F64, Case, box, smooth

from cotwin.layout import Field, Layout
from cotwin.parameters import Known, Parameter
from cotwin.physics.advection_diffusion import AdvectionDiffusion
from cotwin.physics.burgers import Burgers
from cotwin.physics.heat import Heat
from cotwin.physics.incompressible import IncompressibleFlow
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.stepper import DivergenceError, Stepper, rollout

MAKERS: dict[str, Callable[[Layout, Parameter], Stepper]] = {
    "spectral Burgers": lambda layout, nu: SpectralBurgers(layout, nu, substeps=4),
    "Burgers": lambda layout, nu: Burgers(layout, nu, max_speed=4.0),
    "heat": Heat,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grid", [(48,), (10, 12)])
@pytest.mark.parametrize("name", MAKERS)
def test_energy_never_grows_whatever_the_parameter(name: str, grid: tuple[int, ...], dtype: torch.dtype) -> None:
    """Scalars from 1e-2 to 1e9 and fields spread over eight decades around them."""
    layout = box([Field("u", components=len(grid))], grid, dt=0.05)
    start = 0.5 * smooth(layout, modes=1).to(dtype)
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for decade in range(-2, 10):
        for spread in (0.0, 4.0):
            exponents = decade + spread * (2 * torch.rand(grid, generator=generator, dtype=F64) - 1)
            value = torch.tensor(10.0**decade, dtype=F64) if spread == 0.0 else 10.0**exponents
            try:
                states = rollout(MAKERS[name](layout, Known(value)), start, 2)
            except DivergenceError:
                refused += 1
                continue
            energy = states.double().square().flatten(2).sum(dim=-1)
            assert states.isfinite().all()
            assert (energy <= 1.001 * energy[:, :1]).all(), (decade, spread)
    assert refused < 24
    assert name != "spectral Burgers" or refused == 0


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), spread=st.floats(0.1, 1.0), size=st.floats(0.01, 30.0))
def test_any_parameters_and_states_end_finite_or_in_the_documented_error(
    case: Case, seed: int, spread: float, size: float
) -> None:
    """Parameters e^(spread · normal) times those of the case, rough states of any size."""
    stepper = case.stepper()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in stepper.parameters():
            value.add_(spread * torch.randn(value.shape, generator=generator, dtype=value.dtype))
    state = size * torch.randn(1, *stepper.layout.state_shape, generator=generator, dtype=F64)
    try:
        states = rollout(stepper, state, 2)
    except DivergenceError:
        return
    assert states.isfinite().all()


def test_states_faster_than_expected_are_named_with_their_speed() -> None:
    layout = box([Field("u", components=2)], (12, 12), dt=0.5)
    with pytest.raises(
        DivergenceError, match=r"\|u\| was up to \d+\.?\d* .*so fast, raise max_speed, 0\.5; else a front"
    ):
        rollout(Burgers(layout, Known(1e-3), 0.5), 40 * smooth(layout), 20)
    with pytest.raises(DivergenceError, match=r"\|u\| was up to \d+\.?\d*, and max_speed is 0\.5: raise it"):
        rollout(IncompressibleFlow(layout, Known(1e-3), 0.5), 40 * smooth(layout), 20)


def test_a_front_too_steep_for_the_grid_is_said_to_be() -> None:
    layout = box([Field("u", components=2)], (16, 16), "dirichlet", dt=0.2)
    start = smooth(layout)
    with pytest.raises(DivergenceError, match="on the way: a front too steep for the grid"):
        rollout(Burgers(layout, Known(1e-4), 12 * float(start.abs().max())), start, 60)


COARSE = box([Field("u", components=2)], (12, 12), dt=0.5)
TOO_FEW: dict[str, tuple[Stepper, str]] = {
    "stages": (Heat(COARSE, Known(10.0), stages=3), r"3 stages are stable up to 10: give more stages"),
    "substeps, by friction": (IncompressibleFlow(COARSE, Known(1.0), 0.1, substeps=1), "need 41.7 substeps per dt"),
    "substeps, by the wind": (
        AdvectionDiffusion(COARSE, Known(torch.tensor([20.0, 20.0])), Known(1e-3), substeps=2),
        "velocity needs 57.8 substeps per dt, and 2 are taken",
    ),
}


@pytest.mark.parametrize("name", TOO_FEW)
def test_steps_that_were_fixed_at_too_few_are_named_as_the_cause(name: str) -> None:
    stepper, says = TOO_FEW[name]
    rough = torch.randn(1, *COARSE.state_shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    with pytest.raises(DivergenceError, match=says):
        rollout(stepper, rough, 60)
