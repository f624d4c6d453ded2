"""A user's own function in torch, as a stepper."""

from __future__ import annotations

import pytest
import torch
from physics_cases import F64, box, field, scalar, smooth
from torch import Tensor, nn

from cotwin.layout import Field
from cotwin.parameters import Known, Positive, estimates
from cotwin.physics.advection import Advection
from cotwin.physics.function import FunctionStepper
from cotwin.rollouts import Checkpointed, rollout_each
from cotwin.stepper import rollout
from cotwin.store.fingerprint import fingerprint

LAYOUT = box([Field("u")], (24,))


def shift(u: Tensor, dt: float, parameters: dict[str, Tensor]) -> Tensor:
    """Advection and diffusion, exactly, along the last axis of length 2."""
    points = u.shape[-1]
    k = torch.fft.rfftfreq(points, 1 / points, dtype=torch.float64) * torch.pi
    speed, kappa = parameters["speed"].double(), parameters["kappa"].double()
    growth = torch.exp(-dt * (1j * k * speed + kappa * k**2))
    return torch.fft.irfft(growth.to(torch.promote_types(u.dtype, torch.complex64)) * torch.fft.rfft(u), n=points)


def stepper(substeps: int = 1) -> FunctionStepper:
    return FunctionStepper(LAYOUT, shift, {"speed": scalar(0.7), "kappa": scalar(0.05)}, substeps)


@pytest.mark.parametrize("substeps", [1, 3])
def test_a_function_is_the_model_that_it_writes_down(substeps: int) -> None:
    native = Advection(LAYOUT, scalar(0.7), scalar(0.05))
    start = smooth(LAYOUT)
    assert torch.allclose(rollout(stepper(substeps), start, 4), rollout(native, start, 4), rtol=0, atol=1e-13)
    single = rollout(stepper(substeps), start.float(), 4)
    assert single.dtype == torch.float32
    assert torch.allclose(single, rollout(native, start, 4).float(), rtol=0, atol=1e-5)


def test_gradients_reach_parameters_and_start() -> None:
    model = stepper(2)
    start = smooth(LAYOUT, count=2).requires_grad_()

    def last(start: Tensor, speed: Tensor, kappa: Tensor) -> Tensor:
        raw = {"speed.raw": speed, "kappa.raw": kappa}
        return torch.func.functional_call(model, raw, (start,))

    raw = [value.detach().clone().requires_grad_() for value in model.parameters()]
    assert torch.autograd.gradcheck(last, (start, *raw))


def test_sets_of_parameters_and_checkpoints_work_as_for_native_models() -> None:
    model, native = stepper(), Advection(LAYOUT, scalar(0.7), scalar(0.05))
    start, raw = smooth(LAYOUT), torch.tensor([-1.0, 0.3], dtype=F64)
    states = rollout_each(model, {"speed.raw": raw}, start, 3)
    assert torch.allclose(states, rollout_each(native, {"velocity.raw": raw}, start, 3), rtol=0, atol=1e-13)
    assert torch.allclose(rollout(Checkpointed(model), start, 4), rollout(model, start, 4), rtol=0, atol=1e-13)


def test_fields_are_unknowns_too_and_are_reported_by_their_name() -> None:
    model = FunctionStepper(LAYOUT, lambda u, dt, p: u * torch.exp(-dt * p["rate"]), {"rate": field(LAYOUT, 0.5)})
    start = smooth(LAYOUT)
    rollout(model, start, 2).sum().backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in model.parameters())
    assert estimates(model)["rate"].shape == (24,)


def test_weights_of_a_module_are_learned() -> None:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(24, 24, dtype=F64)

        def forward(self, u: Tensor, dt: float, parameters: dict[str, Tensor]) -> Tensor:
            return u + dt * parameters["rate"] * self.net(u)

    model = FunctionStepper(LAYOUT, Step(), {"rate": Known(torch.tensor(0.5, dtype=F64))})
    assert {name for name, _ in model.named_parameters()} == {"step.net.weight", "step.net.bias"}
    rollout(model, smooth(LAYOUT), 2)


def test_static_channels_are_read_and_kept() -> None:
    layout = box([Field("rate", static=True), Field("u")], (8,))
    model = FunctionStepper(layout, lambda s, dt, p: s * torch.exp(-p["k"] * dt * s[:, :1]), {"k": scalar(1.0)})
    start = smooth(layout)
    states = rollout(model, start, 3)
    assert torch.equal(states[:, :, :1], start[:, None, :1].expand(-1, 4, -1, -1))
    expected = start[:, 1] * torch.exp(-3 * layout.dt * start[:, 0])
    assert torch.allclose(states[:, -1, 1], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda u, dt, p: u[:, 0], r"returned \(3, 24\) in torch.float64 for states of \(3, 1, 24\)"),
        (lambda u, dt, p: u.float(), "in torch.float32 for states"),
        (lambda u, dt, p: None, "returned a NoneType; it must return the states"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_name_of_the_function(step: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rollout(FunctionStepper(LAYOUT, step, {}), smooth(LAYOUT), 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        stepper(0)
    with pytest.raises(ValueError, match=r"cannot be named \['half', 'a.b'\].*rename them"):
        FunctionStepper(LAYOUT, shift, {"half": scalar(1.0), "a.b": scalar(1.0)})


def test_cached_sets_are_not_those_of_another_function() -> None:
    """Though both make the same of the first start."""

    def quiet(u: Tensor, dt: float, parameters: dict[str, Tensor]) -> Tensor:
        return u * parameters["rate"]

    def loud(u: Tensor, dt: float, parameters: dict[str, Tensor]) -> Tensor:
        return torch.where(u < 100, u * parameters["rate"], 0.0)

    starts = smooth(LAYOUT)
    keys = {fingerprint(FunctionStepper(LAYOUT, step, {"rate": Positive(0.5)}), starts, 1) for step in (quiet, loud)}
    assert len(keys) == 2
