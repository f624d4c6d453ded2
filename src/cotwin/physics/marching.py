"""Simulators that march: one map, prepared once, taken again and again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

from torch import Tensor

from cotwin.parameters.outside import flowing
from cotwin.stepper import RolloutStepper

Advance = Callable[[Tensor], Tensor]


class MarchingStepper(RolloutStepper):
    """A simulator that takes equal substeps, in whatever it represents a state by. A subclass gives `prepare`."""

    marches = True
    # Parameters whose present value each substep asks for: where they alone change, one preparation is for all.
    late: ClassVar[tuple[str, ...]] = ("source",)

    @abstractmethod
    def prepare(self, like: Tensor) -> Advance:
        """The map of what it advances to one substep later, in the precision of `like`.

        What depends on the parameters alone is computed here and closed over. Called once a rollout, and where a
        parameter changes along it once a substep, with its mean over that: second order in the substep; but for
        `late` ones.
        """

    def substeps_taken(self) -> int:
        """Substeps of one layout.dt, at the present pace."""
        return 1

    def march(self, advanced: Tensor, like: Tensor, num_steps: int) -> Iterator[Tensor]:
        """What it advances, after each of `num_steps` intervals layout.dt. like: as `prepare` takes it."""
        substeps, changing = self.substeps_taken(), flowing(self)
        asked = [
            one for name in self.late if (late := getattr(self, name, None)) is not None for one in flowing(late)
        ]
        advance = self.prepare(like)
        for step in range(num_steps):
            for part in range(substeps):
                stretch = (step + part / substeps, step + (part + 1) / substeps)
                if len(asked) < len(changing):
                    now = self.over(*stretch)
                    assert isinstance(now, MarchingStepper)
                    advance = now.prepare(like)
                for one in asked:
                    one.stretch = stretch
                advanced = advance(advanced)
            yield advanced
