"""Simulators that march: one map, prepared once, taken again and again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator

from torch import Tensor

from cotwin.stepper import RolloutStepper

Advance = Callable[[Tensor], Tensor]


class MarchingStepper(RolloutStepper):
    """A simulator that takes equal substeps, in whatever it represents a state by. A subclass gives `prepare`."""

    marches = True

    @abstractmethod
    def prepare(self, like: Tensor) -> Advance:
        """The map of what it advances to one substep later, in the precision of `like`.

        What depends on the parameters alone is computed here and closed over. Called once a rollout, and where a
        parameter changes along it once a substep, with its mean over that: second order in the substep.
        """

    def substeps_taken(self) -> int:
        """Substeps of one layout.dt, at the present pace."""
        return 1

    def march(self, advanced: Tensor, like: Tensor, num_steps: int) -> Iterator[Tensor]:
        """What it advances, after each of `num_steps` intervals layout.dt. like: as `prepare` takes it."""
        substeps, flows = self.substeps_taken(), self.flows
        advance = self.prepare(like)
        for step in range(num_steps):
            for part in range(substeps):
                if flows:
                    now = self.over(step + part / substeps, step + (part + 1) / substeps)
                    assert isinstance(now, MarchingStepper)
                    advance = now.prepare(like)
                advanced = advance(advanced)
            yield advanced
