"""Checkpointed rollouts: the same numbers and gradients, in less memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from physics_cases import CASES, F64, Case, box, scalar, smooth
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from cotwin.layout import Field
from cotwin.physics.heat import Heat
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.rollouts import Checkpointed, Refined, rollout_with
from cotwin.stepper import Stepper, rollout

composing = pytest.mark.parametrize("case", [case for case in CASES if case.composes], ids=lambda case: case.name)


def states_and_gradients(stepper: Stepper, start: Tensor, num_steps: int) -> tuple[Tensor, list[Tensor]]:
    start = start.clone().requires_grad_()
    states = rollout(stepper, start, num_steps)
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    return states, list(torch.autograd.grad((weights * states).sum(), [start, *stepper.parameters()]))


@composing
@pytest.mark.parametrize("segment", [None, 2])
def test_numbers_and_gradients_are_the_same_to_rounding(case: Case, segment: int | None) -> None:
    stepper = case.stepper()
    start = smooth(stepper.layout)
    states, gradients = states_and_gradients(stepper, start, 7)
    again, checked = states_and_gradients(Checkpointed(stepper, segment), start, 7)
    assert torch.allclose(states, again, rtol=0, atol=1e-13)
    for left, right in zip(gradients, checked, strict=True):
        assert torch.allclose(left, right, rtol=1e-11, atol=1e-11)


class PeakMemory(TorchDispatchMode):
    """The most bytes that tensors made inside it held at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                self.alive[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        self.alive = {key: entry for key, entry in self.alive.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return result


def peak(stepper: Stepper, start: Tensor, num_steps: int) -> int:
    """Of a rollout and its gradient."""
    with PeakMemory() as memory:
        rollout(stepper, start, num_steps)[:, -1].square().mean().backward()
    return memory.peak


def test_other_values_put_in_for_a_rollout_alone_are_in_its_gradient_too() -> None:
    """The gradient computes segments again when the stepper has its own values back."""
    heat = Heat(box([Field("u")], (12,)), scalar(0.1))
    start, raw = smooth(heat.layout), heat.diffusivity.raw.detach() - 1.0

    def slope(stepper: Stepper) -> Tensor:
        other = raw.clone().requires_grad_()
        states = rollout_with(stepper, {"diffusivity.raw": other}, start, 6)
        return torch.autograd.grad(states.square().sum(), other)[0]

    torch.testing.assert_close(slope(Checkpointed(heat)), slope(heat))


@pytest.mark.slow
def test_memory_grows_like_the_square_root_of_the_steps() -> None:
    layout = box([Field("u")], (64,))
    heat = Heat(layout, scalar(0.5), substeps=2)
    start = smooth(layout, count=8)
    plain = [peak(heat, start, steps) for steps in (9, 36)]
    checked = [peak(Checkpointed(heat), start, steps) for steps in (9, 36)]
    assert plain[1] > 3.5 * plain[0]  # as the steps, four times as many
    assert checked[1] < 2.3 * checked[0]  # as their root, twice, and the states themselves
    assert checked[1] < plain[1] / 4


def test_of_each_segment_only_its_start_is_saved() -> None:
    layout = box([Field("u")], (24,))
    heat, start = Heat(layout, scalar(0.5)), smooth(layout)

    def saved(stepper: Stepper) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.numel()), t)[1], lambda t: t):
            stepper.rollout(start, 25)
        return sum(sizes)

    assert saved(heat) > 25 * start.numel()
    assert saved(Checkpointed(heat)) == 5 * start.numel()


def test_a_rollout_that_cannot_be_cut_is_refused_and_may_be_wrapped_inside() -> None:
    layout = box([Field("u")], (15,))
    inner = SpectralBurgers(layout.refined(2), scalar(0.1), substeps=2)
    with pytest.raises(ValueError, match=r"put the wrapper inside: Refined\(Checkpointed"):
        Checkpointed(Refined(inner, layout, 2))
    start = smooth(layout)
    states = rollout(Refined(inner, layout, 2), start, 5)
    assert torch.allclose(rollout(Refined(Checkpointed(inner), layout, 2), start, 5), states, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="at least 1 step"):
        Checkpointed(inner, 0)


def test_without_gradients_nothing_is_computed_twice() -> None:
    layout = box([Field("u")], (24,))
    heat, start = Heat(layout, scalar(0.5)), smooth(layout)
    with torch.no_grad():
        assert torch.allclose(rollout(Checkpointed(heat), start, 5), rollout(heat, start, 5), rtol=0, atol=1e-14)
