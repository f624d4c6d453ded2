"""Errors of four models, side by side: of one seed, so figures and no verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from cotwin.estimation.judge import no_better, smallest, worse_than_start
from cotwin.parameters import Parameter, estimated, estimates
from cotwin.stepper import Stepper
from cotwin.training.held_out import HeldOut
from cotwin.training.hybrid import Role

Training = Literal["together", "alone"]
ONE_SEED = "One seed is no verdict on training together: cotwin compare, with the same settings, gives one."


@dataclass(frozen=True)
class Score:
    """One model's error over full rollouts.

    validation, test: mean VRMSE, as The Well has it; test is None where no test trajectories are set aside.
    validation_nrmse, test_nrmse: the error that decides (`cotwin.training.held_out.Errors`).
    per_trajectory, over_time: NRMSE of each scored trajectory and at each scored time. Of the test set where there
        is one, else of the validation set.
    """

    role: Role
    training: Training
    validation: float
    test: float | None
    validation_nrmse: float
    test_nrmse: float | None
    per_trajectory: list[float]
    over_time: list[float]

    @property
    def decisive(self) -> float:
        """The error that counts: NRMSE, of the test set where there is one."""
        return self.validation_nrmse if self.test_nrmse is None else self.test_nrmse


@dataclass(frozen=True)
class Estimate:
    """An estimated parameter in natural units, beside its start and, where it is known, the truth.

    rows: what each of its numbers is of, where it has a value for each group or time.
    """

    name: str
    unit: str
    truth: Tensor | None
    start: Tensor
    together: Tensor
    alone: Tensor
    rows: tuple[str, ...] = ()

    def error(self, value: Tensor) -> float | None:
        """Relative error ‖value − truth‖ / ‖truth‖; None where the truth is not known."""
        if self.truth is None:
            return None
        # One number may be the truth of a field, or a field that of one number.
        value, truth = torch.broadcast_tensors(value, self.truth)
        return float((value - truth).norm() / truth.norm())


@dataclass(frozen=True)
class Comparison:
    """Four models, two trained together and the same two trained alone with the same optimiser steps.

    start: NRMSE of the simulator before training. baselines: NRMSE of what needs no model, by name. Both on the test
    set where there is one, else on the validation set.
    about: what a person should know of the held-out data.
    """

    scores: list[Score]
    estimates: list[Estimate]
    start: float
    baselines: dict[str, float]
    about: tuple[str, ...] = ()

    def score(self, role: Role, training: Training) -> Score:
        """One of the four."""
        return next(s for s in self.scores if (s.role, s.training) == (role, training))

    def figures(self, role: Role) -> str:
        """In one sentence, a model's errors together and alone. Of one seed: no verdict."""
        together, alone = self.score(role, "together"), self.score(role, "alone")
        name = {"physical": "simulator", "synthetic": "surrogate"}[role]
        which = "validation" if together.test is None else "test"
        if together.per_trajectory == alone.per_trajectory and math.isfinite(together.decisive):
            return (
                f"The {name}: {which} NRMSE {together.decisive:.4g}, together as alone: nothing generated changed it."
            )
        sizes = ", ".join(
            f"{score.decisive:.4g} {score.training}"
            if math.isfinite(score.decisive)
            else f"infinite {score.training}, where it diverges"
            for score in (together, alone)
        )
        pairs = list(zip(together.per_trajectory, alone.per_trajectory, strict=True))
        smaller = sum(a < b for a, b in pairs)
        return f"The {name}: {which} NRMSE {sizes}; smaller together on {smaller} of {len(pairs)} trajectories."

    def remarks(self) -> list[str]:
        """What speaks against the models trained together, in sentences; none where nothing does."""
        simulator, surrogate = self.score("physical", "together"), self.score("synthetic", "together")
        which = "validation" if simulator.test is None else "test"
        rivals = {"the surrogate": surrogate.decisive, **smallest(self.baselines)}
        return [
            *worse_than_start("simulator", simulator.decisive, self.start, which),
            *no_better("simulator", simulator.decisive, rivals, which),
            *no_better("surrogate", surrogate.decisive, smallest(self.baselines), which),
        ]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for result.json."""
        return {
            "scores": [vars(score) for score in self.scores],
            "estimates": [
                {
                    "name": e.name,
                    "unit": e.unit,
                    **({"groups": e.rows} if e.rows else {}),
                    "truth": None if e.truth is None else e.truth.tolist(),
                    "start": e.start.tolist(),
                    "together": e.together.tolist(),
                    "alone": e.alone.tolist(),
                    "relative_error_together": e.error(e.together),
                    "relative_error_alone": e.error(e.alone),
                }
                for e in self.estimates
            ],
            "start_nrmse": self.start,
            "baselines_nrmse": self.baselines,
            "about_held_out": self.about,
            "said": [self.figures("synthetic"), self.figures("physical"), ONE_SEED, *self.remarks()],
        }


def score(
    role: Role,
    training: Training,
    stepper: Stepper,
    validation: HeldOut,
    test: HeldOut | None,
) -> Score:
    """A model's errors on the held-out and, this once, on the test trajectories."""
    validated = validation.measure(stepper)
    tested = None if test is None else test.measure(stepper)
    decisive = validated if tested is None else tested
    return Score(
        role=role,
        training=training,
        validation=validated.vrmse,
        test=None if tested is None else tested.vrmse,
        validation_nrmse=validated.nrmse,
        test_nrmse=None if tested is None else tested.nrmse,
        per_trajectory=decisive.nrmse_of_trajectories,
        over_time=decisive.nrmse_over_time,
    )


def compare(
    models: Mapping[tuple[Role, Training], Stepper],
    start: Stepper,
    truth: Mapping[str, Tensor],
    validation: HeldOut,
    test: HeldOut | None,
) -> Comparison:
    """Score all four models and set the estimates beside each other.

    start: the physical model before training. truth: known parameters by name, perhaps none.
    """
    scores = [score(*which, model, validation, test) for which, model in models.items()]
    started, paths = estimates(start), estimated(start)
    together, alone = estimates(models["physical", "together"]), estimates(models["physical", "alone"])
    found = []
    for name in started:
        values = (start.at_data_points(values[name]) for values in (started, together, alone))
        parameter = start.get_submodule(paths[name])
        assert isinstance(parameter, Parameter)
        begun, hybrid, single = values
        found.append(Estimate(name, parameter.unit, truth.get(name), begun, hybrid, single, parameter.rows))
    decisive = validation if test is None else test
    baselines = {name: errors.nrmse for name, errors in decisive.baselines(start.layout).items()}
    about = tuple(one.about for one in (validation, test) if one is not None and one.about)
    return Comparison(scores, found, decisive.error(start), baselines, about)
