"""What a stepper promises, it promises in every wrapper."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from physics_cases import F64, SMOKE, box, scalar, smooth
from torch import Tensor, nn

from cotwin.layout import Field
from cotwin.physics.burgers import Burgers
from cotwin.physics.incompressible import IncompressibleFlow
from cotwin.rollouts import Checkpointed, Coarsened, Compiled, Refined, Substepped
from cotwin.stepper import Stepper

LAYOUT = box([Field("u")], (9,), "dirichlet")


class Precise(Burgers):
    """Has a precision, a buffer, a weight of its own and a remedy, as others may."""

    def __init__(self) -> None:
        super().__init__(LAYOUT.refined(2), scalar(0.1), 2.0)
        self.weight = nn.Parameter(torch.ones(3, dtype=F64))
        self.register_buffer("mask", torch.ones(2, dtype=F64))

    @property
    def dtype(self) -> torch.dtype:
        return F64

    def remedy(self, before: Tensor) -> str:
        return f"take {before.shape[-1]} points"

    def largest_stable_step(self, state: Tensor) -> float:
        return float(state.shape[-1])


WRAPPED: dict[str, Callable[[Precise], Stepper]] = {
    "checkpointed": Checkpointed,
    "coarsened": lambda inner: Coarsened(inner, inner.layout.refined(2), 2),
    "compiled": Compiled,
    "refined": lambda inner: Refined(inner, LAYOUT, 2),
    "substepped": lambda inner: Substepped(inner, replace(inner.layout, dt=3 * inner.layout.dt), 3),
    "all": lambda inner: Refined(Checkpointed(Compiled(inner)), LAYOUT, 2),
}
each = pytest.mark.parametrize("name", WRAPPED)


@each
def test_it_promises_what_the_inner_stepper_does(name: str) -> None:
    inner = Precise()
    stepper = WRAPPED[name](inner)
    state = smooth(stepper.layout)
    assert (stepper.dtype, stepper.device, stepper.pace()) == (F64, torch.device("cpu"), inner.pace())
    assert stepper.remedy(state) == "take 18 points"
    assert stepper.largest_stable_step(state) == 18
    assert stepper.solver_layout == inner.layout
    assert [name for name, _ in stepper.named_parameters()] == ["weight", "viscosity.raw"]
    assert stepper.state_dict().keys() == inner.state_dict().keys()
    with pytest.raises(ValueError, match=r"computes in torch\.float64"):
        stepper.require_state(state.float())
    assert not stepper.eval().training
    assert not inner.training


@each
def test_it_can_be_given_a_pace_and_shares_its_parameters_then(name: str) -> None:
    stepper = WRAPPED[name](Precise())
    paced = stepper.paced((31,))
    assert type(paced) is type(stepper)
    assert (paced.pace(), stepper.pace()) == ((31,), Precise().pace())
    assert dict(paced.named_parameters())["viscosity.raw"] is dict(stepper.named_parameters())["viscosity.raw"]


@each
def test_moved_and_copied_it_stays_whole(name: str) -> None:
    stepper = WRAPPED[name](Precise())
    twin = deepcopy(stepper).to("meta")
    assert (twin.device.type, stepper.device.type) == ("meta", "cpu")
    inner = twin
    while "inner" in vars(inner):
        inner = inner.inner
        assert {value.device.type for value in (*inner.parameters(), *inner.buffers())} == {"meta"}


def test_faces_and_what_vmap_sees_through() -> None:
    layout = box([SMOKE[0]], (5, 6), "dirichlet")
    flow = IncompressibleFlow(layout.refined(2), scalar(0.1), 2.0)
    refined = Refined(flow, layout, 2)
    assert refined.staggered == Checkpointed(flow).staggered == {"velocity"}
    assert (refined.vmaps, refined.composes) == (True, False)
    assert (Checkpointed(flow).vmaps, Checkpointed(flow).composes) == (True, True)
    assert not Compiled(Precise()).vmaps
