"""Finite-volume steppers whose step torch.compile has turned into one piece of machine code."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.physics.time_steps import CellMap
from cotwin.rollouts.wrapper import Wrapper


class Compiled(Wrapper):
    """The inner stepper, its map from one state to the next compiled; what a rollout prepares once is not.

    at_once: steps of a rollout compiled in one piece. On small grids most of the time goes into calls, some 20 µs
    each. More steps at once spare calls, and take as many times longer to compile. Where something changes along a
    rollout every substep is a call.

    Numbers and gradients are the inner stepper's, to rounding, parameters and their names its own. Stencils gain by
    it; spectral steppers would lose, since transforms cannot be fused. Compiling takes seconds to a minute, once for
    each shape and precision, with gradients and without. It is done again where the number of stages or substeps
    changes: fix these for a parameter that moves far. After eight such versions of one kind of stepper torch warns
    and runs further ones uncompiled. Needs a C++ compiler on CPUs, and no checking of shapes at run time (jaxtyping's
    import hook).
    """

    batched = True
    inner: FiniteVolumeStepper

    def __init__(self, inner: FiniteVolumeStepper, at_once: int = 1) -> None:
        super().__init__(inner)
        if not isinstance(inner, FiniteVolumeStepper):
            raise ValueError(
                f"{type(inner).__name__} is no FiniteVolumeStepper; only their stencils are faster compiled."
            )
        if at_once < 1:
            raise ValueError(f"at_once is {at_once}; at least one step is needed.")
        self.at_once, self.vmaps = at_once, False

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        inner, cells = self.inner.begun(state)
        states, compiled, substeps = [cells], _compiled(type(inner)), inner.substeps_taken()
        if inner.flows:
            for count, (advance, clock) in enumerate(inner.substeps_of(cells, num_steps), start=1):
                clock.settle()
                (cells,) = compiled(advance, cells, 1, 1)
                if count % substeps == 0:
                    states.append(cells)
            return inner.ended(states, state)
        advance = inner.prepare(cells)
        for first in range(0, num_steps, self.at_once):
            states += compiled(advance, states[-1], min(self.at_once, num_steps - first), substeps)
        return inner.ended(states, state)


@cache
def _compiled(kind: type[FiniteVolumeStepper]) -> Callable[[CellMap, Tensor, int, int], list[Tensor]]:
    """A function that compiles so many steps, of so many substeps, of the map it is given.

    One for each kind of stepper, and not one for each rollout: torch takes a third of a millisecond to make one.
    """

    def advanced(advance: CellMap, cells: Tensor, count: int, substeps: int) -> list[Tensor]:
        states = []
        for _ in range(count):
            for _ in range(substeps):
                cells = advance(cells)
            states.append(cells)
        return states

    # With code of its own, by which torch counts the versions.
    own = FunctionType(advanced.__code__.replace(), globals(), kind.__name__)
    # Not dynamic: loops over steps and stages are unrolled, and sizes that are known make faster code.
    compiled: Callable[[CellMap, Tensor, int, int], list[Tensor]] = torch.compile(own, dynamic=False)
    return compiled
