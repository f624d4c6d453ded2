"""What of some values lasts from one state to the next: noise, which does not, has no size."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


class Lasting:
    """The size of what lasts, of values that come in parts.

    The median over trajectories and times of products of successive states, so that what is there for a few states
    alone (a start, a wave that passes) does not count.
    """

    def __init__(self) -> None:
        self._products: list[Tensor] = []
        self._noise, self._known, self._points = 0.0, 0, 1

    def add(self, values: Float[Tensor, "N T *P"], lead: int) -> None:
        """More frames, the first `lead` of which, two at most, came before; not a number where unknown."""
        flat = values.reshape(*values.shape[:2], -1)
        products = (flat[:, 1:] * flat[:, :-1]).nanmean(dim=2)[:, max(lead - 1, 0) :].flatten()
        self._products.append(products[products.isfinite()])
        bends = flat.diff(n=2, dim=1)[:, max(lead - 2, 0) :]
        bends = bends[~bends.isnan()]
        self._noise += float(bends.square().sum())
        self._known += bends.numel()
        self._points = flat.shape[2]

    def typical(self, surely: bool = True) -> float:
        """Of what lasts. surely: less three standard errors by the noise, which second differences in time bound."""
        products = torch.cat(self._products)
        noise = self._noise / self._known / 6 if self._known else math.nan
        if len(products) == 0 or not math.isfinite(noise):
            return 0.0
        typical = float(products.median())
        if surely and typical > 0:
            typical -= 3 * 1.25 * math.sqrt((2 * typical + noise) * noise / (len(products) * self._points))
        return math.sqrt(max(typical, 0.0))
