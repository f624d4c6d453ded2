"""Real trajectories that no training sees, and a model's error on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.stepper import DivergenceError, Stepper, rollout
from cotwin.training.metrics import vrmse


@dataclass(frozen=True)
class HeldOut:
    """Trajectories to roll a model out along, and the frames that count.

    states: (N, T, C, *S); rollouts start from the first frame, which has to be wholly observed.
    mask: like states, True where observed; None if all of it was.
    scored_from: the first frame that counts; later than 1 where the held-out part of a trajectory is its
        last stretch, so that no frame that trained a model scores it.
    """

    states: Float[Tensor, "N T C *S"]
    mask: Bool[Tensor, "N T C *S"] | None = None
    scored_from: int = 1

    def __post_init__(self) -> None:
        frames = self.states.shape[1]
        if not 1 <= self.scored_from < frames:
            raise ValueError(f"scored_from is {self.scored_from}; with {frames} frames it lies in 1 to {frames - 1}.")
        # Otherwise every model's error would be infinite, or that of a rollout from made-up values.
        first = torch.isfinite(self.states[:, 0])
        if self.mask is not None:
            first &= self.mask[:, 0]
        partial = (~first.flatten(1).all(dim=1)).nonzero().flatten().tolist()
        if partial:
            raise ValueError(
                f"held-out trajectories {partial} have first frames that are not wholly observed, and rollouts start "
                "there; cut their first frames off, or hold other trajectories out."
            )
        if self.mask is not None and not self.mask[:, self.scored_from :].any():
            raise ValueError(
                "nothing is observed in the scored frames of the held-out trajectories; hold others out."
            )

    def predict(self, stepper: Stepper) -> Float[Tensor, "N T C *S"]:
        """The full rollout from each first frame, on the CPU. Raises DivergenceError."""
        was_training = stepper.training
        stepper.eval()
        try:
            with torch.no_grad():
                return rollout(stepper, self.states[:, 0].to(stepper.device), self.states.shape[1] - 1).cpu()
        finally:
            stepper.train(was_training)

    def errors(self, stepper: Stepper) -> Float[Tensor, "N T C"]:
        """VRMSE of the full rollout for each trajectory, scored time and dynamic channel of the stepper's layout."""
        channels = [channel for channel, static in enumerate(stepper.layout.static_channels) if not static]
        scored = slice(self.scored_from, None)
        prediction = self.predict(stepper)[:, scored, channels]
        mask = None if self.mask is None else self.mask[:, scored, channels]
        return vrmse(prediction, self.states[:, scored, channels], mask)

    def error(self, stepper: Stepper) -> float:
        """Mean VRMSE of the full rollouts; infinite if one diverges."""
        try:
            return float(self.errors(stepper).nanmean())
        except DivergenceError:
            return float("inf")
