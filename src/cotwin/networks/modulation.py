"""Features of a network, scaled and shifted by numbers that it is told."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

HIDDEN = 64


class Modulation(nn.Module):
    """(1 + γ) h + β for each layer's features h, (γ, β) an affine map of gelu(affine map of the numbers).

    numbers: how many, each of order one. widths: features of each layer. It begins with γ = β = 0.
    Source: Perez et al. (2018), FiLM, AAAI.
    """

    def __init__(self, numbers: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = list(widths)
        self.lift = nn.Linear(numbers, HIDDEN)
        self.spread = nn.Linear(HIDDEN, 2 * sum(widths))
        nn.init.zeros_(self.spread.weight)
        nn.init.zeros_(self.spread.bias)

    def forward(self, numbers: Float[Tensor, "B K"]) -> list[Float[Tensor, "B _"]]:
        """Of each layer γ and β, one behind the other."""
        every: Tensor = self.spread(gelu(self.lift(numbers)))
        return list(every.split([2 * width for width in self.widths], dim=1))


def modulated(features: Float[Tensor, "B W *I"], by: Float[Tensor, "B _"] | None) -> Float[Tensor, "B W *I"]:
    """By one layer's γ and β; as they are where there is nothing."""
    if by is None:
        return features
    scale, shift = by.view(*by.shape, *(1,) * (features.dim() - 2)).chunk(2, dim=1)
    return torch.addcmul(features + shift, features, scale)
