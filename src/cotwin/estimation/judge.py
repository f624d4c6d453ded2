"""What a model is worth on data that did not train it, and what there is to say against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch

from cotwin.estimation.note import Note
from cotwin.layout import Layout
from cotwin.stepper import Stepper


@runtime_checkable
class Errors(Protocol):
    """Of full rollouts: The Well's VRMSE, and the NRMSE that decides."""

    @property
    def vrmse(self) -> float: ...

    @property
    def nrmse(self) -> float: ...


@runtime_checkable
class Judge(Protocol):
    """What measures a model on data that did not train it, such as `HeldOut`."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its states."""

    def measure(self, stepper: Stepper) -> Errors: ...

    def baselines(self, layout: Layout) -> Mapping[str, Errors]: ...


def worse_than_start(name: str, error: float, start: float, which: str) -> list[Note]:
    """A sentence if a model has a larger NRMSE than before, by a percent or more."""
    if not error > 1.01 * start:
        return []
    return [
        Note(
            "worse_than_start",
            f"The {name} is worse than the start: {which} NRMSE {error:.3g}, {start:.3g} at the start.",
        )
    ]


def no_better(name: str, error: float, rivals: Mapping[str, float], which: str) -> list[Note]:
    """A sentence for each rival whose NRMSE is not larger, by a percent or more."""
    return [
        Note(
            "no_better_than_baseline",
            f"The {name} is no better than {rival}: {which} NRMSE {error:.3g} against {other:.3g}.",
        )
        for rival, other in rivals.items()
        if not error < 0.99 * other
    ]


def smallest(errors: Mapping[str, float]) -> dict[str, float]:
    """The smallest alone."""
    name = min(errors, key=lambda one: errors[one])
    return {name: errors[name]}
