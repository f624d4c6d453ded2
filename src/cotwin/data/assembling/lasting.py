"""What of some values lasts from one state to the next: noise, which does not, has no size."""

from __future__ import annotations

import math
from array import array

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.pieces import is_finite


class Lasting:
    """The size of what lasts, of values that come in parts.

    The median over trajectories and times of products of successive states, so that what is there for a few states
    alone (a start, a wave that passes) does not count.
    """

    def __init__(self) -> None:
        # Not small tensors: those that stay, among large ones that go, would leave memory in holes.
        self._products = array("d")
        self._noise, self._known, self._points = 0.0, 0, 1

    def add(self, values: Float[Tensor, "N T *P"], lead: int) -> None:
        """More frames, the first `lead` of which, two at most, came before; not a number where unknown."""
        self._points = values[0, 0].numel()
        for row in values.flatten(2) if values.dim() > 2 else values[..., None]:
            products = row[1:] * row[:-1]
            products = (products.mean(dim=1) if is_finite(products) else products.nanmean(dim=1))[max(lead - 1, 0) :]
            self._products.frombytes(products[products.isfinite()].numpy().tobytes())
            bends = row.diff(n=2, dim=0)[max(lead - 2, 0) :]
            bends = bends if is_finite(bends) else bends[~bends.isnan()]
            self._noise += float(bends.square().sum())
            self._known += bends.numel()

    def typical(self, surely: bool = True) -> float:
        """Of what lasts. surely: less three standard errors by the noise, which second differences in time bound."""
        products = torch.tensor(self._products, dtype=torch.float64)
        noise = self._noise / self._known / 6 if self._known else math.nan
        if len(products) == 0 or not math.isfinite(noise):
            return 0.0
        typical = float(products.median())
        if surely and typical > 0:
            typical -= 3 * 1.25 * math.sqrt((2 * typical + noise) * noise / (len(products) * self._points))
        return math.sqrt(max(typical, 0.0))
