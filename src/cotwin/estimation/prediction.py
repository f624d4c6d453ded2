"""What would be measured without noise, of many sets of parameters and starts in a few batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation import Observation
from cotwin.estimation.unknowns import Unknowns
from cotwin.given import Given
from cotwin.rollouts import at_common_pace, rollout_sets, rollout_with
from cotwin.stepper import DivergenceError, Stepper, rolled

AT_ONCE = 2**27
"""Bytes of states in one batch of rollouts, and of the Jacobians of points that are searched from together."""

Pace = tuple[int, ...] | None
"""Of a stepper (`Stepper.pace`); None where a set of parameters is beyond all reason for it."""


@dataclass(frozen=True)
class Prediction:
    """Rollouts of a stepper with other values of its unknowns, as an observation sees them.

    given: what comes from outside with each start.
    """

    stepper: Stepper
    unknowns: Unknowns
    observation: Observation
    given: Given | None = None

    @torch.no_grad()
    def of(
        self, raw: Float[Tensor, "P N"], starts: Float[Tensor, "P K B C *S"], paces: list[Pace]
    ) -> Float[Tensor, "P K M"]:
        """With each set of parameters from its K sets of starts; not finite where the rollout diverges."""
        given = self.given and self.given.repeated(starts.shape[1])
        predicted = raw.new_full((*starts.shape[:2], self.observation.size), torch.inf)
        for pace in sorted({pace for pace in paces if pace is not None}):
            stepper = self.stepper.paced(pace)
            alike = torch.tensor([index for index, own in enumerate(paces) if own == pace], device=raw.device)
            for some in alike.split(max(1, AT_ONCE // (starts.shape[1] * self.bytes_from(starts[0, 0])))):
                sets = self.unknowns.split(raw[some].to(starts.dtype))
                if not sets:
                    every = self.given and self.given.repeated(len(some) * starts.shape[1])
                    states = rolled(stepper, starts[some].flatten(0, 2), self.observation.num_steps, every)
                    states = states.unflatten(0, starts[some].shape[:3])
                    predicted[some] = torch.func.vmap(torch.func.vmap(self.observation))(states).double()
                    continue
                if len(some) == starts.shape[1] == 1:
                    # What many sets cost beside their arithmetic is as much as a rollout on a small grid.
                    single = {name: value[0] for name, value in sets.items()}
                    states = rollout_with(stepper, single, starts[some][0, 0], self.observation.num_steps, given)
                    predicted[some] = self.observation(states).double()
                    continue
                states = rollout_sets(stepper, sets, starts[some].flatten(1, 2), self.observation.num_steps, given)
                seen = torch.func.vmap(torch.func.vmap(self.observation))(states.unflatten(1, starts.shape[1:3]))
                predicted[some] = seen.double()
        return predicted

    def pace(self, raw: Float[Tensor, "1 N"]) -> Pace:
        """What one set of parameters needs by itself."""
        try:
            return at_common_pace(self.stepper, self.unknowns.split(raw)).pace()
        except DivergenceError:
            return None

    def bytes_from(self, starts: Float[Tensor, "B C *S"]) -> int:
        """Of the states of one rollout from all of them."""
        return 8 * starts.numel() * (self.observation.num_steps + 1)
