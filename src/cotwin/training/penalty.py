"""What is known of a model's parameters beforehand, as an addition to its rollout loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.parameters import estimated
from cotwin.stepper import Stepper


@runtime_checkable
class Prior(Protocol):
    """What is known of one parameter, as in `cotwin.estimation.priors`: −log p(value) = ½ |residuals|² + constant."""

    def residuals(self, value: Float[Tensor, "*K"]) -> Float[Tensor, " R"]:
        """Numbers without unit; smooth in the value, which is in natural units."""


class Penalty:
    """What priors add to a rollout loss L of measured windows: 2 L/M · −log p, M values being scored.

    The minimum is then the maximum a posteriori for noise of unknown level. At the most likely level −log of the
    likelihood is M/2 log L, with the gradient M/(2 L) ∇L; times 2 L/M, that is ∇L, and −log p gets the same factor.
    Generated windows measure nothing: beside them F = (L + alpha·I + 2 L/M · −log p)/(1 + alpha).
    priors: by the names that `estimates` gives. values: M, each scored value once (`SlidingWindows.scored_values`).
    """

    def __init__(self, priors: Mapping[str, Prior], values: int) -> None:
        self.priors, self.values = dict(priors), values

    def residuals(self, stepper: Stepper) -> Float[Tensor, " R"]:
        """Of all priors at the stepper's present values: −log p = ½ |residuals|² + constant."""
        paths = estimated(stepper)
        parts = [prior.residuals(stepper.get_submodule(paths[name])()) for name, prior in self.priors.items()]
        return torch.cat([part.flatten() for part in parts])

    def __call__(self, stepper: Stepper, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Differentiable to the stepper's parameters, but not to the loss: the measured windows' part of F."""
        return loss.detach() / self.values * self.residuals(stepper).square().sum()
