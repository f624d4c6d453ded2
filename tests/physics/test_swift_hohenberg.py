"""Swift-Hohenberg: how fast a small wave grows, and how high stripes become."""

from __future__ import annotations

import math

import pytest
import torch
from physics_cases import F64, scalar

from cotwin.layout import Field, Layout
from cotwin.parameters import Known
from cotwin.physics.swift_hohenberg import SwiftHohenberg
from cotwin.stepper import rollout


@pytest.mark.parametrize("growth", [0.3, -0.2])
@pytest.mark.parametrize("mode", [2, 4, 5])
def test_a_small_wave_grows_at_its_rate(growth: float, mode: int) -> None:
    """exp((r − (1 − ℓ²k²)²) t), exactly; and in any direction."""
    layout = Layout.box([Field("u")], grid=(24, 24), extent=[(0, 8 * math.pi)] * 2, boundary="periodic", dt=0.5)
    model = SwiftHohenberg(layout, Known(torch.tensor(growth, dtype=F64)), scalar(0.9))
    x = torch.tensor(layout.points(0), dtype=F64) * mode / 4
    start = 1e-6 * (torch.cos(x)[:, None] + torch.sin(x)[None, :])[None, None]
    rate = growth - (1 - 0.9**2 * (mode / 4) ** 2) ** 2
    last = rollout(model, start, 10)[:, -1]
    assert torch.allclose(last, math.exp(5 * rate) * start, rtol=1e-9, atol=1e-15)


def test_stripes_settle_at_their_height() -> None:
    """u = √(4r/3) cos(x/ℓ) for a small r."""
    layout = Layout.box([Field("u")], grid=(32,), extent=[(0, 8 * math.pi)], boundary="periodic", dt=2.0)
    model = SwiftHohenberg(layout, scalar(0.01), scalar(2.0))
    x = torch.tensor(layout.points(0), dtype=F64)
    last = rollout(model, 0.05 * torch.cos(x / 2)[None, None], 800)[0, -1, 0]
    assert torch.allclose(last, math.sqrt(0.04 / 3) * torch.cos(x / 2), atol=2e-4)
