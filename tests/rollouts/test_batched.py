"""Many sets of parameters at once, and Jacobians, for every native stepper."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from physics_cases import CASES, F64, Case, box, field, known, scalar, smooth
from torch import Tensor
from torch.func import jacfwd, jacrev

from cotwin.layout import Field
from cotwin.parameters import CoarseField, Positive, Vector
from cotwin.physics.closures import Constant, Logistic, Power
from cotwin.physics.external import ExternalStepper
from cotwin.physics.fisher import Fisher
from cotwin.physics.gray_scott import GrayScott
from cotwin.physics.heat import Heat
from cotwin.physics.shallow_water import ShallowWater
from cotwin.physics.time_steps import CellMap
from cotwin.rollouts import Refined, at_common_pace, is_batched, rollout_each, rollout_paired, rollout_with
from cotwin.stepper import DivergenceError, Stepper, rollout

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
SETS = 3


def sets(stepper: Stepper) -> dict[str, Tensor]:
    """Sets around the stepper's own parameters, by factors of up to about two."""
    generator = torch.Generator().manual_seed(2)
    return {
        name: value.detach() + 0.3 * torch.randn(SETS, *value.shape, generator=generator, dtype=value.dtype)
        for name, value in stepper.named_parameters()
    }


def one_by_one(stepper: Stepper, parameters: dict[str, Tensor], state: Tensor, num_steps: int) -> Tensor:
    paced = at_common_pace(stepper, parameters)
    return torch.stack(
        [
            rollout_with(paced, {name: values[index] for name, values in parameters.items()}, state, num_steps)
            for index in range(SETS)
        ]
    )


def test_a_parameter_in_two_places_is_one_and_is_itself_again_after_the_rollouts() -> None:
    layout = box([Field("u")], (16,), "neumann", dt=0.1)
    capacity = Positive(torch.tensor(1.0, dtype=F64))
    mobility, growth = Power(scalar(0.1), capacity, scalar(1.0)), Logistic(scalar(0.5), capacity)
    model = Fisher(layout, mobility, growth, ceiling=2.0, stages=5)
    (name,) = (name for name, value in model.named_parameters() if value is capacity.raw)
    start = 0.5 + 0.1 * smooth(layout)
    capacities = torch.tensor([1.0, 1.5], dtype=F64)
    together = rollout_each(model, {name: capacities.log()}, start, 3)
    assert float(capacity().detach()) == 1.0
    with torch.no_grad():
        for value, states in zip(capacities, together, strict=True):
            capacity.raw.copy_(value.log())
            assert torch.allclose(rollout(model, start, 3), states, rtol=0, atol=1e-13)


@every_case
def test_all_sets_at_once_are_the_sets_one_by_one(case: Case) -> None:
    """To rounding, and so are the gradients."""
    stepper = case.stepper()
    parameters = {name: values.requires_grad_() for name, values in sets(stepper).items()}
    start = smooth(stepper.layout)
    together = rollout_each(stepper, parameters, start, 3)
    apart = one_by_one(stepper, parameters, start, 3)
    assert together.shape == (SETS, len(start), 4, *stepper.layout.state_shape)
    assert torch.allclose(together, apart, rtol=0, atol=1e-13)
    weights = torch.randn(together.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    gradients = [
        torch.autograd.grad((weights * states).sum(), list(parameters.values())) for states in (together, apart)
    ]
    for name, left, right in zip(parameters, *gradients, strict=True):
        assert torch.allclose(left, right, rtol=1e-11, atol=1e-12), name
        assert (left.reshape(SETS, -1).abs().sum(dim=1) > 0).all(), name


def test_who_has_not_said_that_a_batch_of_parameters_broadcasts_is_vmapped() -> None:
    """A subclass may sum over what its base only multiplies: it has to say so itself, and so have its closures."""

    class Mean(Heat):
        def change(self, like: Tensor, interval: float) -> CellMap:
            return lambda cells: interval * self.diffusivity().mean() * (cells.mean() - cells)

    class Doubled(Constant):
        pass

    layout = box([Field("u")], (12,))
    own = Mean(layout, scalar(0.1), stages=3)
    fisher = Fisher(layout, Doubled(scalar(0.1)), Logistic(scalar(0.5), scalar(1.0)), ceiling=2.0)
    assert not is_batched(own, ["diffusivity.raw"])
    assert not is_batched(fisher, ["growth.rate.raw"])
    assert is_batched(Refined(Heat(layout, scalar(0.1)), layout.refined(1), 1), ["diffusivity.raw"])
    assert is_batched(Heat(layout, field(layout, 0.1)), ["diffusivity.coefficients.raw"])
    # On the grid itself a field could be a vector.
    assert not is_batched(Heat(layout, Positive(torch.ones(12, dtype=F64))), ["diffusivity.raw"])
    start, sets = smooth(layout, 1), {"diffusivity.raw": torch.tensor([-1.0, 0.0], dtype=F64)}
    assert torch.allclose(
        rollout_each(own, sets, start, 2)[:, 0], rollout_paired(own, sets, start.expand(2, -1, -1), 2)
    )


def test_coefficients_put_together_from_numbers_are_the_sets_one_by_one() -> None:
    layout = box([Field("u")], (12,), "neumann")
    kappa = CoarseField(Vector(scalar(0.1), known(0.2), scalar(0.4)), layout)
    heat, start = Heat(layout, kappa), smooth(layout)
    parameters = sets(heat)
    together = rollout_each(heat, parameters, start, 3)
    assert torch.allclose(together, one_by_one(heat, parameters, start, 3), rtol=0, atol=1e-13)


@every_case
def test_each_sample_may_have_its_own_parameters(case: Case) -> None:
    stepper = case.stepper()
    parameters, start = sets(stepper), smooth(stepper.layout)
    every = rollout_each(stepper, parameters, start, 2)
    own = torch.stack([every[sample, sample] for sample in range(SETS)])
    assert torch.allclose(rollout_paired(stepper, parameters, start, 2), own, rtol=0, atol=1e-13)


@every_case
def test_jacobians_of_both_modes_are_the_gradient_in_every_entry(case: Case) -> None:
    stepper = case.stepper()
    parameters = {name: value.detach() for name, value in stepper.named_parameters()}
    start = smooth(stepper.layout)
    tracked = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    states = rollout(stepper, start, 3)
    weights = torch.randn(states[:, -1].shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    last = rollout_with(stepper, tracked, start, 3)[:, -1]
    gradients = torch.autograd.grad((weights * last).sum(), list(tracked.values()))
    # A few numbers instead of the whole state, so that the reverse mode stays small; linear, so nothing is lost.
    for jacobian in (jacfwd, jacrev):
        by_name = jacobian(lambda raw: (weights * rollout_with(stepper, raw, start, 3)[:, -1]).flatten(1).sum(1))(
            parameters
        )
        for (name, value), gradient in zip(parameters.items(), gradients, strict=True):
            assert by_name[name].shape == (len(start), *value.shape)
            assert torch.allclose(by_name[name].sum(dim=0), gradient, rtol=1e-10, atol=1e-12), name


def test_the_most_demanding_set_decides_how_often_all_step() -> None:
    """Else it would be unstable: at the pace of the first, the second grows without bound."""
    layout = box([Field("u")], (24,))
    heat, start = Heat(layout, scalar(0.1)), smooth(layout)
    kappa = {"diffusivity.raw": torch.tensor([0.1, 50.0], dtype=F64).log()}
    states = rollout_each(heat, kappa, start, 20)
    assert states.abs().max() <= start.abs().max() + 1e-12
    alone = rollout(Heat(layout, scalar(0.1), stages=at_common_pace(heat, kappa).pace()[0]), start, 20)
    assert torch.allclose(states[0], alone, rtol=0, atol=1e-13)
    careless = rollout_with(heat.paced(heat.pace()), {"diffusivity.raw": kappa["diffusivity.raw"][1]}, start, 20)
    assert not careless.abs().max() < 1e3


def test_the_stepper_itself_keeps_choosing() -> None:
    layout = box([Field("u")], (24,))
    heat = Heat(layout, scalar(0.1))
    before = heat.pace()
    assert at_common_pace(heat, {"diffusivity.raw": torch.tensor([50.0], dtype=F64).log()}).pace() > before
    assert heat.pace() == before
    torch.nn.init.constant_(next(heat.parameters()), math.log(50.0))
    assert heat.pace() > before


def test_parameters_that_are_not_named_keep_their_values() -> None:
    layout = box([Field("U"), Field("V")], (8, 9), ("neumann", "periodic"))
    model, start = GrayScott(layout, scalar(0.02), scalar(0.01), scalar(0.4), scalar(0.6)), smooth(layout)
    for name, value in model.named_parameters():
        states = rollout_each(model, {name: value.detach() + torch.zeros(2, dtype=F64)}, start, 2)
        assert torch.allclose(states[1], rollout(model, start, 2), rtol=0, atol=1e-13)


def test_what_vmap_cannot_see_through_is_rolled_out_set_by_set() -> None:
    layout = box([Field("u")], (24,))
    heat, start = Heat(layout, scalar(0.1), stages=5), smooth(layout)

    def program(states: Any, dt: float, parameters: dict[str, Any]) -> Any:
        raw = {"diffusivity.raw": torch.tensor(parameters["kappa"], dtype=F64).log()}
        with torch.no_grad():
            return rollout_with(heat, raw, torch.from_numpy(states), 1)[:, 1].numpy()

    external = ExternalStepper(layout, program, {"kappa": scalar(0.1)})
    raw = torch.tensor([-2.0, -1.5, -1.0], dtype=F64)
    for rolled in (rollout_each, rollout_paired):
        tracked = [raw.clone().requires_grad_() for _ in range(2)]
        states = rolled(external, {"kappa.raw": tracked[0]}, start, 3)
        native = rolled(heat, {"diffusivity.raw": tracked[1]}, start, 3)
        assert torch.allclose(states, native, rtol=0, atol=1e-13)
        states.square().sum().backward()
        native.square().sum().backward()
        assert torch.allclose(tracked[0].grad, tracked[1].grad, rtol=1e-8, atol=0)


def test_a_set_that_diverges_leaves_the_others() -> None:
    layout = box([Field("h"), Field("u")], (24,))
    water = ShallowWater(layout, scalar(1.0), max_speed=3.0)
    start = 0.1 * smooth(layout) + torch.tensor([1.0, 0.0], dtype=F64)[:, None]
    gravity = {"gravity.raw": torch.tensor([1.0, 1e6], dtype=F64).log()}
    states = rollout_each(water, gravity, start, 5)
    assert torch.allclose(states[0], rollout(water, start, 5), rtol=0, atol=1e-13)
    assert not states[1].isfinite().all()


def test_bad_sets_are_refused_with_the_cure() -> None:
    layout = box([Field("u")], (24,))
    heat, start = Heat(layout, scalar(0.1)), smooth(layout)
    with pytest.raises(ValueError, match=r"no parameter 'kappa'; it has \['diffusivity.raw'\]"):
        rollout_each(heat, {"kappa": torch.zeros(2)}, start, 1)
    with pytest.raises(ValueError, match="must be P sets"):
        rollout_each(heat, {"diffusivity.raw": torch.zeros(2, 3)}, start, 1)
    with pytest.raises(ValueError, match="name some of"):
        rollout_each(heat, {}, start, 1)
    with pytest.raises(ValueError, match="2 sets of parameters for 3 samples"):
        rollout_paired(heat, {"diffusivity.raw": torch.zeros(2)}, start, 1)
    with pytest.raises(DivergenceError, match="set 1 of the parameters: diffusion"):
        rollout_each(heat, {"diffusivity.raw": torch.tensor([0.0, 80.0])}, start, 1)
