"""Several observations of the same rollouts as one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.estimation.observation.lattice import Lattice
from cotwin.estimation.observation.observation import Observation


class Joined(Observation):
    """The values of several observations, one after the other: y = (H₁ u, H₂ u, …).

    num_steps is the largest of theirs; each sees as many of the steps as it needs.
    Raises ValueError if there are none, or if they are of different layouts or numbers of rollouts.
    """

    def __init__(self, *parts: Observation) -> None:
        if not parts:
            raise ValueError("there is nothing to join; give one observation or more.")
        layout, num_trajectories = parts[0].layout, parts[0].num_trajectories
        for which, part in enumerate(parts):
            if part.layout != layout:
                raise ValueError(f"observation {which} has another layout than the first; build all from the same.")
            if part.num_trajectories != num_trajectories:
                raise ValueError(
                    f"observation {which} is of {part.num_trajectories} rollouts, the first of {num_trajectories}; "
                    "give all the same num_trajectories, also those that do not see every rollout."
                )
        super().__init__(
            layout,
            num_trajectories,
            num_steps=max(part.num_steps for part in parts),
            trajectory=torch.cat([part.trajectory for part in parts]),
            time=torch.cat([part.time for part in parts]),
            channel=torch.cat([part.channel for part in parts]),
            notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        )
        self.parts, self.steps = nn.ModuleList(parts), [part.num_steps for part in parts]

    def places(self) -> Float[Tensor, "M dims"]:
        return torch.cat([part.places() for part in self.parts])  # type: ignore[operator]

    def lattices(self) -> list[tuple[slice, Lattice]]:
        found, first = [], 0
        for part in self.parts:
            assert isinstance(part, Observation)
            found += [(slice(first + own.start, first + own.stop), lattice) for own, lattice in part.lattices()]
            first += part.size
        return found

    def through(self, in_time: int, in_space: int) -> Joined:
        parts = [part.through(in_time, in_space) for part in self.parts]  # type: ignore[operator]
        return self if all(one is part for one, part in zip(parts, self.parts, strict=True)) else Joined(*parts)

    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        self.require_states(states)
        return torch.cat([part(states[:, : steps + 1]) for part, steps in zip(self.parts, self.steps, strict=True)])
