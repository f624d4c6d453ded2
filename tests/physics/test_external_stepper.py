"""A program without gradients, as a stepper: its rollouts, and derivatives by finite differences."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from physics_cases import F64, box, scalar, smooth
from torch import Tensor

from cotwin.layout import Field
from cotwin.parameters import Bounded, CoarseField, Known, Positive
from cotwin.physics.burgers import Burgers
from cotwin.physics.external import ExternalStepper, one_by_one
from cotwin.rollouts import Checkpointed, rollout_with
from cotwin.stepper import Effort, ProgramError, rollout

LAYOUT = box([Field("u")], (24,))
NATIVE = Burgers(LAYOUT, scalar(0.1), max_speed=2.0, substeps=4)


def burgers(states: np.ndarray[Any, Any], dt: float, parameters: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The native model from outside, in numbers alone; changes what it was given, as programs do."""
    assert dt == LAYOUT.dt
    assert isinstance(parameters["viscosity"], float)
    with torch.no_grad():
        raw = {"viscosity.raw": torch.tensor(parameters["viscosity"], dtype=F64).log()}
        after = rollout_with(NATIVE, raw, torch.from_numpy(states), 1)[:, 1].numpy()
    states[:] = np.nan
    return after


def gradient(stepper: torch.nn.Module, start: Tensor, num_steps: int) -> Tensor:
    states = rollout(stepper, start, num_steps)  # type: ignore[arg-type]
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    (slope,) = torch.autograd.grad((weights * states).sum(), list(stepper.parameters()))
    return slope


def test_rollouts_and_gradients_are_those_of_the_model_itself() -> None:
    external = ExternalStepper(LAYOUT, burgers, {"viscosity": scalar(0.1)})
    start = smooth(LAYOUT)
    assert torch.allclose(rollout(external, start, 5), rollout(NATIVE, start, 5), rtol=0, atol=1e-14)
    assert torch.allclose(gradient(external, start, 5), gradient(NATIVE, start, 5), rtol=1e-8, atol=0)


def test_states_and_parameters_may_be_in_single_precision() -> None:
    external = ExternalStepper(LAYOUT, burgers, {"viscosity": Positive(0.1)})
    start = smooth(LAYOUT)
    states = rollout(external, start.float(), 5)
    assert states.dtype == torch.float32
    assert torch.allclose(states.double(), rollout(NATIVE, start, 5), rtol=0, atol=1e-6)
    slope = gradient(external, start.float(), 5)
    assert torch.allclose(slope.double(), gradient(NATIVE, start, 5), rtol=1e-5, atol=0)


def test_a_start_that_requires_gradients_is_refused_with_the_ways_out() -> None:
    external = ExternalStepper(LAYOUT, burgers, {"viscosity": scalar(0.1)})
    start = smooth(LAYOUT).requires_grad_()
    with pytest.raises(ValueError, match=r"has none to its start.*in one call.*state.detach\(\)"):
        rollout(external, start, 1)
    with pytest.raises(ValueError, match="in one call"):
        external(external(smooth(LAYOUT)))
    assert torch.isfinite(gradient(external, start.detach(), 1))
    with torch.no_grad():
        rollout(external, start, 1)
        external(external(start))


def test_every_number_of_every_parameter_is_differentiated_and_bounds_are_kept() -> None:
    seen = []

    def mix(states: np.ndarray[Any, Any], dt: float, p: dict[str, Any]) -> np.ndarray[Any, Any]:
        seen.append(p["share"])
        return states + dt * p["share"] * p["rate"] * states**2 - dt * p["loss"] * states + dt * p["known"]

    share = Bounded(torch.tensor(1 - 5e-6, dtype=F64), 0.0, 1.0)
    rate = CoarseField(Positive(torch.tensor([0.3, 0.5, 0.4], dtype=F64)), LAYOUT)
    parameters = {"share": share, "rate": rate, "loss": scalar(0.2), "known": Known(torch.tensor(0.3, dtype=F64))}
    external = ExternalStepper(LAYOUT, mix, parameters, substeps=2)
    start = smooth(LAYOUT)
    states = rollout(external, start, 3)
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    found = torch.autograd.grad((weights * states).sum(), list(external.parameters()))

    u, h = [start], LAYOUT.dt / 2
    for _ in range(6):
        u.append(u[-1] + h * share() * rate() * u[-1] ** 2 - h * parameters["loss"]() * u[-1] + h * 0.3)
    right = torch.autograd.grad((weights * torch.stack(u[::2], dim=1)).sum(), list(external.parameters()))
    for mine, true in zip(found, right, strict=True):
        assert torch.allclose(mine, true, rtol=1e-7, atol=1e-9), (mine, true)
    assert len(seen) == 6 + 2 * 5 * 6  # the rollout, and two for each of five numbers
    assert max(seen) < 1  # though a step of 6e-6 from the value itself would lead beyond


def test_too_many_unknowns_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"9 unknown numbers would take 18 more rollouts.*coarser.*FunctionStepper"):
        rollout(ExternalStepper(LAYOUT, burgers, {"viscosity": Positive(torch.ones(9))}), smooth(LAYOUT), 1)


def test_without_unknowns_it_is_a_plain_simulator() -> None:
    external = ExternalStepper(LAYOUT, burgers, {"viscosity": Known(torch.tensor(0.1, dtype=F64))})
    start = smooth(LAYOUT)
    assert torch.allclose(rollout(external, start, 2), rollout(NATIVE, start, 2), rtol=0, atol=1e-14)


def test_a_program_of_its_own_process_on_single_states() -> None:
    """Numbers in on one end, numbers out on the other."""
    code = "import sys; f, *u = map(float, sys.stdin.read().split()); print(*(f * x for x in u))"

    def halve(state: np.ndarray[Any, Any], dt: float, parameters: dict[str, Any]) -> np.ndarray[Any, Any]:
        assert state.shape == (1, 24)
        text = " ".join(map(repr, [parameters["factor"], *state.ravel().tolist()]))
        run = subprocess.run(
            [sys.executable, "-S", "-c", code], input=text, capture_output=True, text=True, check=True
        )
        return np.array(run.stdout.split(), dtype=float).reshape(state.shape)

    external = ExternalStepper(LAYOUT, one_by_one(halve), {"factor": scalar(0.5)})
    start = smooth(LAYOUT, count=2)
    states = rollout(external, start, 2)
    assert torch.allclose(states[:, 2], start / 4, rtol=1e-14, atol=0)
    (slope,) = torch.autograd.grad(states[:, 2].square().sum(), list(external.parameters()))
    # factor⁴ u², derived to the factor's logarithm
    assert float(slope) == pytest.approx(4 / 16 * float(start.square().sum()), rel=1e-8)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda u, dt, p: u[:, 0], r"returned an array \(3, 24\) of float64 for states of \(3, 1, 24\).*one_by_one"),
        (lambda u, dt, p: u.tolist(), "returned list"),
        (lambda u, dt, p: u + 1j, "of complex128"),
    ],
)
def test_what_does_not_fit_is_refused(program: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rollout(ExternalStepper(LAYOUT, program, {}), smooth(LAYOUT), 1)


def test_static_channels_are_read_and_kept() -> None:
    layout = box([Field("rate", static=True), Field("u")], (8,))
    external = ExternalStepper(layout, lambda s, dt, p: s * s[:, :1], {})
    start = smooth(layout)
    states = rollout(external, start, 2)
    assert torch.equal(states[:, :, :1], start[:, None, :1].expand(-1, 3, -1, -1))
    assert torch.allclose(states[:, 2, 1], start[:, 1] * start[:, 0] ** 2, rtol=1e-13, atol=0)


def test_calls_of_the_program_are_counted_over_all_copies() -> None:
    called = [0]

    def decay(state: np.ndarray[Any, Any], dt: float, parameters: dict[str, Any]) -> np.ndarray[Any, Any]:
        called[0] += 1
        return state * np.exp(-parameters["rate"] * dt)

    external = ExternalStepper(LAYOUT, one_by_one(decay), {"rate": scalar(0.5)}, substeps=2)
    states = rollout(copy.deepcopy(external), smooth(LAYOUT), 3)
    assert (external.effort.rollouts, external.effort.calls) == (3, called[0]) == (3, 3 * 3 * 2)
    torch.autograd.grad(states.sum(), list(external.parameters()), allow_unused=True)
    before = replace(external.effort)
    rollout(Checkpointed(external.paced(()), None), smooth(LAYOUT), 1)
    assert external.effort.calls == called[0]
    assert external.effort.since(before) == Effort(rollouts=3, calls=6)


def test_a_killed_program_is_named_with_its_end() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

    def dies(states: np.ndarray[Any, Any], dt: float, parameters: dict[str, Any]) -> np.ndarray[Any, Any]:
        subprocess.run([sys.executable, "-S", "-c", code], check=True)
        return states

    with pytest.raises(ProgramError, match=r"dies.* failed in call 1, with rate 0.5: CalledProcessError: .*SIGKILL"):
        rollout(ExternalStepper(LAYOUT, dies, {"rate": scalar(0.5)}), smooth(LAYOUT), 1)


def test_a_program_that_would_end_everything_is_named() -> None:
    """sys.exit would end the command that called it, without a word."""

    def ends(states: Any, dt: float, parameters: dict[str, float]) -> Any:
        sys.exit(3)

    stepper = ExternalStepper(box([Field("u")], (8,)), ends, {"rate": scalar(0.5)})
    with pytest.raises(ProgramError, match=r"ends.* failed in call 1, with rate 0.5: SystemExit: 3"):
        rollout(stepper, smooth(stepper.layout), 1)
