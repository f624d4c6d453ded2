"""The equations that docs/models.md writes on the three bases: they run as shown, and do what is known of them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import torch

from cotwin.parameters import Known
from cotwin.registry import simulator
from cotwin.stepper import rollout

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)


def scope_of(block: int) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(compile(BLOCKS[block], "docs/models.md", "exec"), scope)
    return scope


def test_every_simulator_is_listed() -> None:
    listed = re.findall(r"^\| `(?:phiflow\.)?([A-Z]\w+)` \|", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(home.made for home in simulator.own().values())


def test_swift_hohenberg_grows_at_its_rate_and_settles() -> None:
    """A small wave of wavenumber one grows at r; rolls settle at an amplitude of about √(4r/3)."""
    scope = scope_of(0)
    assert scope["model"].growth.raw.grad.isfinite()
    assert scope["states"].square().mean(dim=(2, 3, 4))[:, -1].mean() > 0.05
    layout = scope["Layout"].box(
        [scope["Field"]("u")], grid=(64,), extent=[(0, 8 * math.pi)], boundary="periodic", dt=0.5
    )
    x = torch.tensor(layout.points(0), dtype=torch.float64)
    model = scope["SwiftHohenberg"](layout, Known(torch.tensor(0.05, dtype=torch.float64)))
    states = rollout(model, 1e-6 * torch.cos(x)[None, None], 20)
    assert torch.allclose(states[0, -1, 0], 1e-6 * math.exp(0.05 * 10) * torch.cos(x), atol=1e-11)
    settled = rollout(model, 0.1 * torch.cos(x)[None, None], 400)[0, -1, 0]
    assert abs(float(settled.max()) - math.sqrt(4 * 0.05 / 3)) < 0.005


def test_a_bistable_front_travels_at_its_speed() -> None:
    """u = 1/(1 + e^{x/√(2D)}) at the speed √(D/2) (1 − 2a)."""
    scope = scope_of(1)
    layout, model = scope["layout"], scope["model"].double()
    x = torch.tensor(layout.points(0), dtype=torch.float64)
    width, speed = math.sqrt(2 * 0.5), math.sqrt(0.5 / 2) * (1 - 2 * 0.2)

    def front(t: float) -> torch.Tensor:
        return 1 / (1 + torch.exp((x - 10 - speed * t) / width))

    with torch.no_grad():
        states = rollout(model, front(0)[None, None], 20)
    assert float((states[0, -1, 0] - front(10.0)).abs().max()) < 0.01


def test_a_traffic_jam_dissolves_in_a_fan() -> None:
    """From 0.9 to 0.1 the road clears along ρ = (1 − x/(v t))/2, and no car is lost."""
    scope = scope_of(2)
    layout, model = scope["layout"], scope["model"].double()
    x = torch.tensor(layout.points(0), dtype=torch.float64)
    start = torch.where((x > 2) & (x < 5), 0.9, 0.1).double()
    with torch.no_grad():
        states = rollout(model, start[None, None], 10)[0, :, 0]
    jump = 5 - layout.spacing[0] / 2  # on the face between the last dense cell and the first free one
    fan = (x - jump).abs() < 0.6
    assert torch.allclose(states[-1][fan], (1 - (x[fan] - jump)) / 2, atol=0.005)
    assert torch.allclose(states.mean(dim=1), start.mean().expand(11), atol=1e-12)
