"""Rollouts as functions of a stepper's parameters, for many sets of them at once and for Jacobians.

Parameters are named and shaped as in `stepper.named_parameters()`: raw, as the optimiser sees them. What is not
named keeps the stepper's own value. P sets of them are stacked along a first axis. Nothing here raises
`DivergenceError` for a rollout, since one set that diverges should not end the others: its states are not finite.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from cotwin.given import Given
from cotwin.parameters import CoarseField
from cotwin.stepper import DivergenceError, Stepper, rolled, takes_samples


def rollout_with(
    stepper: Stepper,
    parameters: Mapping[str, Tensor],
    state: Float[Tensor, "B C *S"],
    num_steps: int,
    given: Given | None = None,
) -> Float[Tensor, "B T C *S"]:
    """The rollout with these parameters: a pure function, which `torch.func` differentiates (jacfwd, jacrev).

    For `vmap` the stepper must be at a pace of its own: see `at_common_pace`.

    >>> from cotwin.layout import Field, Layout
    >>> from cotwin.parameters import Positive
    >>> from cotwin.physics.heat import Heat
    >>> layout = Layout.box([Field("u")], grid=(8,), extent=[(0, 1)], boundary="neumann", dt=0.01)
    >>> heat = Heat(layout, Positive(0.1))
    >>> raw = {name: value.detach() for name, value in heat.named_parameters()}
    >>> last = lambda raw: rollout_with(heat, raw, torch.arange(8.0).view(1, 1, 8), 5)[0, -1, 0]
    >>> torch.func.jacfwd(last)(raw)["diffusivity.raw"].shape
    torch.Size([8])
    """
    named = {f"stepper.{name}": value for name, value in parameters.items()}
    states: Tensor = _call(_Rollout(stepper, num_steps, given), named, state)
    return states


def rollout_each(
    stepper: Stepper,
    parameters: Mapping[str, Tensor],
    state: Float[Tensor, "B C *S"],
    num_steps: int,
    given: Given | None = None,
) -> Float[Tensor, "P B T C *S"]:
    """The rollout from every state with every one of P sets of parameters."""
    stepper.require_state(state)
    every = state.expand(_count(stepper, parameters), *state.shape)
    return rollout_sets(stepper, parameters, every, num_steps, given)


def rollout_sets(
    stepper: Stepper,
    parameters: Mapping[str, Tensor],
    states: Float[Tensor, "P B C *S"],
    num_steps: int,
    given: Given | None = None,
) -> Float[Tensor, "P B T C *S"]:
    """The rollouts with each of P sets of parameters from B states of its own, of which the same is given."""
    stepper.require_state(states[0])
    paced = at_common_pace(stepper, parameters)
    if _count(stepper, parameters) != len(states):
        raise ValueError(f"{_count(stepper, parameters)} sets of parameters for {len(states)} sets of states.")
    if not stepper.vmaps:
        pairs = zip(_unstacked(parameters), states.unbind(), strict=True)
        return torch.stack([rollout_with(paced, one, start, num_steps, given) for one, start in pairs])
    if is_batched(stepper, parameters):
        each = {name: values.repeat_interleave(states.shape[1], dim=0) for name, values in parameters.items()}
        every = None if given is None else given.repeated(len(states))
        flat = _rollout_batch(paced, each, states.flatten(0, 1), num_steps, every)
        return flat.view(*states.shape[:2], *flat.shape[1:])
    # Each set with its own view of the states: vmap cannot add in place to what only the states determine.
    rolled: Tensor = torch.func.vmap(lambda values, start: rollout_with(paced, values, start, num_steps, given))(
        dict(parameters), states
    )
    return rolled


def rollout_paired(
    stepper: Stepper, parameters: Mapping[str, Tensor], state: Float[Tensor, "B C *S"], num_steps: int
) -> Float[Tensor, "B T C *S"]:
    """The rollout of each sample with a set of parameters of its own, B sets."""
    stepper.require_state(state)
    paced = at_common_pace(stepper, parameters)
    if _count(stepper, parameters) != len(state):
        raise ValueError(f"{_count(stepper, parameters)} sets of parameters for {len(state)} samples; give as many.")
    if not stepper.vmaps:
        pairs = zip(_unstacked(parameters), state.unbind(), strict=True)
        return torch.cat([rollout_with(paced, one, start[None], num_steps) for one, start in pairs])
    if is_batched(stepper, parameters):
        return _rollout_batch(paced, parameters, state, num_steps)
    rolled: Tensor = torch.func.vmap(lambda values, start: rollout_with(paced, values, start[None], num_steps)[0])(
        dict(parameters), state
    )
    return rolled


def is_batched(stepper: Stepper, parameters: Collection[str]) -> bool:
    """Whether all that the stepper is made of says that it takes these parameters for each sample.

    That spares `vmap`, which on small grids costs as much as the arithmetic.
    """
    return takes_samples(stepper) and set(parameters) <= set(_broadcasting(stepper))


def _rollout_batch(
    paced: Stepper,
    parameters: Mapping[str, Tensor],
    state: Float[Tensor, "B C *S"],
    num_steps: int,
    given: Given | None = None,
) -> Float[Tensor, "B T C *S"]:
    """`rollout_paired` where `is_batched`: sets get an axis for the channels, scalars also those of space."""
    ones = (1,) * paced.layout.dims
    shaped = {name: values.view(len(values), 1, *(values.shape[1:] or ones)) for name, values in parameters.items()}
    return rollout_with(paced, shaped, state, num_steps, given)


def _broadcasting(stepper: Stepper) -> list[str]:
    """Names of what broadcasts against states: scalars, and coefficients of fields, which have the axes of space.

    Not what is put together to such coefficients, a scalar for each, say.
    """
    fields = tuple(f"{path}.coefficients." for path, one in stepper.named_modules() if isinstance(one, CoarseField))
    dims = stepper.solver_layout.dims
    return [
        name for name, value in stepper.named_parameters() if value.ndim == (dims if name.startswith(fields) else 0)
    ]


def at_common_pace(stepper: Stepper, parameters: Mapping[str, Tensor]) -> Stepper:
    """The stepper at the pace that the most demanding of P sets needs, so that it may be vmapped over all of them.

    Without any set, at that of its own parameters.

    Raises DivergenceError, naming the set, if one is beyond all reason.
    """
    if parameters:
        _count(stepper, parameters)
    if stepper.fixed_pace is not None:
        return stepper
    if type(stepper).needed_pace is Stepper.needed_pace:
        return stepper.paced(())
    paces = []
    for index, one in enumerate(_unstacked(parameters) if parameters else [{}]):
        named = {f"stepper.{name}": value for name, value in one.items()}
        try:
            paces.append(_call(_Pace(stepper), named))
        except DivergenceError as error:
            raise DivergenceError(f"set {index} of the parameters: {error}") from error
    return stepper.paced(tuple(max(counts) for counts in zip(*paces, strict=True)))


def _call(module: nn.Module, named: Mapping[str, Tensor], *arguments: Tensor) -> Any:
    """The module with these parameters in place of its own."""
    # Tied, a parameter that stands in two places of a stepper would be put in twice, and never taken out again.
    return functional_call(module, dict(named), arguments, tie_weights=False)


class _Rollout(nn.Module):
    """A rollout as a module's forward, for functional_call."""

    def __init__(self, stepper: Stepper, num_steps: int, given: Given | None) -> None:
        super().__init__()
        self.stepper, self.num_steps, self.given = stepper, num_steps, given

    def forward(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B T C *S"]:
        return rolled(self.stepper, state, self.num_steps, self.given)


class _Pace(nn.Module):
    """A stepper's pace, likewise."""

    def __init__(self, stepper: Stepper) -> None:
        super().__init__()
        self.stepper = stepper

    def forward(self) -> tuple[int, ...]:
        return self.stepper.pace()


def _unstacked(parameters: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The sets one by one."""
    columns = zip(*(values.unbind() for values in parameters.values()), strict=True)
    return [dict(zip(parameters, column, strict=True)) for column in columns]


def _count(stepper: Stepper, parameters: Mapping[str, Tensor]) -> int:
    """How many sets there are. Raises ValueError where a name or a shape does not fit the stepper."""
    own = dict(stepper.named_parameters())
    if not parameters:
        raise ValueError(f"no parameters given; name some of {sorted(own)}.")
    for name, values in parameters.items():
        if name not in own:
            raise ValueError(f"{type(stepper).__name__} has no parameter {name!r}; it has {sorted(own)}.")
        if values.ndim == 0 or values.shape[1:] != own[name].shape:
            raise ValueError(
                f"{name} of shape {tuple(values.shape)} must be P sets of shape {tuple(own[name].shape)} each, "
                f"{('P', *own[name].shape)}."
            )
    counts = {name: len(values) for name, values in parameters.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(f"every parameter needs the same number of sets, at least one; got {counts}.")
    return next(iter(counts.values()))
