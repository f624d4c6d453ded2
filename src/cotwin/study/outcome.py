"""What came of one cell of a study: plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cotwin.training.hybrid import Role


@dataclass(frozen=True)
class Scored:
    """A model's errors over full rollouts on trajectories that chose nothing; infinite where it diverges.

    nrmse, vrmse: as `Errors` has them. per_trajectory: NRMSE of each.
    """

    nrmse: float
    vrmse: float
    per_trajectory: list[float]


@dataclass(frozen=True)
class Forward:
    """Processor time in seconds of one forward solve, of many in a batch.

    simulator: of the cheapest that is as accurate as the surrogate; None where none is.
    """

    surrogate: float
    simulator: float | None


@dataclass(frozen=True)
class Outcome:
    """One arm, trained with one seed.

    scores: of the models that it has. validation: NRMSE on what chose their weights.
    missed: relative errors of estimates whose truth is known, by name.
    estimated: the simulator's unknowns by name, numbers or, on the data's points, fields.
    steps: optimiser steps of each model that was trained.
    seconds: processor time of training, with all that is generated and validated. fixed: the part of it that
    calibrating takes. shared: that of what all arms need, states that nobody has seen; neither grows with the steps.
    memory: the most of the process, in bytes.
    forward: what a solve by the models costs; None where that was not looked for.
    notes: what went wrong, in sentences.
    """

    scores: Mapping[Role, Scored]
    validation: Mapping[Role, float]
    missed: Mapping[str, float]
    steps: Mapping[Role, int]
    seconds: float
    fixed: float = 0.0
    shared: float = 0.0
    memory: int = 0
    notes: list[str] = field(default_factory=list)
    forward: Forward | None = None
    estimated: Mapping[str, Any] = field(default_factory=dict)

    def error(self, role: Role) -> float:
        """What decides; infinite where the model diverged."""
        return self.scores[role].nrmse

    def as_json(self) -> dict[str, Any]:
        """Nested plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Outcome:
        """The inverse. null, which JSON has for numbers that are not finite, is infinity."""
        scores = {
            role: Scored(_number(one["nrmse"]), _number(one["vrmse"]), [_number(e) for e in one["per_trajectory"]])
            for role, one in values["scores"].items()
        }
        validation = {role: _number(error) for role, error in values["validation"].items()}
        forward = None if values["forward"] is None else Forward(**values["forward"])
        return cls(**{**values, "scores": scores, "validation": validation, "forward": forward})


def _number(value: float | None) -> float:
    return math.inf if value is None else float(value)
