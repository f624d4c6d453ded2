"""The simulator of an estimation, solved more finely: what its settings are then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cotwin.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.linear import Linearised
from cotwin.estimation.resolution import FAULTS, Finer, Kind, Shift, on_shift, shift, unchecked
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.declared import suggested
from cotwin.experiment.learner_settings import PhysicalSettings, Rollout
from cotwin.experiment.settings import Data, Simulated
from cotwin.experiment.simulators import build_physical, settled
from cotwin.layout import Layout
from cotwin.registry import simulator
from cotwin.rollouts import Substepped
from cotwin.rollouts.substepped import shortened
from cotwin.rollouts.wrapper import Wrapper
from cotwin.stepper import Stepper

MOST_REFINED = 64
"""The largest `physical.refine`."""


@dataclass(frozen=True)
class Solving:
    """How an estimate's simulator was solved, and could be more finely.

    physical: its settings. data: the training data, and what they are from. found: the estimate.
    """

    physical: PhysicalSettings
    data: Dataset
    source: Data
    found: Estimation

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

    @cached_property
    def linear(self) -> Linearised:
        """The problem around the estimate."""
        return self.found.problem.linearise(self.found.z[None])

    @property
    def substeps(self) -> int | None:
        """That the simulator takes in each interval of the data; None where it has no such setting."""
        return _substeps(self.physical, self.found.stepper)

    def _on_grid(self, factor: int) -> tuple[Stepper, Stepper]:
        finer = self._built(self._grid_settings(factor))
        # Held against as many substeps on the present grid, so that the difference is the grid's alone.
        needed = _substeps(self.physical, self.found.problem.on(finer).stepper)
        if needed is None or needed == self.substeps:
            return finer, self.found.stepper
        return finer, self._built({"substeps": needed})

    def _grid_settings(self, factor: int) -> dict[str, int]:
        refine = {"refine": self.physical.refine * factor}
        if self.substeps is None or "substeps" not in suggested(simulator.find(self.physical.model)):
            return refine
        opened = self.physical.model_copy(update={**refine, "substeps": None})
        needed: int = settled(opened, self.data.layout, self.data.train.states).substeps  # type: ignore[attr-defined]
        return refine if needed <= self.substeps else {**refine, "substeps": needed}

    def _with_steps(self, factor: int) -> tuple[Stepper, Stepper]:
        layout, settings = self.data.layout, self._step_settings(factor)
        if settings:
            return self._built(settings), self.found.stepper
        return Substepped(self._built({}, shortened(layout, factor)), layout, factor), self.found.stepper

    def _step_settings(self, factor: int) -> dict[str, int]:
        return {} if self.substeps is None else {"substeps": factor * self.substeps}

    def _built(self, changes: Mapping[str, int], layout: Layout | None = None) -> Stepper:
        """The simulator with other settings, its unknowns where they begin."""
        # A few rollouts are not worth compiling for.
        settings = self.physical.model_copy(update={**changes, "rollout": Rollout()})
        stepper = build_physical(settings, layout or self.data.layout, self.data.train.states)
        return stepper.to(self.found.stepper.device)


def compared(solving: Solving) -> tuple[dict[Kind, Shift | str], list[str]]:
    """The shift of the estimates by grid and by time steps, or why it was not looked at; and what is to be said."""
    found, said = solving.found, list[str]()
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
    return numerics, said


def _substeps(settings: PhysicalSettings, stepper: Stepper) -> int | None:
    if "substeps" not in type(settings).model_fields:
        return None
    while isinstance(stepper, Wrapper):
        stepper = stepper.inner
    own: int | None = getattr(stepper, "substeps", settings.substeps)  # type: ignore[attr-defined]
    return next(iter(stepper.pace()), None) if own is None else own
