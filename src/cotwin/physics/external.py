"""Any program without gradients as a stepper: derivatives to a few parameters by finite differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.physics.channels import put_moving, take_moving
from cotwin.physics.function import NamedStepper, described
from cotwin.physics.requirements import require_counts
from cotwin.stepper import DivergenceError, Effort, ProgramError

States = NDArray[np.float64]
Program = Callable[[States, float, dict[str, float | States]], States]

MAX_UNKNOWNS = 8


class ExternalStepper(NamedStepper):
    """u(t + dt) = program(u(t), dt, parameters), program anything that can be called with numbers.

    program: takes a batch of states, an array (B, C, *S) in double precision, a time step, and the parameters' values
        by name, floats (arrays where a parameter is one); returns the states one such step later, an array in the
        same shape. For one that takes a single state (C, *S): `one_by_one(program)`. It must be deterministic. What
        it returns in static channels is ignored.
    parameters: by the names under which program expects them; where gradients are asked for, of at most 8 numbers
        in all. Estimations take more, which are differences of whole rollouts themselves, or an ensemble.
    substeps: how often program is called for one interval of the data, each time with layout.dt / substeps.
    difference: by which the raw parameters are moved up and down; about the cube root of the program's relative
        rounding error, so 5e-3 for a program in single precision. In raw parameters, so bounds are never left.

    Derivatives to the parameters: central differences of whole rollouts, two more rollouts for each number. To the
    start there are none, since they would take two rollouts for each value of the state. A start that requires
    gradients is refused, so that it is not taken for a constant. So are steps one by one: the second depends on the
    parameters through its start. Roll out in one call, which is differentiated as a whole.

    A program that raises, for instance since a process of its own was killed, ends a rollout by `ProgramError`.
    """

    vmaps = False
    differentiable = False

    def __init__(
        self,
        layout: Layout,
        program: Program,
        parameters: Mapping[str, Parameter],
        substeps: int = 1,
        difference: float = 6e-6,
    ) -> None:
        super().__init__(layout)
        require_counts(substeps=substeps)
        if not 0 < difference < 0.1:
            raise ValueError(f"difference is {difference}; give a small positive number, such as 6e-6.")
        self.program, self.substeps, self.difference = program, substeps, difference
        self._effort = Effort()
        self.name_parameters(parameters)

    @property
    def effort(self) -> Effort:
        """Of the program, by this stepper and its copies."""
        return self._effort

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        if torch.is_grad_enabled() and state.requires_grad:
            raise ValueError(
                f"the start requires gradients, and {_named(self.program)} has none to its start. Where the start "
                "came from earlier steps, roll out all steps in one call; where only the parameters matter, give "
                "state.detach(); for the gradient to the start, write the model in torch or JAX."
            )
        known = dict(self.named_parameters())
        if torch.is_grad_enabled():
            _require_few(sum(value.numel() for value in known.values() if value.requires_grad))
        states: Tensor = _Differences.apply(self, state, num_steps, tuple(known), *known.values())  # type: ignore[no-untyped-call]
        return states

    def extra_repr(self) -> str:
        return f"{_named(self.program)}, substeps={self.substeps}"

    def run(self, state: Float[Tensor, "B C *S"], num_steps: int, raw: Mapping[str, Tensor]) -> Tensor:
        """The rollout with raw parameters, on the CPU, in double precision, without gradients."""
        values = {
            name: value.item() if value.ndim == 0 else value.detach().cpu().numpy()
            for name, value in self._values(raw).items()
        }
        start = state.detach().cpu().double()
        states = [start]
        self._effort.rollouts += len(start)
        for _ in range(num_steps * self.substeps):
            before = states[-1].numpy().copy()  # a program may work in place
            self._effort.calls += len(before) if isinstance(self.program, OneByOne) else 1
            after = self._called(before, values)
            _require_states(self.program, after, before.shape)
            moved = take_moving(torch.from_numpy(np.array(after, dtype=np.float64)), self.layout)
            states.append(put_moving(moved[:, None], start, self.layout)[:, 0])
        return torch.stack(states[:: self.substeps], dim=1)

    def _called(self, before: States, values: Mapping[str, float | States]) -> object:
        try:
            return self.program(before, self.layout.dt / self.substeps, dict(values))
        except DivergenceError:
            raise
        except (Exception, SystemExit) as error:  # whatever a program of the user's raises, or how it ends
            given = ", ".join(f"{name} {_shortly(value)}" for name, value in values.items())
            raise ProgramError(
                f"{_named(self.program)} failed in call {self._effort.calls}, with {given or 'no parameters'}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _values(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The parameters' values with other raw numbers."""
        values = {}
        for name in self.parameter_names:
            own = {key.removeprefix(f"{name}."): value for key, value in raw.items() if key.startswith(f"{name}.")}
            values[name] = functional_call(self.get_submodule(name), own, ())
        return values


class OneByOne:
    """A program for batches from one for single states (C, *S); each state is a call."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __call__(self, states: States, dt: float, parameters: dict[str, float | States]) -> States:
        return np.stack([self.program(state, dt, parameters) for state in states])


def one_by_one(program: Program) -> Program:
    """A program for batches from one for single states (C, *S)."""
    return OneByOne(program)


class _Differences(torch.autograd.Function):
    """A rollout of a program, differentiated to the raw parameters by central differences."""

    @staticmethod
    def forward(
        ctx: Any, stepper: ExternalStepper, state: Tensor, num_steps: int, names: tuple[str, ...], *raw: Tensor
    ) -> Tensor:
        ctx.stepper, ctx.num_steps, ctx.names = stepper, num_steps, names
        ctx.save_for_backward(state, *raw)
        return stepper.run(state, num_steps, _in_double(names, raw)).to(state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        state, *raw = ctx.saved_tensors
        weights = gradient.cpu().double()
        slopes: list[Tensor | None] = []
        for name, value, needed in zip(ctx.names, raw, ctx.needs_input_grad[4:], strict=True):
            if not needed:
                slopes.append(None)
                continue
            slope = torch.zeros(value.numel(), dtype=torch.float64)
            for entry in range(value.numel()):
                ends = []
                for sign in (1, -1):
                    moved = _in_double(ctx.names, raw)
                    moved[name].view(-1)[entry] += sign * ctx.stepper.difference
                    ends.append((weights * ctx.stepper.run(state, ctx.num_steps, moved)).sum())
                slope[entry] = (ends[0] - ends[1]) / (2 * ctx.stepper.difference)
            slopes.append(slope.view(value.shape).to(value))
        return (None, None, None, None, *slopes)


def _in_double(names: tuple[str, ...], raw: tuple[Tensor, ...] | list[Tensor]) -> dict[str, Tensor]:
    """Copies, so that single precision does not round the differences away."""
    return {
        name: value.detach().double().clone(memory_format=torch.contiguous_format)
        for name, value in zip(names, raw, strict=True)
    }


def _require_states(program: Program, after: object, shape: tuple[int, ...]) -> None:
    if not isinstance(after, np.ndarray) or after.shape != shape or after.dtype.kind not in "fiu":
        found = f"an array {after.shape} of {after.dtype}" if isinstance(after, np.ndarray) else type(after).__name__
        raise ValueError(
            f"{_named(program)} returned {found} for states of {shape}; it must return real numbers for all "
            "channels, in the same shape. For a program on single states (C, *S): one_by_one(program)."
        )


def _require_few(count: int) -> None:
    if count > MAX_UNKNOWNS:
        raise ValueError(
            f"{count} unknown numbers would take {2 * count} more rollouts for each gradient; finite differences "
            f"are for at most {MAX_UNKNOWNS}. Estimate them alone (cotwin estimate), or fewer (a coarser field), "
            "or write the model in torch (FunctionStepper) or JAX (cotwin.physics.jax), which have gradients."
        )


def _named(program: Program) -> str:
    return described(program.program if isinstance(program, OneByOne) else program)


def _shortly(value: float | States) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"from {value.min():.6g} to {value.max():.6g}"
