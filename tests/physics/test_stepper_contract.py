"""What holds for every native stepper."""

from __future__ import annotations

import pytest
import torch
from physics_cases import CASES, Case, smooth
from torch import Tensor, nn
from torch.func import functional_call

from cotwin.parameters import Parameter
from cotwin.stepper import Stepper, rollout

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


class Rollout(nn.Module):
    """A rollout as a module's forward, for functional_call."""

    def __init__(self, stepper: Stepper, num_steps: int) -> None:
        super().__init__()
        self.stepper = stepper
        self.num_steps = num_steps

    def forward(self, state: Tensor) -> Tensor:
        return rollout(self.stepper, state, self.num_steps)


@every_case
def test_a_rollout_starts_at_the_start_and_then_follows_forward(case: Case) -> None:
    stepper = case.stepper()
    start = smooth(stepper.layout)
    states = rollout(stepper, start, 2)
    assert torch.equal(states[:, 0], start)
    assert torch.allclose(states[:, 1], stepper(start), rtol=1e-12, atol=1e-12)
    assert (states[:, 2] - start).abs().max() > 1e-3
    assert torch.equal(rollout(stepper, start, 0)[:, 0], start)


@pytest.mark.parametrize("case", [case for case in CASES if case.composes], ids=lambda case: case.name)
def test_two_rollouts_in_sequence_are_one(case: Case) -> None:
    stepper = case.stepper()
    # Not smooth: what dealiasing removes must be removed in both or in neither.
    start = (
        smooth(stepper.layout)
        + 0.05
        * torch.randn(
            2, *stepper.layout.state_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        ).repeat(2, *[1] * (stepper.layout.dims + 1))[:3]
    )
    whole = rollout(stepper, start, 5)
    parts = rollout(stepper, rollout(stepper, start, 2)[:, -1], 3)
    assert torch.allclose(whole[:, 2:], parts, rtol=0, atol=1e-13)


@every_case
def test_samples_of_a_batch_do_not_influence_each_other(case: Case) -> None:
    stepper = case.stepper()
    start = smooth(stepper.layout)
    start[0] *= 3.0
    together = rollout(stepper, start, 3)
    for sample in range(len(start)):
        alone = rollout(stepper, start[sample : sample + 1], 3)
        assert torch.allclose(together[sample], alone[0], rtol=0, atol=1e-13)


@every_case
def test_static_channels_pass_through_and_do_not_matter(case: Case) -> None:
    plain, stepper = case.stepper(), case.stepper(static=True)
    start = smooth(stepper.layout)
    states = rollout(stepper, start, 3)
    assert torch.equal(states[:, :, :1], start[:, None, :1].expand_as(states[:, :, :1]))
    assert torch.equal(states[:, :, -2:], start[:, None, -2:].expand_as(states[:, :, -2:]))
    assert torch.allclose(states[:, :, 1:-2], rollout(plain, start[:, 1:-2], 3), rtol=0, atol=1e-14)


@every_case
def test_single_precision_follows_double(case: Case) -> None:
    stepper = case.stepper()
    start = smooth(stepper.layout)
    single = rollout(stepper, start.float(), 4)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), rollout(stepper, start, 4), rtol=0, atol=1e-5)


@every_case
def test_a_stepper_cast_to_single_precision_still_works(case: Case) -> None:
    stepper = case.stepper()
    start = smooth(stepper.layout)
    exact = rollout(stepper, start, 2)
    assert torch.allclose(rollout(stepper.float(), start.float(), 2).double(), exact, rtol=0, atol=1e-5)


@every_case
def test_gradients_are_those_of_finite_differences(case: Case) -> None:
    stepper = case.stepper()
    run = Rollout(stepper, 3)
    generator = torch.Generator().manual_seed(5)
    start = smooth(stepper.layout)
    weights = torch.randn(run(start).shape, generator=generator, dtype=torch.float64)
    variables = {"state": start, **{name: value.detach() for name, value in run.named_parameters()}}
    assert len(variables) > 1

    def loss(values: dict[str, Tensor]) -> Tensor:
        parameters = {name: value for name, value in values.items() if name != "state"}
        return (weights * functional_call(run, parameters, (values["state"],))).sum()

    tracked = {name: value.clone().requires_grad_() for name, value in variables.items()}
    gradients = torch.autograd.grad(loss(tracked), list(tracked.values()))
    for (name, value), gradient in zip(variables.items(), gradients, strict=True):
        direction = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        along = [loss({**variables, name: value + step * direction}) for step in (-2e-5, -1e-5, 1e-5, 2e-5)]
        # Fourth order, so that its own error is far below the tolerance.
        numerical = float(along[0] - 8 * along[1] + 8 * along[2] - along[3]) / 12e-5
        assert float((gradient * direction).sum()) == pytest.approx(numerical, rel=1e-6), name


@every_case
def test_parameters_are_evaluated_once_a_rollout(case: Case) -> None:
    """What depends on them alone is prepared, not recomputed in every step."""
    stepper = case.stepper()
    calls: list[nn.Module] = []
    for module in stepper.modules():
        if isinstance(module, Parameter):
            module.register_forward_hook(lambda module, *_: calls.append(module))
    start = smooth(stepper.layout)
    rollout(stepper, start, 1)
    after_one = len(calls)
    rollout(stepper, start, 6)
    assert len(calls) == 2 * after_one


@every_case
def test_nothing_but_parameters_is_stored(case: Case) -> None:
    """A checkpoint holds what was estimated; buffers follow from the layout."""
    stepper = case.stepper()
    assert set(stepper.state_dict()) == {name for name, _ in stepper.named_parameters()}
