"""A pumping test: drawdowns of Theis' solution at four observation wells tell the aquifer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import exp1
from test_command import cotwin

from cotwin.layout import Field, Layout
from cotwin.parameters import Known, PointSources
from cotwin.physics.darcy import Darcy
from cotwin.stepper import rollout

T, S, RATE, WELL = 0.8, 0.5, -2.0, (0.13, -0.21)
F64 = torch.float64


def theis(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """s = Q/(4πT) W(u), u = r² S/(4 T t). Theis (1935), Eos 16."""
    r2 = (x - WELL[0]) ** 2 + (y - WELL[1]) ** 2
    return RATE / (4 * math.pi * T) * exp1(r2 * S / (4 * T * t))


def box(points: int, steps: int = 20) -> tuple[Layout, np.ndarray, np.ndarray]:
    side = (-8.0, 8.0)
    layout = Layout.box([Field("head")], grid=(points, points), extent=[side] * 2, boundary="neumann", dt=1.0 / steps)
    x, y = np.meshgrid(*(layout.points(axis) for axis in (0, 1)), indexing="ij")
    return layout, x, y


def test_drawdowns_are_those_of_theis_away_from_the_well() -> None:
    """At t = 1 nothing has reached the walls; from r = 1 on, within half a percent of the largest on 96 cells."""
    errors = []
    for points in (48, 96):
        layout, x, y = box(points)
        pumped = PointSources(Known(torch.tensor([RATE], dtype=F64)), [WELL], layout)
        aquifer = Darcy(layout, *(Known(torch.tensor(one, dtype=F64)) for one in (T, S)), wells=pumped)
        found = rollout(aquifer, torch.zeros(1, 1, points, points, dtype=F64), 20)[0, -1, 0].numpy()
        exact, r = theis(x, y, np.array(1.0)), np.hypot(x - WELL[0], y - WELL[1])
        errors.append(np.abs(found - exact)[(r > 1) & (r < 4)].max())
        assert found.sum() * layout.spacing[0] ** 2 * S == pytest.approx(RATE, rel=1e-12), "what is pumped is missing"
    assert errors[1] < 0.014 * 0.28
    assert errors[0] / errors[1] > 2.5


def test_an_aquifer_is_known_from_its_drawdowns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layout, x, y = box(40, steps=10)
    times = np.arange(11) / 10
    head = np.zeros((11, 40, 40))
    head[1:] = theis(x, y, times[1:, None, None])
    head += 0.001 * np.random.default_rng(0).standard_normal(head.shape)
    head[0] = 0.0
    seen = np.zeros(head.shape, dtype=bool)
    seen[0] = True  # before the pump runs the water is level
    for i, j in ((24, 20), (19, 24), (16, 17), (23, 23)):
        seen[:, i, j] = True
    axes = {"x": layout.points(0), "y": layout.points(1), "t": times}
    np.savez("pumped.npz", head=np.stack([head, head]), mask=np.stack([seen, seen]), boundary="neumann", **axes)
    Path("pumped.yaml").write_text(
        "data: {kind: file, path: pumped.npz, missing: mask}\n"
        "physical:\n"
        "  model: darcy\n"
        "  transmissivity: {initial: 2.0}\n"
        "  storativity: {initial: 0.2}\n"
        f"  wells: {{points: [[{WELL[0]}, {WELL[1]}]], rates: [{RATE}]}}\n"
        "estimation: {starts: exact, points: 1, resolution: off}\n"
    )
    assert cotwin("estimate", "pumped.yaml").exit_code == 0
    found = {
        one["name"]: one["value"]
        for one in json.loads(Path("runs/pumped-estimate/estimation.json").read_text())["estimates"]
    }
    assert found["transmissivity"] == pytest.approx(T, rel=0.03)
    assert found["storativity"] == pytest.approx(S, rel=0.03)
