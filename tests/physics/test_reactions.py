"""Any rate law: its ordinary equations, another discretisation, a flow that carries, Gray-Scott as one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from physics_cases import CONCENTRATIONS, F64, box, field, known, scalar, smooth
from scipy.integrate import solve_ivp
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.advection_diffusion_reaction import AdvectionDiffusionReaction
from cotwin.physics.gray_scott import GrayScott
from cotwin.physics.rate_laws import Rate, brusselator, fitzhugh_nagumo, lotka_volterra
from cotwin.stepper import rollout

LAWS = {
    "brusselator": (brusselator, {"a": 1.0, "b": 2.5}),
    "fitzhugh_nagumo": (fitzhugh_nagumo, {"epsilon": 0.3, "a": 0.7, "b": 0.8, "current": 0.5}),
    "lotka_volterra": (lotka_volterra, {"growth": 1.1, "predation": 0.4, "gain": 0.3, "death": 0.8}),
}


def made(layout: Layout, law: str, spread: tuple[float, float], **further: object) -> AdvectionDiffusionReaction:
    rate, numbers = LAWS[law]
    parameters = {name: scalar(value) for name, value in numbers.items()}
    return AdvectionDiffusionReaction(layout, rate, tuple(map(known, spread)), parameters, **further)


def exactly(law: str, start: np.ndarray, until: float, laplacian: np.ndarray, spread: tuple[float, float]) -> Tensor:
    """By scipy, of states (2, points); laplacian: of the points."""
    rate, numbers = LAWS[law]

    def change(_: float, flat: np.ndarray) -> np.ndarray:
        u = flat.reshape(2, -1)
        reacted = rate(torch.from_numpy(u)[None], {name: torch.tensor(one) for name, one in numbers.items()})
        return (np.array(spread)[:, None] * (u @ laplacian.T) + reacted[0].numpy()).ravel()

    return torch.from_numpy(
        solve_ivp(change, (0, until), start.ravel(), rtol=1e-9, atol=1e-11).y[:, -1].reshape(2, -1)
    )


@pytest.mark.parametrize("law", LAWS)
def test_without_space_it_is_its_ordinary_equations(law: str) -> None:
    layout = box(list(CONCENTRATIONS), (3, 4), "neumann", dt=0.1)
    start = torch.tensor([1.2, 0.7], dtype=F64)
    exact = exactly(law, start.numpy(), 2.0, np.zeros((1, 1)), (0.0, 0.0))
    errors = []
    for substeps in (4, 8):
        model = made(layout, law, (0.1, 0.02), substeps=substeps)
        end = rollout(model, start.view(1, 2, 1, 1).expand(1, 2, 3, 4), 20)[0, -1, :, :1, 0].detach()
        errors.append(float((end - exact).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.5)
    assert errors[1] < 1e-3


@pytest.mark.parametrize("speed", [0.0, 0.4])
def test_waves_of_a_reaction_are_those_of_a_spectral_method(speed: float) -> None:
    """By Fourier collocation, which shares nothing with the cells; what a steady flow carries is only moved."""
    n, spread, until = 32, (0.02, 0.01), 1.0
    k = 2 * np.pi * np.fft.fftfreq(n, 1 / n)
    laplacian = np.fft.ifft(-(k**2)[:, None] * np.fft.fft(np.eye(n), axis=0), axis=0).real

    def begun(x: np.ndarray) -> np.ndarray:
        return np.stack([1 + 0.3 * np.sin(2 * np.pi * x), 2.5 + 0.4 * np.cos(2 * np.pi * x)])

    exact = exactly("brusselator", begun(np.arange(n) / n), until, laplacian, spread)
    waves = torch.fft.rfft(exact) * torch.exp(-2j * math.pi * torch.arange(n // 2 + 1) * speed * until)
    exact = torch.fft.irfft(waves, n)
    errors = []
    for points in (32, 64):
        layout = Layout.box(CONCENTRATIONS, grid=(points,), extent=[(0, 1.0)], boundary="periodic", dt=0.01)
        velocity = known([speed]) if speed else None
        model = made(layout, "brusselator", spread, velocity=velocity)
        start = torch.from_numpy(begun(np.array(layout.points(0))))[None]
        errors.append(float((rollout(model, start, 100)[0, -1, :, :: points // n].detach() - exact).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.6)
    assert errors[1] < 5e-3


def gray_scott(u: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    a, b = u.chunk(2, dim=1)
    feed, consumed = parameters["feed"], a * b * b
    return torch.cat([feed * (1 - a) - consumed, consumed - (feed + parameters["kill"]) * b], dim=1)


def test_gray_scott_is_one_of_them() -> None:
    layout = box(list(CONCENTRATIONS), (9, 10), ("dirichlet", "neumann"), dt=0.2)
    rates = {"feed": scalar(0.3), "kill": scalar(0.2)}
    general = AdvectionDiffusionReaction(
        layout, gray_scott, (known(0.2), known(0.08)), rates, fastest_reaction=0.5, substeps=1
    )
    special = GrayScott(layout, known(0.2), known(0.08), **rates)
    start = 0.5 + 0.1 * smooth(layout)
    assert torch.allclose(rollout(general, start, 5), rollout(special, start, 5), rtol=0, atol=1e-13)


def test_a_law_that_does_not_fit_is_refused_with_the_cure() -> None:
    layout = box(list(CONCENTRATIONS), (6, 7))
    both = (scalar(0.1), scalar(0.2))

    def refused(message: str, rate: Rate, parameters: Mapping[str, float], spread: tuple = both) -> None:
        with pytest.raises(ValueError, match=message):
            AdvectionDiffusionReaction(layout, rate, spread, {name: scalar(one) for name, one in parameters.items()})

    refused(
        "brusselator.* asks for the parameter 'b'; those that it is given are a, d", brusselator, {"a": 1, "d": 2}
    )
    refused(r"returned \(1, 1, 6, 7\) for states \(1, 2, 6, 7\)", lambda u, _: u[:, :1], {})
    refused(r"shape \(3,\) for 2 species: give one for each, or one for all", brusselator, {}, (*both, scalar(1.0)))
    refused("cannot be named", brusselator, {"source": 1.0})
    assert (
        AdvectionDiffusionReaction(layout, lambda u, _: -u, (field(layout, 0.1),), {})(smooth(layout))
        .isfinite()
        .all()
    )
