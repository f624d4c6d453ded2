"""A user's own PhiFlow model: the one of docs/phiflow.md, and the smallest one."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("phi")

from phi.field import Field as PhiField
from phi.physics.fluid import make_incompressible
from phiml.backend import default_backend, get_precision
from phiml.math import Solve

from cotwin.layout import Field, Layout
from cotwin.parameters import Positive
from cotwin.physics.phiflow import PhiFlowStepper
from cotwin.stepper import rollout

GUIDE = Path(__file__).parents[2] / "docs" / "phiflow.md"


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """The names that the guide's code defines, after running it."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, GUIDE.name, "exec"), names)
    return names


class Projection(PhiFlowStepper):
    """∇·u = 0: takes the divergence out of the velocity; a second field tells the time."""

    tolerance = 1e-12

    def step(self, fields: dict[str, PhiField], dt: float) -> dict[str, PhiField]:
        solve = Solve("CG", rel_tol=self.tolerance, abs_tol=self.tolerance, rank_deficiency=0)
        velocity, _ = make_incompressible(fields["velocity"], solve=solve)
        return {"velocity": velocity, "clock": fields["clock"] + dt * fields["pace"]}


class Forgetful(PhiFlowStepper):
    def step(self, fields: dict[str, PhiField], dt: float) -> dict[str, PhiField]:
        return {"velocity": fields["velocity"]}


def closed_box() -> Layout:
    # Spacings that float32 cannot hold, so that a float32 matrix in a float64 solve would show.
    return Layout.box(
        [Field("velocity", 2), Field("clock"), Field("pace", static=True)],
        grid=(7, 5),
        extent=[(0, 1), (0, 1.3)],
        boundary="dirichlet",
        dt=0.25,
    )


def start(dtype: torch.dtype) -> torch.Tensor:
    state = torch.randn(2, 4, 7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    state[:, 0, 0] = 0
    state[:, 1, :, 0] = 0
    return state.to(dtype)


def largest_divergence(velocity: torch.Tensor, layout: Layout) -> float:
    """From the state's own convention: each component on the face below its cell, zero on the upper wall."""
    u, v = velocity[:, 0], velocity[:, 1]
    along_x = torch.diff(u, dim=1, append=torch.zeros_like(u[:, :1])) / layout.spacing[0]
    along_y = torch.diff(v, dim=2, append=torch.zeros_like(v[:, :, :1])) / layout.spacing[1]
    return float((along_x + along_y).abs().max())


def test_the_guide_runs_and_gives_a_gradient(guide: dict[str, Any]) -> None:
    assert guide["states"].shape == (4, 4, 3, 12, 8)
    assert guide["states"].isfinite().all()
    assert guide["smoke"].viscosity.raw.grad.abs() > 0
    assert largest_divergence(guide["states"][:, -1, :2].detach(), guide["layout"]) < 1e-4


def test_gradients_of_the_guides_model_match_finite_differences(guide: dict[str, Any]) -> None:
    """Outside any PhiFlow context, as a trainer calls backward; through pressure solves, in float64."""
    model = guide["Smoke"](guide["layout"], Positive(0.02)).double()
    generator = torch.Generator().manual_seed(2)
    state = 0.1 * torch.randn(2, 3, 12, 8, generator=generator, dtype=torch.float64)
    direction = torch.randn(2, 3, 12, 8, generator=generator, dtype=torch.float64)
    raw = model.viscosity.raw

    def loss(start: torch.Tensor) -> torch.Tensor:
        return rollout(model, start, 1)[:, -1].pow(3).sum()

    state.requires_grad_()
    by_raw, by_state = torch.autograd.grad(loss(state), [raw, state])
    with torch.no_grad():
        raw += 1e-4
        above = loss(state)
        raw -= 2e-4
        below = loss(state)
        raw += 1e-4
        # The wall faces are not read, and the gradient is zero there.
        ahead, behind = loss(state + 1e-6 * direction), loss(state - 1e-6 * direction)
    # To the tolerance of the guide's pressure solve, 1e-6.
    assert float(by_raw) == pytest.approx(float(above - below) / 2e-4, rel=1e-4)
    assert float((by_state * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-5)


def test_a_float64_solve_is_exact_after_a_float32_one() -> None:
    """PhiML caches the matrix of the first precision; each precision must have its own."""
    layout = closed_box()
    model = Projection(layout, staggered={"velocity"})
    model.tolerance = 1e-5
    assert largest_divergence(model(start(torch.float32)), layout) < 1e-3
    model.tolerance = 1e-12
    assert largest_divergence(model(start(torch.float64)), layout) < 1e-10


def test_static_fields_pass_through_and_substeps_divide_the_interval() -> None:
    layout = closed_box()
    state = start(torch.float64)
    states = rollout(Projection(layout, staggered={"velocity"}, substeps=3), state, 2)
    assert torch.equal(states[:, :, 3], state[:, 3:].expand(-1, 3, -1, -1))
    assert torch.allclose(states[:, 2, 2], state[:, 2] + 0.5 * state[:, 3])
    assert torch.allclose(states[:, 2, :2], states[:, 1, :2], atol=1e-10)


def test_a_step_that_forgets_a_field_is_told_so() -> None:
    with pytest.raises(ValueError, match=r"must return those that change, \['clock', 'velocity'\]"):
        Forgetful(closed_box())(start(torch.float32))
    with pytest.raises(ValueError, match="at least one"):
        Forgetful(closed_box(), substeps=0)


def test_defaults_are_restored_when_a_step_fails() -> None:
    before = default_backend(), get_precision()
    with pytest.raises(ValueError, match="must return"):
        Forgetful(closed_box())(start(torch.float64))
    assert (default_backend(), get_precision()) == before
