"""The simulator of an estimation, solved more finely: what its settings are then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from cotwin.estimation import Estimation
from cotwin.estimation.estimate import again
from cotwin.estimation.finer_fields import with_finer_fields
from cotwin.estimation.information import FullInformation
from cotwin.estimation.levels import with_unsure_levels
from cotwin.estimation.linear import Linearised
from cotwin.estimation.note import Note
from cotwin.estimation.pooled import with_unsure_spreads
from cotwin.estimation.resolution import (
    FAULTS,
    Finer,
    Kind,
    Shift,
    interpolated,
    on_interpolation,
    on_shift,
    shift,
    unchecked,
    without_errors,
)
from cotwin.estimation.stages import UNSEEN, Stages
from cotwin.estimation.start_noise import with_noise_of_starts
from cotwin.estimation.unknowns import Unknowns
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.declared import suggested
from cotwin.experiment.learner_settings import PhysicalSettings, Rollout
from cotwin.experiment.outside import with_data
from cotwin.experiment.settings import Data, Simulated
from cotwin.experiment.simulators import build_physical
from cotwin.layout import Layout
from cotwin.registry import simulator
from cotwin.rollouts import Substepped
from cotwin.rollouts.substepped import shortened
from cotwin.rollouts.wrapper import Wrapper
from cotwin.stepper import Stepper

REPETITIONS, MOST_COST = 2, 10.0
CALLS = 4096
"""Points of all rollouts of a batch, for which a step takes about as long as for the calls it is made of."""
MOST_REFINED = 64
"""The largest `physical.refine`."""


@dataclass(frozen=True)
class Solving:
    """How an estimate's simulator was solved, and could be more finely.

    physical: its settings. data: the training data, and what they are from. found: the estimate. stages: what becomes
    of those of the next one.
    """

    physical: PhysicalSettings
    data: Dataset
    source: Data
    found: Estimation
    stages: Stages = UNSEEN

    @property
    def known(self) -> PhysicalSettings:
        """The settings with what the data tell of parameters, whatever the step of a simulator is."""
        return with_data(self.physical, self.data.given, self.data.train.duration)

    def of_data(self, kind: Kind) -> float:
        """How many times finer the data were solved, where the simulator itself generated them; else infinite."""
        if not isinstance(self.source, Simulated):
            return math.inf
        return self.source.refine / self.physical.refine if kind == "grid" else 1.0

    def finer(self, kind: Kind) -> Finer:
        """A grid twice as fine, or three times, since a staggered one takes odd factors alone; steps half as long."""
        data = self.of_data(kind)
        if kind == "grid":
            least = 3 if self.found.stepper.staggered else 2
            return Finer(kind, self._on_grid, least, self._grid_settings, data, MOST_REFINED / self.physical.refine)
        return Finer(kind, self._with_steps, 2, self._step_settings, data)

    def factors(self, numerics: Mapping[Kind, Shift | str], most: float) -> dict[Kind, int]:
        """By which to solve more finely where a shift is too large; none where that would cost more than so much."""
        if Unknowns(self.found.stepper).closures:
            # Their weights are held in what an estimate keeps of its problem.
            return {}
        if self.found.ensemble is not None:
            # It would be repeated by derivatives.
            return {}
        large = {
            kind: one
            for kind, one in numerics.items()
            if kind in FAULTS and isinstance(one, Shift) and one.largest > 1
        }
        factors = {kind: one.factor(self.finer(kind)) for kind, one in large.items()}
        while factors and self.cost(factors) > most:
            largest = max(factors, key=lambda kind: factors[kind])
            factors[largest] //= self.finer(largest).factor
            if factors[largest] == 1:
                return {}
        return factors

    def cost(self, factors: Mapping[Kind, int]) -> float:
        """Of the same estimation solved so much more finely, by that of this one.

        A search takes its rollouts in batches of about a Jacobian; a step costs the calls that it takes, and its
        points.
        """
        solver, z = (
            self.found.stepper.solver_layout,
            len(self.found.problem.unknowns) + self.found.problem.starts.size,
        )
        points = (1 + z) * len(self.found.starts) * math.prod(solver.grid)
        grid, steps = factors.get("grid", 1), factors.get("steps", 1)
        return grid * steps * float(CALLS + points * grid**solver.dims) / (CALLS + points)

    def settings(self, factors: Mapping[Kind, int]) -> dict[str, int]:
        """Of the simulator so much finer."""
        changes: dict[str, int] = {}
        for kind, factor in factors.items():
            for name, value in self.finer(kind).settings(factor).items():
                changes[name] = max(value, changes.get(name, 1))
        return changes

    def again(self, changes: Mapping[str, int]) -> Solving:
        """Estimated again with other settings."""
        physical = self.physical.model_copy(update=changes)
        stepper = build_physical(physical, self.data.layout, self.data.train.states, self.data.given).to(
            self.found.stepper.device
        )
        # Searches with another finer model would begin from the same numbers: a stage that tells them apart.
        self.stages.take("finer", [self.found.z, self.found.z.new_tensor(list(changes.values()))], dict)
        found = with_noise_of_starts(with_unsure_spreads(again(self.found, stepper, self.stages)))
        found = with_finer_fields(with_unsure_levels(found))
        return replace(self, physical=physical, found=found)

    @cached_property
    def linear(self) -> Linearised:
        """The problem around the estimate."""
        return self.found.linear

    @property
    def substeps(self) -> int | None:
        """That the simulator takes in each interval of the data; None where it has no such setting."""
        return substeps_of(self.physical, self.found.stepper)

    def _on_grid(self, factor: int) -> tuple[Stepper, Stepper]:
        finer = self._built(self._grid_settings(factor))
        # Held against as many substeps on the present grid, so that the difference is the grid's alone.
        needed = substeps_of(self.physical, self.found.problem.on(finer).stepper)
        if needed is None or needed == self.substeps:
            return finer, self.found.stepper
        return finer, self._built({"substeps": needed})

    def _grid_settings(self, factor: int) -> dict[str, int]:
        refine = {"refine": self.physical.refine * factor}
        suggest = suggested(simulator.find(self.physical.model)).get("substeps")
        if self.substeps is None:
            return refine
        if suggest is None:
            held, field = getattr(self.physical, "substeps", None), type(self.physical).model_fields["substeps"]
            if held is None or field.default is not None:
                return refine
            # Left alone it takes the fewest that are stable, and there are to be no fewer.
            free = self.found.problem.on(self._built({**refine, "substeps": None})).stepper
            return {**refine, "substeps": max(held, substeps_of(self.physical, free) or 0)}

        def make(**changes: int) -> Stepper:
            return self.found.problem.on(self._built(refine | changes)).stepper

        needed = suggest(make, self.data.layout, self.data.train.states.to(self.found.problem.starts.guess))
        return refine if needed <= self.substeps else {**refine, "substeps": needed}

    def _with_steps(self, factor: int) -> tuple[Stepper, Stepper]:
        layout, settings = self.data.layout, self._step_settings(factor)
        if settings:
            return self._built(settings), self.found.stepper
        return Substepped(self._built({}, shortened(layout, factor)), layout, factor), self.found.stepper

    def _step_settings(self, factor: int) -> dict[str, int]:
        return {} if self.substeps is None else {"substeps": factor * self.substeps}

    def _built(self, changes: Mapping[str, int | None], layout: Layout | None = None) -> Stepper:
        """The simulator with other settings, its unknowns where they begin."""
        # A few rollouts are not worth compiling for.
        settings = self.known.model_copy(update={**changes, "rollout": Rollout()})
        data = self.data
        stepper = build_physical(settings, layout or data.layout, data.train.states, data.given)
        return stepper.to(self.found.stepper.device)


@dataclass(frozen=True)
class Resolved:
    """numerics: the shifts, or why they were not looked at. changes: settings that were changed for them."""

    solving: Solving
    numerics: dict[Kind, Shift | str]
    changes: dict[str, int]


def resolved(solving: Solving, resolution: Literal["auto", "check", "off"]) -> Resolved:
    """An estimate, compared with finer models of itself, and repeated or moved by what that shows.

    Repeated where a shift is larger than the half width of an interval, from where the search rested; twice at most,
    and only if all repetitions together are forecast to cost no more than ten times the first. Moved where all shifts
    are smaller then.
    """
    if resolution == "off":
        return Resolved(solving, dict.fromkeys(FAULTS, "estimation.resolution is off."), {})
    numerics, said = compared(solving)
    changes: dict[str, int] = {}
    if resolution == "auto":
        spent = 0.0
        for _ in range(REPETITIONS):
            factors = solving.factors(numerics, MOST_COST - spent)
            if not factors:
                break
            spent += solving.cost(factors)
            changes |= solving.settings(factors)
            try:
                solving = solving.again(solving.settings(factors))
            except Exception as error:  # Whatever a model of one's own raises on a grid that it is not made for.
                said.append(Note("not_repeated", f"it could not be estimated again more finely: {error}"))
                break
            numerics, said = compared(solving)
        seen = {kind: one for kind, one in numerics.items() if isinstance(one, Shift)}
        # Beside one that is larger others say little: errors of grid and steps may be opposite.
        if seen and all(one.largest <= 1 for one in seen.values()):
            moves = {kind: one.taken_off(solving.found) for kind, one in seen.items()}
            solving = replace(solving, found=without_errors(solving.found, list(moves.values())))
            numerics |= moves
    solving.found.warnings.extend(said)
    return Resolved(solving, numerics, changes)


def compared(solving: Solving) -> tuple[dict[Kind, Shift | str], list[Note]]:
    """The shift of the estimates by grid and by time steps, or why it was not looked at; and what is to be said."""
    found, said = solving.found, list[Note]()
    if not isinstance(found.information, FullInformation):
        return dict.fromkeys(FAULTS, "it is looked at for up to 300 unknown numbers."), said
    numerics: dict[Kind, Shift | str] = {}
    for kind in FAULTS:
        if solving.of_data(kind) <= 1:
            numerics[kind] = "the data have the same error: they were generated so."
            continue
        try:
            finer = solving.finer(kind)
            numerics[kind] = moved = shift(found, solving.linear, finer)
            said.extend(on_shift(found, moved, finer))
        except Exception as error:  # Whatever a model of one's own raises on a grid that it is not made for.
            numerics[kind] = str(error)
            said.append(unchecked(error))
    for kind, between in interpolated(found, solving.linear).items():
        numerics[kind] = between
        said.extend(on_interpolation(found, kind, between))
    return numerics, said


def substeps_of(settings: PhysicalSettings, stepper: Stepper) -> int | None:
    if "substeps" not in type(settings).model_fields:
        return None
    while isinstance(stepper, Wrapper):
        stepper = stepper.inner
    own: int | None = getattr(stepper, "substeps", settings.substeps)  # type: ignore[attr-defined]
    return next(iter(stepper.pace()), None) if own is None else own
