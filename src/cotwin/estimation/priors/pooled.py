"""A prior that the values of several groups have in common, its centre and spread to be found."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.priors.prior import Prior
from cotwin.parameters import Elementwise

FEW = 5
"""Groups below which the spread needs a prior of its own."""


class Pooled(Prior):
    """u_g ~ N(centre, spread²) for each group, u the unknown's numbers free of bounds, mostly logarithms.

    The centre has a flat prior, and is integrated out: −log p(u | spread) = ½ Σ (u_g − ū)²/spread² + (G − 1) log
    spread + constant. The spread is found by the marginal likelihood (`estimation.pooling`), from one on: alone, a
    group of which the data tell nothing would go anywhere.

    parameter: the unknown of all groups, an array. scale: of the half-normal prior that the spread has if there are
    fewer than five groups, in u.
    """

    spread: Tensor

    def __init__(self, parameter: Elementwise, scale: float = 0.5) -> None:
        super().__init__()
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale is {scale}; give how much the groups may differ, mostly in the logarithm.")
        # Not as a module of its own: its raw numbers are the stepper's.
        object.__setattr__(self, "parameter", parameter)
        self.scale = scale
        self.register_buffer("spread", torch.tensor(1.0, dtype=torch.float64))

    parameter: Elementwise

    def residuals(self, value: Float[Tensor, " G"]) -> Float[Tensor, " R"]:
        free = self.parameter.unbounded(value)
        return (free - free.mean()) / self.spread.to(value.dtype)

    def measure(self, value: Float[Tensor, " G"]) -> Float[Tensor, " G"]:
        return self.parameter.unbounded(value)

    def check_start(self, name: str, value: Float[Tensor, "*K"]) -> None:
        if value.dim() != 1 or len(value) < 2:
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}, and its prior is what two groups or more have in common; "
                "give it a value for each of several, by per, or another prior."
            )
