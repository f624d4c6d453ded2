"""Finite-volume steppers whose step torch.compile has turned into one piece of machine code."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from types import FunctionType

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.physics.finite_volume import CellMap, FiniteVolumeStepper


class Compiled(FiniteVolumeStepper):
    """The inner stepper, its map from one state to the next compiled; what a rollout prepares once is not.

    Numbers and gradients are the inner stepper's, to rounding. Stencils gain by it; spectral steppers would lose,
    since transforms cannot be fused. Compiling takes seconds to a minute, once for each shape and precision, for
    gradients and without, and again where the number of stages or substeps changes: fix it (stages, substeps) for a
    parameter that moves far. After eight such versions of one kind of stepper torch warns and runs further ones
    uncompiled. Needs a C++ compiler on CPUs, and no checking of shapes at run time (jaxtyping's import hook).
    """

    vmaps = False

    def __init__(self, inner: FiniteVolumeStepper) -> None:
        super().__init__(inner.layout)
        if not isinstance(inner, FiniteVolumeStepper):
            raise ValueError(
                f"{type(inner).__name__} is no FiniteVolumeStepper; only their stencils are faster compiled."
            )
        self.inner, self.remedy = inner, inner.remedy

    def needed_pace(self) -> tuple[int, ...]:
        """The inner stepper's."""
        return self.inner.pace()

    def paced(self, pace: tuple[int, ...]) -> Compiled:
        inner = self.inner.paced(pace)
        assert isinstance(inner, FiniteVolumeStepper)
        return Compiled(inner)

    def prepare(self, like: Float[Tensor, "B M *S"]) -> CellMap:
        return partial(_compiled(type(self.inner)), self.inner.prepare(like))


@cache
def _compiled(kind: type[FiniteVolumeStepper]) -> Callable[[CellMap, Tensor], Tensor]:
    """A function that compiles the map it is given.

    One for each kind of stepper, and not one for each rollout: torch takes a third of a millisecond to make one.
    """

    def advanced(advance: CellMap, cells: Tensor) -> Tensor:
        return advance(cells)

    # With code of its own, by which torch counts the versions.
    own = FunctionType(advanced.__code__.replace(), globals(), kind.__name__)
    # Not dynamic: a loop over stages is unrolled, and sizes that are known make faster code.
    compiled: Callable[[CellMap, Tensor], Tensor] = torch.compile(own, dynamic=False)
    return compiled
