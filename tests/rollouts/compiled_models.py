"""The checks of test_compiled.py: without an argument every model is captured, with a name one is compiled.

A program of its own, since what checks shapes in tests (jaxtyping's import hook) cannot be compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from physics_cases import CASES, MIXED, UV, U, box, field, scalar, smooth
from torch._dynamo.utils import counters

from cotwin.given import Course, Given
from cotwin.layout import Layout
from cotwin.parameters import Input, Wall, Walls
from cotwin.physics.burgers import Burgers
from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.physics.heat import Heat
from cotwin.rollouts import Compiled
from cotwin.stepper import rollout

MAKERS: dict[str, tuple[Layout, Callable[[Layout], FiniteVolumeStepper]]] = {
    "heat 2-D, field": (box([*U], (12, 10), MIXED), lambda layout: Heat(layout, field(layout, 0.1), stages=5)),
    "Burgers 1-D": (box([*U], (24,)), lambda layout: Burgers(layout, scalar(0.1), 2.0, substeps=2)),
    "heat 1-D, courses": (
        box([*U], (24,), (("dirichlet", "neumann"),)),
        lambda layout: Heat(
            layout,
            scalar(0.1),
            substeps=2,
            stages=7,
            source=Input("heater", 1.0),
            walls=Walls(x_lower=Wall(value=Input("wall", 1.0)), x_upper=Wall(flux=scalar(0.3))),
        ),
    ),
    "Burgers 2-D, walls": (box([*UV], (10, 14), "dirichlet"), lambda layout: Burgers(layout, scalar(0.1), 2.0, 3)),
}
GIVEN = Given.of(3, inputs={name: Course(torch.rand(3, 7, dtype=torch.float64), 2) for name in ("wall", "heater")})
AT_ONCE = {"Burgers 1-D": 2}  # of three steps: two and one, which are compiled apart


def check(name: str) -> None:
    """The same numbers and gradients to rounding, also after the parameters have changed, for which nothing is
    compiled again; in one piece each time.
    """
    layout, make = MAKERS[name]
    plain = make(layout)
    compiled = Compiled(plain, AT_ONCE.get(name, 1))
    start = smooth(layout)
    weights = torch.randn(3, 4, *layout.state_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    graphs = []
    for _ in range(3):
        results: list[list[Any]] = []
        for stepper in (plain, compiled):
            tracked = start.clone().requires_grad_()
            states = rollout(stepper, tracked, 3, GIVEN)
            gradients = torch.autograd.grad((weights * states).sum(), [tracked, *stepper.parameters()])
            results.append([states, *gradients])
        for left, right in zip(*results, strict=True):
            assert torch.allclose(left, right, rtol=1e-11, atol=1e-12)
        graphs.append(counters["stats"]["unique_graphs"])
        with torch.no_grad():
            for value in plain.parameters():
                value.add_(0.02)
    assert graphs == [AT_ONCE.get(name, 1)] * 3
    assert not counters["graph_break"]


def capture() -> None:
    """Every finite-volume model's step is one graph, with nothing in it that looks at values; and no compiler yet."""
    for case in CASES:
        stepper = case.stepper()
        if isinstance(stepper, FiniteVolumeStepper):
            torch._dynamo.reset()
            start = smooth(stepper.layout)
            step = torch.compile(stepper.prepare(start), backend="eager", fullgraph=True, dynamic=False)
            expected = stepper.prepare(start)(start)
            assert torch.allclose(step(start), expected, rtol=0, atol=1e-13), case.name


if __name__ == "__main__":
    check(sys.argv[1]) if sys.argv[1:] else capture()
