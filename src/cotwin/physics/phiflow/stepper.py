"""A user's own PhiFlow model as a stepper: write `step` on fields; states, batches and steps are seen to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection

import torch
from jaxtyping import Float
from phi.field import Field
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.phiflow.backend import phiflow_context
from cotwin.physics.phiflow.fields import from_fields, to_fields
from cotwin.physics.requirements import require_counts
from cotwin.stepper import RolloutStepper


class PhiFlowStepper(RolloutStepper):
    """Steps the fields of a layout with PhiFlow, eagerly; a rollout stays in fields from start to end.

    staggered: names of the vector fields on faces; `to_fields` says how a state holds them.
    substeps: how often `step` is called for one interval of the data, each time with `layout.dt / substeps`.

    Not compiled, and `step` should not be: phiml 1.16.1's `jit_compile` on torch gave silently wrong gradients.
    Give linear solves a tolerance well below the accuracy wanted: a batch is solved until all its samples meet
    it, so only to that tolerance are they independent of each other.
    """

    vmaps = False

    def __init__(self, layout: Layout, *, staggered: Collection[str] = (), substeps: int = 1) -> None:
        super().__init__(layout)
        require_counts(substeps=substeps)
        self.staggered = frozenset(staggered)
        self.substeps = substeps
        self.dynamic = frozenset(field.name for field in layout.fields if not field.static)

    @abstractmethod
    def step(self, fields: dict[str, Field], dt: float) -> dict[str, Field]:
        """The fields that change in time, `dt` later. The static ones may be read and need not be returned."""

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        fields = to_fields(state, self.layout, self.staggered)
        states = [state]
        with phiflow_context(state.dtype, state.device):
            for _ in range(num_steps):
                for _ in range(self.substeps):
                    fields = self._advanced(fields)
                states.append(from_fields(fields, self.layout))
        return torch.stack(states, dim=1)

    def _advanced(self, fields: dict[str, Field]) -> dict[str, Field]:
        after = self.step(dict(fields), self.layout.dt / self.substeps)
        if not self.dynamic <= set(after) <= set(fields):
            raise ValueError(
                f"{type(self).__name__}.step returned fields {sorted(after)}; it must return those that change, "
                f"{sorted(self.dynamic)}."
            )
        return {**fields, **{name: after[name] for name in self.dynamic}}
