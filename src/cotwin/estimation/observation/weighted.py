"""Values of which some are surer than others."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation.lattice import Lattice
from cotwin.estimation.observation.observation import Observation


class Weighted(Observation):
    """What another observation sees, each value times a weight: y = W H u.

    Of values with noise of the deviations σ_m, weights level/σ_m make values with noise of one level.
    weights: (M,), positive.
    """

    weights: Tensor

    def __init__(self, whole: Observation, weights: Float[Tensor, " M"]) -> None:
        super().__init__(
            whole.layout,
            whole.num_trajectories,
            whole.num_steps,
            whole.trajectory,
            whole.time,
            whole.channel,
            whole.notes,
        )
        self.whole = whole
        self.register_buffer("weights", weights.double(), persistent=False)

    def lattices(self) -> list[tuple[slice, Lattice]]:
        return self.whole.lattices()

    def places(self) -> Float[Tensor, "M dims"]:
        if bool((self.weights != 1).any()):
            raise ValueError(
                "the noise of each value is known by itself, and a discrepancy is for values with noise of one "
                "level: leave the discrepancy out, or the noise."
            )
        return self.whole.places()

    def through(self, in_time: int, in_space: int) -> Weighted:
        whole = self.whole.through(in_time, in_space)
        return self if whole is self.whole else Weighted(whole, self.weights)

    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        seen: Tensor = self.whole(states)
        return seen * self.weights.to(seen)
