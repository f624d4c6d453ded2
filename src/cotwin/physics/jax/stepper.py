"""A user's own JAX model as a stepper: jitted, a rollout in one scan, memory shared with torch both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.utils.dlpack
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cotwin.layout import Layout
from cotwin.parameters import Known, Parameter
from cotwin.physics.function import NamedStepper, described

Build = Callable[[Any], Callable[[jax.Array], jax.Array]]


class JaxStepper(NamedStepper):
    """u(t + dt) = build(parameters)(u(t)), build any function in JAX.

    build: takes the parameters and returns a function from one state (C, *S) to the state one layout.dt later. Called
        once a rollout, so what depends on the parameters alone belongs here. It is traced: no Python branches on the
        parameters' values. What its function returns in static channels is ignored.
    parameters: a pytree (nested dicts, lists, tuples) whose leaves are a `Parameter`, given to build by its value in
        natural units; an `nn.Parameter`, which is learned as it is; or a plain tensor, which is not learned.

    A solver of exponax is such a function itself, so a model of it is three lines:

    >>> import exponax
    >>> from cotwin.layout import Field
    >>> from cotwin.parameters import Positive
    >>> layout = Layout.box([Field("u")], grid=(64,), extent=[(0, 2)], boundary="periodic", dt=0.05)
    >>> def burgers(parameters):
    ...     return exponax.stepper.Burgers(1, 2.0, 64, 0.05, diffusivity=parameters["viscosity"])
    >>> stepper = JaxStepper(layout, burgers, {"viscosity": Positive(0.1)})
    >>> stepper(torch.randn(5, 1, 64)).shape
    torch.Size([5, 1, 64])

    Compiled once for each shape, number of steps and precision. float64 states are computed in float64 whatever
    `jax_enable_x64` says, and that setting of the process stays as it is. The gradient keeps JAX's residuals of the
    forward pass, which `Checkpointed` cannot drop: wrap the function in `jax.checkpoint` instead. Batches are
    vmapped. `torch.func` cannot see through it: for Jacobians use `jax.jacfwd` on build; `rollout_each` loops.
    """

    vmaps = False

    def __init__(self, layout: Layout, build: Build, parameters: Any) -> None:
        super().__init__(layout)
        paths, structure = jax.tree_util.tree_flatten_with_path(parameters)
        names = [jax.tree_util.keystr(path, simple=True, separator="/") or "all" for path, _ in paths]
        self.build = build
        self._compiled = _Compiled(build, structure, layout)
        self.name_parameters({name: _parameter(name, leaf) for name, (_, leaf) in zip(names, paths, strict=True)})

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        if state.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"the state is {state.dtype}; JAX models take torch.float32 or torch.float64.")
        leaves = [value.to(state.dtype) for value in self.parameter_values().values()]
        states: Tensor = _Rollout.apply(self._compiled, num_steps, state, *leaves)  # type: ignore[no-untyped-call]
        return states

    def extra_repr(self) -> str:
        return described(self.build)


class Raw(Parameter):
    """An unknown without bounds, learned as it is."""

    def __init__(self, value: nn.Parameter) -> None:
        super().__init__()
        self.raw = value

    def forward(self) -> Float[Tensor, "*K"]:
        return self.raw


class _Compiled:
    """A rollout of a JAX model, jitted, and its pullback."""

    def __init__(self, build: Build, structure: Any, layout: Layout) -> None:
        self.build, self.structure = build, structure
        self.static = np.array(layout.static_channels).reshape(-1, *[1] * layout.dims)
        self.rollout = jax.jit(self._rollout, static_argnums=0)
        self.with_pullback = jax.jit(self._with_pullback, static_argnums=(0, 1))
        self.pull_back = jax.jit(lambda pullback, gradient: pullback(gradient))

    def _rollout(self, num_steps: int, start: jax.Array, *leaves: jax.Array) -> jax.Array:
        step = self.build(jax.tree.unflatten(self.structure, leaves))

        def advance(state: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            after = jax.vmap(step)(state)
            _require_stepped(self.build, after, state)
            after = jnp.where(self.static, start, after) if self.static.any() else after
            return after, after

        _, states = jax.lax.scan(advance, start, length=num_steps)
        return jnp.moveaxis(jnp.concatenate([start[None], states]), 0, 1)

    def _with_pullback(self, num_steps: int, wanted: tuple[bool, ...], *inputs: jax.Array) -> tuple[jax.Array, Any]:
        """The rollout, and the map from its gradient to those of the inputs that are wanted."""

        def rollout(*moving: jax.Array) -> jax.Array:
            following = iter(moving)
            every = (next(following) if want else fixed for want, fixed in zip(wanted, inputs, strict=True))
            return self._rollout(num_steps, *every)

        return jax.vjp(rollout, *(value for want, value in zip(wanted, inputs, strict=True) if want))


class _Rollout(torch.autograd.Function):
    """A JAX rollout in torch's graph."""

    @staticmethod
    def forward(ctx: Any, compiled: _Compiled, num_steps: int, *inputs: Tensor) -> Tensor:
        ctx.compiled, ctx.wanted = compiled, ctx.needs_input_grad[2:]
        # Read again in backward only to see that nobody has changed them: residuals share their memory.
        ctx.save_for_backward(*inputs)
        with _precision(inputs[0]):
            arrays = [_to_jax(value) for value in inputs]
            if not any(ctx.wanted):
                return _to_torch(compiled.rollout(num_steps, *arrays))
            states, ctx.pullback = compiled.with_pullback(num_steps, ctx.wanted, *arrays)
            return _to_torch(states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        with _precision(inputs[0]):
            pulled = iter(ctx.compiled.pull_back(ctx.pullback, _to_jax(gradient)))
            return (None, None, *(_to_torch(next(pulled)) if want else None for want in ctx.wanted))


def _precision(state: Tensor) -> Any:
    """JAX in the precision of a state, in this block and this thread only."""
    return jax.enable_x64(state.dtype == torch.float64)


def _to_jax(value: Tensor) -> jax.Array | NDArray[np.floating]:
    value = value.detach().contiguous()
    if value.device.type == "cpu":
        # Jitted functions read numpy's memory in place, and take it in a twentieth of the time of dlpack.
        memory: NDArray[np.floating] = value.numpy()
        return memory
    array: jax.Array = jax.dlpack.from_dlpack(value)
    return array


def _to_torch(array: jax.Array) -> Tensor:
    # JAX may still be at work on it, and on torch's memory.
    shared: Tensor = torch.utils.dlpack.from_dlpack(array.block_until_ready())
    return shared


def _parameter(name: str, leaf: object) -> Parameter:
    if isinstance(leaf, Parameter):
        return leaf
    if isinstance(leaf, nn.Parameter):
        return Raw(leaf)
    if isinstance(leaf, Tensor):
        return Known(leaf)
    raise ValueError(
        f"the leaf {name!r} is a {type(leaf).__name__}; give a Parameter (Positive, Bounded, Known), an nn.Parameter "
        "or a tensor, and let build close over everything else."
    )


def _require_stepped(build: Build, after: object, state: jax.Array) -> None:
    if not isinstance(after, jax.Array) or after.shape != state.shape or after.dtype != state.dtype:
        found = f"{after.shape[1:]} in {after.dtype}" if isinstance(after, jax.Array) else type(after).__name__
        raise ValueError(
            f"the function of {described(build)} returned {found} for a state of {state.shape[1:]} in {state.dtype}; "
            "it must return all channels, in the same shape and precision."
        )
