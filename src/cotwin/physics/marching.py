"""Simulators that march: one map, prepared once, taken again and again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from cotwin.parameters import Known
from cotwin.parameters.clock import Clock
from cotwin.parameters.outside import clock_for, flowing
from cotwin.stepper import RolloutStepper, replaced

Advance = Callable[[Tensor], Tensor]


class MarchingStepper(RolloutStepper):
    """A simulator that takes equal substeps, in whatever it represents a state by. A subclass gives `prepare`."""

    marches = True
    # Parameters of which its map asks what is present: where they alone change, one preparation is for all.
    late: tuple[str, ...] = ()

    @abstractmethod
    def prepare(self, like: Tensor) -> Advance:
        """The map of what it advances to one substep later, in the precision of `like`.

        What depends on the parameters alone is computed here and closed over. Called once a rollout; where others
        than the `late` parameters change along it once a substep, with their means over that: second order in it.
        """

    def substeps_taken(self) -> int:
        """Substeps of one layout.dt, at the present pace."""
        return 1

    def march(self, advanced: Tensor, like: Tensor, num_steps: int) -> Iterator[Tensor]:
        """What it advances, after each of `num_steps` intervals layout.dt. like: as `prepare` takes it."""
        substeps = self.substeps_taken()
        for count, (advance, _) in enumerate(self.substeps_of(like, num_steps), start=1):
            advanced = advance(advanced)
            if count % substeps == 0:
                yield advanced

    def substeps_of(self, like: Tensor, num_steps: int) -> Iterator[tuple[Advance, Clock]]:
        """For each substep its map, and the clock that has turned to it."""
        substeps, changing = self.substeps_taken(), flowing(self)
        edges = np.arange(num_steps * substeps + 1) / substeps
        stretches = np.stack([edges[:-1], edges[1:]], axis=1)
        asked = [part for name in self.late if (part := getattr(self, name, None)) is not None]
        late = {one for part in asked for one in flowing(part)}
        others = {one for one in changing if one not in late}
        with clock_for(others or late, stretches) as clock:
            advance = None if others else self.prepare(like)
            for place in range(len(stretches)):
                clock.turn(place)
                if advance is not None:
                    yield advance, clock
                    continue
                means = replaced(self, lambda one: Known(one()) if one in others else None)
                with clock_for(late, stretches[place : place + 1]) as now:
                    yield means.prepare(like), now
