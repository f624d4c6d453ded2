"""Gray-Scott: its resting state, its ordinary equations, its diffusion."""

from __future__ import annotations

import math

import numpy as np
import torch
from physics_cases import CONCENTRATIONS, F64, box, scalar
from scipy.integrate import solve_ivp

from cotwin.layout import Layout
from cotwin.physics.gray_scott import SpectralGrayScott
from cotwin.stepper import rollout

FEED, KILL = 0.3, 0.2


def stepper(layout: Layout, substeps: int = 1) -> SpectralGrayScott:
    return SpectralGrayScott(layout, scalar(0.2), scalar(0.08), scalar(FEED), scalar(KILL), substeps)


def test_without_the_second_substance_nothing_happens() -> None:
    layout = box(list(CONCENTRATIONS), (8, 8), dt=0.5)
    rest = torch.stack([torch.ones(8, 8, dtype=F64), torch.zeros(8, 8, dtype=F64)])[None]
    assert torch.allclose(rollout(stepper(layout), rest, 5)[:, -1], rest, rtol=0, atol=1e-14)


def test_without_space_it_is_its_ordinary_equations() -> None:
    layout = box(list(CONCENTRATIONS), (6, 6), dt=0.2)

    def rate(_: float, state: np.ndarray) -> list[float]:
        u, v = state
        return [-u * v * v + FEED * (1 - u), u * v * v - (FEED + KILL) * v]

    start = [0.7, 0.9]
    exact = solve_ivp(rate, (0, 2.0), start, rtol=1e-11, atol=1e-13).y[:, -1]
    state = torch.tensor(start, dtype=F64).view(1, 2, 1, 1).expand(1, 2, 6, 6)
    errors = []
    for substeps in (8, 16):
        end = rollout(stepper(layout, substeps), state, 10)[0, -1, :, 0, 0]
        errors.append((end - torch.tensor(exact)).norm().item())
    assert errors[1] < 1e-4
    assert 3.4 < errors[0] / errors[1] < 4.6, "second order"


def test_each_substance_diffuses_with_its_own_diffusivity() -> None:
    """A ripple on the resting state: U's decays at D_U k² + F, V's, too small to react, at D_V k² + F + K."""
    layout = box(list(CONCENTRATIONS), (12, 12), dt=0.1)
    x = torch.tensor(layout.points(0), dtype=F64)
    k = math.pi
    ripple = torch.cos(k * x)[:, None].expand(12, 12)
    start = torch.stack([1 + 1e-3 * ripple, 1e-7 * (1 + ripple)])[None]
    u, v = rollout(stepper(layout), start, 5)[0, -1]
    assert torch.allclose(u - 1, 1e-3 * ripple * math.exp(-(0.2 * k**2 + FEED) * 0.5), rtol=0, atol=1e-10)
    wave = (v - v.mean()) / 1e-7
    assert torch.allclose(wave, ripple * math.exp(-(0.08 * k**2 + FEED + KILL) * 0.5), rtol=0, atol=1e-5)
