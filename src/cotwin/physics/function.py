"""Any function in torch as a stepper."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.channels import put_moving, take_moving
from cotwin.physics.marching import Advance, MarchingStepper
from cotwin.physics.requirements import require_counts
from cotwin.stepper import RolloutStepper

StepFunction = Callable[[Float[Tensor, "B C *S"], float, dict[str, Tensor]], Float[Tensor, "B C *S"]]


class NamedStepper(RolloutStepper):
    """A stepper whose parameters go by the names that a user's code gives them."""

    def name_parameters(self, parameters: Mapping[str, Parameter]) -> None:
        """Take these as its own. Raises ValueError for names that the stepper has already given."""
        taken = [name for name in parameters if hasattr(self, name) or "." in name or not name]
        if taken:
            raise ValueError(
                f"parameters cannot be named {taken}, which {type(self).__name__} uses itself; rename them."
            )
        self.parameter_names = tuple(parameters)
        for name, parameter in parameters.items():
            self.add_module(name, parameter)

    def parameter_values(self) -> dict[str, Tensor]:
        """In natural units, by name."""
        return {name: self.get_submodule(name)() for name in self.parameter_names}


class FunctionStepper(NamedStepper, MarchingStepper):
    """u(t + dt) = step(u(t), dt, parameters), step any function in torch.

    step: takes a batch of states (B, C, *S), a time step and the parameters' values by name, in natural units and in
        the state's precision; returns the states one such step later, in the same shape. A module's own weights are
        learned too. What it returns in static channels is ignored.
    parameters: by the names under which step expects them.
    substeps: how often step is called for one interval of the data, each time with layout.dt / substeps.

    >>> from cotwin.layout import Field
    >>> from cotwin.parameters import Positive
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 1)], boundary="periodic", dt=0.5)
    >>> def decay(u, dt, parameters):
    ...     return u * torch.exp(-parameters["rate"] * dt)
    >>> FunctionStepper(layout, decay, {"rate": Positive(2.0)})(torch.ones(1, 1, 4)).detach()
    tensor([[[0.3679, 0.3679, 0.3679, 0.3679]]])
    """

    def __init__(
        self, layout: Layout, step: StepFunction, parameters: Mapping[str, Parameter], substeps: int = 1
    ) -> None:
        super().__init__(layout)
        require_counts(substeps=substeps)
        self.step, self.substeps = step, substeps
        self.name_parameters(parameters)

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        return torch.stack([state, *self.march(state, state, num_steps)], dim=1)

    def substeps_taken(self) -> int:
        return self.substeps

    def prepare(self, like: Float[Tensor, "B C *S"]) -> Advance:
        values = {name: value.to(like.dtype) for name, value in self.parameter_values().items()}

        def advance(state: Tensor) -> Tensor:
            stepped = self.step(state, self.layout.dt / self.substeps, values)
            require_stepped(self.step, stepped, state)
            return put_moving(take_moving(stepped, self.layout)[:, None], state, self.layout)[:, 0]

        return advance

    def extra_repr(self) -> str:
        return f"{described(self.step)}, substeps={self.substeps}"


def require_stepped(step: object, stepped: object, state: Tensor) -> None:
    """Raise ValueError unless what a user's function returned is as the states it was given."""
    if not isinstance(stepped, Tensor):
        raise ValueError(f"{described(step)} returned a {type(stepped).__name__}; it must return the states.")
    if stepped.shape != state.shape or stepped.dtype != state.dtype:
        raise ValueError(
            f"{described(step)} returned {tuple(stepped.shape)} in {stepped.dtype} for states of "
            f"{tuple(state.shape)} in {state.dtype}; it must return all channels, in the same shape and precision."
        )


def described(step: object) -> str:
    """The name of a user's function with a checksum of its source: windows of one are not taken for another's."""
    named = step if inspect.isroutine(step) else type(step)
    try:
        return f"{named.__qualname__}@{zlib.crc32(inspect.getsource(named).encode()):08x}"
    except (OSError, TypeError):  # built in, or typed into an interpreter
        return named.__qualname__
